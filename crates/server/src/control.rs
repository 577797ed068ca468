//! The socket through which an administrator asks the running server: status, quotas, unblock, end
//! sessions.
//!
//! A Unix socket that only the server's own user and root may use: its mode says so, and so do the
//! peer's credentials. One line of JSON there, one back. It never gives a password or a hash.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;
use tracing::{info, warn};

use super::live::Keys;
use super::questions::{
    AccountsStatus, Answer, MOST_NAMED, Question, QuotaStatus, SessionStatus, Status,
};
use sealane_base::types::Username;
use sealane_core::accounts::Survey;
use sealane_core::service::Service;

/// Longest question in bytes.
const MAX_LINE: u64 = 4096;
const PATIENCE: Duration = Duration::from_secs(5);
/// Pause after a failed accept, so that the failure is not a busy loop.
const PAUSE: Duration = Duration::from_millis(200);

/// What the socket speaks for.
#[derive(Clone, Debug)]
pub(super) struct Control {
    pub(super) service: Service,
    pub(super) keys: Keys,
}

/// As [`open_control`], for a caller that has a runtime already.
///
/// # Errors
/// What the system says.
pub fn bind_control(path: &Path) -> io::Result<UnixListener> {
    UnixListener::from_std(open_control(path)?)
}

/// Binds the socket at `path`, taking the place of one that an earlier server left. It does not
/// block. Inside the sandbox there is no binding any more.
///
/// # Errors
/// What the system says.
pub fn open_control(path: &Path) -> io::Result<std::os::unix::net::UnixListener> {
    // The data directory is locked for this server: whoever made it is gone.
    match rustix::fs::unlink(path) {
        Err(error) if error != rustix::io::Errno::NOENT => return Err(error.into()),
        _ => {}
    }
    let listener = std::os::unix::net::UnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    rustix::fs::chmod(path, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR)?;
    Ok(listener)
}

impl Control {
    pub(super) async fn answer_forever(&self, listener: &UnixListener) -> std::convert::Infallible {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let control = self.clone();
                    tokio::spawn(async move {
                        // Whoever asks and goes away is not missed.
                        let _ = control.serve(stream).await;
                    });
                }
                Err(error) => {
                    warn!(%error, "control socket: accept failed");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn serve(&self, stream: UnixStream) -> io::Result<()> {
        let peer = stream.peer_cred()?.uid();
        let (read, mut write) = stream.into_split();
        let answer = if may_ask(peer, rustix::process::geteuid().as_raw()) {
            let mut line = String::new();
            timeout(PATIENCE, BufReader::new(read.take(MAX_LINE)).read_line(&mut line)).await??;
            match serde_json::from_str(&line) {
                Ok(Question::Recheck {}) => Answer::Done(self.service.recheck().await),
                // As long as it takes: counting a large home does.
                Ok(question) => self.answer(question).await,
                Err(error) => Answer::Refused(format!("not a question: {error}")),
            }
        } else {
            warn!(uid = peer, "control socket: somebody else's question refused");
            Answer::Refused("only the server's own user and root may ask".into())
        };
        let mut line = serde_json::to_vec(&answer).map_err(io::Error::other)?;
        line.push(b'\n');
        timeout(PATIENCE, write.write_all(&line)).await?
    }

    async fn answer(&self, question: Question) -> Answer {
        match question {
            Question::Keys {} => Answer::Keys(self.keys.status()),
            Question::Status {} => Answer::Status(self.status().await),
            Question::CheckQuota { name, repair } => match Username::parse(&name) {
                Ok(name) => self.check_quota(name, repair).await,
                Err(error) => Answer::Refused(error.to_string()),
            },
            Question::Unblock { name, source } => match Username::parse(&name) {
                Ok(name) => {
                    info!(%name, ?source, "failed logins forgotten by the administrator");
                    self.service.accounts().unblock(&name, source);
                    Answer::Done(1)
                }
                Err(error) => Answer::Refused(error.to_string()),
            },
            Question::Recheck {} => Answer::Refused("asked in the wrong place".into()),
            Question::Kill { id: None, name: None } => Answer::Refused("say which session".into()),
            Question::Kill { id, name } => {
                let ended = self.service.end_sessions(|session| {
                    let account = session.account.as_ref().map(|(user, _)| user.as_str());
                    id.is_none_or(|id| id == session.id)
                        && name.as_deref().is_none_or(|name| account == Some(name))
                });
                info!(?id, ?name, ended, "sessions ended by the administrator");
                Answer::Done(ended)
            }
        }
    }

    async fn check_quota(&self, name: Username, repair: bool) -> Answer {
        let (service, owner) = (self.service.clone(), name.clone());
        let audited = tokio::task::spawn_blocking(move || service.audit(&owner, repair)).await;
        let audit = match audited {
            Ok(Ok(audit)) => audit,
            Ok(Err(error)) => return Answer::Refused(format!("{name}: {error}")),
            Err(error) => return Answer::Refused(format!("{name}: {error}")),
        };
        let drift = audit.map_or(0, |audit| audit.drift());
        if drift != 0 {
            warn!(%name, drift, repair, "the quota ledger and the disk differ");
        }
        Answer::Quota(audit.and_then(|audit| Some((audit.ledger?, audit))).map(
            |(ledger, audit)| QuotaStatus {
                used: ledger.used,
                reserved: ledger.reserved,
                limit: ledger.limit,
                files: audit.files,
                partials: audit.partials,
                trash: audit.trash,
                uploading: audit.uploading,
                drift,
            },
        ))
    }

    async fn status(&self) -> Status {
        let blocks = self.service.accounts().blocks();
        let sessions = self.service.sessions().into_iter().map(|session| SessionStatus {
            id: session.id,
            peer: session.peer.to_string(),
            seconds: session.age.as_secs(),
            transfers: session.transfers,
            connections: session.connections,
            usage: session
                .account
                .as_ref()
                .and_then(|(_, u)| *u)
                .map(|u| (u.used, u.reserved, u.limit)),
            account: session.account.map(|(user, _)| user.to_string()),
            key: session.key,
        });
        Status {
            pid: std::process::id(),
            sessions: sessions.collect(),
            evaluations: self.service.accounts().evaluations(),
            accounts: self.accounts().await,
            blocked_sources: seconds(blocks.sources),
            delayed_accounts: seconds(blocks.accounts),
            blocked_key_sources: seconds(blocks.keys),
        }
    }

    async fn accounts(&self) -> Option<AccountsStatus> {
        let authenticator = self.service.accounts().clone();
        match tokio::task::spawn_blocking(move || authenticator.survey()).await {
            Ok(Ok(survey)) => Some(accounts_status(survey)),
            Ok(Err(error)) => {
                warn!(%error, "the accounts cannot be listed");
                None
            }
            Err(_) => None,
        }
    }
}

fn accounts_status(survey: Survey) -> AccountsStatus {
    let Survey { counts, disabled, mut damaged } = survey;
    let count = damaged.len();
    damaged.truncate(MOST_NAMED);
    AccountsStatus {
        argon2id: counts.argon2id,
        weak: counts.weak,
        wrapped: counts.wrapped,
        md5: counts.md5,
        unusable: counts.unusable,
        disabled,
        damaged: count,
        damage: damaged,
    }
}

fn may_ask(peer: u32, own: u32) -> bool {
    peer == own || peer == 0
}

fn seconds<T>(waits: Vec<(T, Duration)>) -> Vec<(T, u64)> {
    // A part of a second is one to wait, not none.
    waits.into_iter().map(|(who, wait)| (who, wait.as_millis().div_ceil(1000) as u64)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_user_and_root_may_ask_and_nobody_else() {
        assert!(may_ask(1000, 1000) && may_ask(0, 1000));
        assert!(!may_ask(1001, 1000) && !may_ask(1000, 0));
    }
}
