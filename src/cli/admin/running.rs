//! Questions to the running server: `status`, `sessions kill`, `account unblock`; and how one is
//! asked.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::words::{aligned, state_word};
use crate::cli::{Exit, Failure, Ui};
use crate::config::{CONTROL_SOCKET, Settings};
use sealane_base::types::{Username, size};
use sealane_core::accounts::HashState;
use sealane_server::{Answer, KeysStatus, Question, Status};

const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at sessions that are to end.
const PAUSE: Duration = Duration::from_millis(50);

pub(super) fn status(ui: Ui, settings: &Settings) -> Result<(), Failure> {
    let Answer::Status(status) = ask(settings, &Question::Status {})? else { return Err(odd()) };
    ui.line(&format!(
        "process {}, {} sessions, {} passwords checked since the start",
        status.pid,
        status.sessions.len(),
        status.evaluations
    ));
    for line in table(&status).into_iter().chain(accounts(&status)).chain(waits(&status)) {
        ui.line(&line);
    }
    let mut object = serde_json::to_value(&status).unwrap_or_default();
    if let Value::Object(fields) = &mut object {
        fields.insert("type".into(), "result".into());
    }
    ui.object(&object);
    Ok(())
}

fn table(status: &Status) -> Vec<String> {
    if status.sessions.is_empty() {
        return Vec::new();
    }
    let titles = ["ID", "ACCOUNT", "KEY", "FROM", "SECONDS", "CONNECTIONS", "TRANSFERS", "USES"];
    let rows = status.sessions.iter().map(|session| {
        let usage = session.usage.map(|(used, reserved, limit)| {
            format!("{} of {}", size::human(used.saturating_add(reserved)), size::human(limit))
        });
        [
            session.id.to_string(),
            session.account.clone().unwrap_or_else(|| "-".into()),
            session.key.clone().unwrap_or_else(|| "-".into()),
            session.peer.clone(),
            session.seconds.to_string(),
            session.connections.to_string(),
            session.transfers.to_string(),
            usage.unwrap_or_else(|| "-".into()),
        ]
    });
    aligned(&std::iter::once(titles.map(str::to_owned)).chain(rows).collect::<Vec<_>>())
}

/// What state the accounts are in, and every record that is damaged.
fn accounts(status: &Status) -> Vec<String> {
    let Some(accounts) = &status.accounts else {
        return vec!["accounts: they cannot be listed; the server's log says why".into()];
    };
    let states = [
        (accounts.argon2id, state_word(HashState::Argon2id)),
        (accounts.weak, state_word(HashState::Weak)),
        (accounts.wrapped, state_word(HashState::Wrapped)),
        (accounts.md5, state_word(HashState::Md5)),
        (accounts.unusable, "without a usable password"),
        (accounts.disabled, "disabled"),
        (accounts.damaged as u64, "damaged"),
    ];
    let there = states.iter().filter(|(count, _)| *count > 0);
    let there: Vec<String> = there.map(|(count, word)| format!("{count} {word}")).collect();
    let mut lines = Vec::new();
    lines.push(match there.is_empty() {
        true => "accounts: none".to_owned(),
        false => format!("accounts: {}", there.join("; ")),
    });
    lines.extend(accounts.damage.iter().map(|reason| format!("damaged: {reason}")));
    lines
}

/// Who must wait after failed logins.
fn waits(status: &Status) -> Vec<String> {
    let (sources, accounts) = (&status.blocked_sources, &status.delayed_accounts);
    let keys = &status.blocked_key_sources;
    if sources.is_empty() && accounts.is_empty() && keys.is_empty() {
        return Vec::new();
    }
    let (many, more) = (sources.len(), accounts.len());
    let mut lines = vec![format!("after failed logins must wait: {many} sources, {more} accounts")];
    lines.extend(keys.iter().map(|(source, seconds)| {
        format!("source {source}: no keys for {seconds} s, except those that have logged in")
    }));
    lines.extend(sources.iter().map(|(source, seconds)| {
        format!("source {source}: no logins for {seconds} s, except of accounts that have logged in from there")
    }));
    lines.extend(accounts.iter().map(|(name, seconds)| {
        format!("account '{name}': no logins for {seconds} s from places it has not logged in from")
    }));
    lines
}

pub(super) fn kill(
    ui: Ui,
    settings: &Settings,
    id: Option<u64>,
    name: Option<&Username>,
) -> Result<(), Failure> {
    let name = name.map(ToString::to_string);
    let Answer::Done(ended) = ask(settings, &Question::Kill { id, name })? else {
        return Err(odd());
    };
    if ended == 0 {
        return Err(Failure::new(Exit::NotFound, "there is no such session")
            .hint("`sealane-admin status` shows those there are"));
    }
    ui.line(&format!("{ended} sessions ended"));
    ui.note("a client that was at work connects again; `sealane-admin account disable NAME` keeps it out");
    ui.object(&json!({ "type": "result", "ended": ended }));
    Ok(())
}

pub(super) fn unblock(
    ui: Ui,
    settings: &Settings,
    name: &Username,
    source: Option<IpAddr>,
) -> Result<(), Failure> {
    let question = Question::Unblock { name: name.to_string(), source };
    let Answer::Done(_) = ask(settings, &question)? else { return Err(odd()) };
    ui.line(&format!("{name}: failed logins forgotten"));
    ui.object(&json!({ "type": "result", "name": name.as_str(), "source": source }));
    Ok(())
}

/// Tells the server, if one is running, that records have changed; sessions that are not allowed
/// any more end.
pub(super) fn recheck(ui: Ui, settings: &Settings) {
    match ask_within(settings, &Question::Recheck {}, PATIENCE) {
        // Without a server there are no sessions.
        Ok(None | Some(Answer::Done(0))) => {}
        Ok(Some(Answer::Done(ended))) => ui.note(&format!("{ended} sessions ended")),
        Ok(Some(_)) | Err(_) => ui.note(&format!(
            "the server could not be told; it notices within {} s",
            settings.recheck.as_secs()
        )),
    }
}

/// Ends the sessions of an account that is not there any more, or not under that name, and waits
/// until they are gone.
///
/// # Errors
/// They are not, or the server cannot be asked.
pub(super) fn end_sessions(ui: Ui, settings: &Settings, name: &Username) -> Result<(), Failure> {
    let give_up = Instant::now() + PATIENCE;
    let end = Question::Kill { id: None, name: Some(name.to_string()) };
    // The records are read again as well, for logins under way.
    recheck(ui, settings);
    loop {
        match ask_within(settings, &end, PATIENCE)? {
            None | Some(Answer::Done(0)) => return Ok(()),
            Some(_) if Instant::now() < give_up => std::thread::sleep(PAUSE),
            Some(_) => {
                let text = format!("the sessions of {name} do not end");
                return Err(Failure::new(Exit::Other, text));
            }
        }
    }
}

/// Which key the server uses, if one is running and may be asked.
pub(super) fn keys(settings: &Settings) -> Option<KeysStatus> {
    match ask_within(settings, &Question::Keys {}, PATIENCE) {
        Ok(Some(Answer::Keys(keys))) => Some(keys),
        _ => None,
    }
}

fn ask(settings: &Settings, question: &Question) -> Result<Answer, Failure> {
    ask_within(settings, question, PATIENCE)?.ok_or_else(|| {
        let path = settings.data.join(CONTROL_SOCKET);
        let text = format!("cannot ask the server: nobody answers at '{}'", path.display());
        Failure::new(Exit::Network, text).hint("is sealaned running with this configuration?")
    })
}

/// Asks the server and waits for its answer at most `patience`. `None` if no server is running.
pub(super) fn ask_within(
    settings: &Settings,
    question: &Question,
    patience: Duration,
) -> Result<Option<Answer>, Failure> {
    let path = settings.data.join(CONTROL_SOCKET);
    let failed = |error: io::Error| {
        let text = format!("cannot ask the server through '{}': {error}", path.display());
        Failure::new(Exit::Network, text)
            .hint("only the server's own user and root may: run this as one of them")
    };
    let mut stream = match UnixStream::connect(&path) {
        Ok(stream) => stream,
        Err(error) if is_nobody(&error) => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut exchange = || -> io::Result<Answer> {
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut line = serde_json::to_vec(question)?;
        line.push(b'\n');
        stream.write_all(&line)?;
        let mut answer = String::new();
        BufReader::new(&stream).read_line(&mut answer)?;
        Ok(serde_json::from_str(&answer)?)
    };
    match exchange().map_err(failed)? {
        Answer::Refused(text) => Err(Failure::new(Exit::Other, text)),
        answer => Ok(Some(answer)),
    }
}

/// Nobody listens: there is no socket, or one that an earlier server left.
fn is_nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

pub(super) fn odd() -> Failure {
    Failure::new(Exit::Other, "the server's answer does not fit the question")
}
