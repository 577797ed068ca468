//! `status`, `sessions kill` and `account unblock`: questions to the running server.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::account::aligned;
use crate::cli::{Exit, Failure, Ui};
use crate::config::{CONTROL_SOCKET, Settings};
use crate::server::{Answer, Question, Status};
use crate::types::{Username, size};

const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn status(ui: Ui, settings: &Settings) -> Result<(), Failure> {
    let Answer::Status(status) = ask(settings, &Question::Status {})? else { return Err(odd()) };
    ui.line(&format!(
        "process {}, {} sessions, {} passwords checked since the start",
        status.pid,
        status.sessions.len(),
        status.evaluations
    ));
    for line in table(&status) {
        ui.line(&line);
    }
    for (source, seconds) in &status.blocked_sources {
        ui.line(&format!("source {source}: no logins for {seconds} s"));
    }
    for (source, seconds) in &status.blocked_key_sources {
        ui.line(&format!(
            "source {source}: no keys that have not logged in before for {seconds} s"
        ));
    }
    for (name, seconds) in &status.delayed_accounts {
        ui.line(&format!("account '{name}': no logins from new places for {seconds} s"));
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
    let titles =
        ["ID", "ACCOUNT", "KEY", "FROM", "SECONDS", "TRANSFERS", "USES"].map(str::to_owned);
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
            session.transfers.to_string(),
            usage.unwrap_or_else(|| "-".into()),
        ]
    });
    aligned(&std::iter::once(titles).chain(rows).collect::<Vec<_>>())
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

/// Tells the server, if one is running, that records have changed; sessions that are not allowed any more end.
pub(super) fn recheck(ui: Ui, settings: &Settings) {
    let asked = exchange(&settings.data.join(CONTROL_SOCKET), &Question::Recheck {});
    match asked {
        Ok(Answer::Done(0)) => {}
        Ok(Answer::Done(ended)) => ui.note(&format!("{ended} sessions ended")),
        // Nobody listens: no server, no sessions.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) => {}
        Ok(_) | Err(_) => ui.note(&format!(
            "the server could not be told; it notices within {} s",
            settings.recheck.as_secs()
        )),
    }
}

fn exchange(path: &Path, question: &Question) -> io::Result<Answer> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(question)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(serde_json::from_str(&answer)?)
}

fn ask(settings: &Settings, question: &Question) -> Result<Answer, Failure> {
    let path = settings.data.join(CONTROL_SOCKET);
    match exchange(&path, question) {
        Ok(Answer::Refused(text)) => Err(Failure::new(Exit::Other, text)),
        Ok(answer) => Ok(answer),
        Err(error) => {
            let text = format!("cannot ask the server through '{}': {error}", path.display());
            Err(Failure::new(Exit::Network, text)
                .hint("is sealaned running with this configuration, as this user or as root?"))
        }
    }
}

fn odd() -> Failure {
    Failure::new(Exit::Other, "the server's answer does not fit the question")
}
