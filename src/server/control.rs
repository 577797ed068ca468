//! The socket through which an administrator asks the running server: status, unblock, end sessions.
//!
//! A Unix socket that only the server's own user and root may use: its mode says so, and so do the
//! peer's credentials. One line of JSON there, one back. It never gives a password or a hash.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;
use tracing::{info, warn};

use crate::accounts::{Authenticator, Principal};
use crate::session::Registry;
use crate::types::Username;

/// Longest question in bytes.
const MAX_LINE: u64 = 4096;
const PATIENCE: Duration = Duration::from_secs(5);
/// Pause after a failed accept, so that the failure is not a busy loop.
const PAUSE: Duration = Duration::from_millis(200);

/// What can be asked.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(tag = "ask", rename_all = "snake_case", deny_unknown_fields)]
pub enum Question {
    /// Everything about the running server.
    Status {},
    /// Forget an account's failed logins, and a source's.
    Unblock {
        /// The account.
        name: String,
        /// The source.
        source: Option<IpAddr>,
    },
    /// Read the records of everybody who is here again, and end sessions whose login is not good any more.
    Recheck {},
    /// End one session, or all of an account.
    Kill {
        /// The session's number.
        id: Option<u64>,
        /// The account.
        name: Option<String>,
    },
}

/// One session in a [`Status`].
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct SessionStatus {
    /// Its number, as in the log.
    pub id: u64,
    /// Where it comes from.
    pub peer: String,
    /// Seconds since it began.
    pub seconds: u64,
    /// The account, once logged in.
    pub account: Option<String>,
    /// The key that logged in, if one did: its comment, or the beginning of its pin.
    pub key: Option<String>,
    /// Files on the move.
    pub transfers: usize,
    /// Bytes the account uses, has reserved, and may use.
    pub usage: Option<(u64, u64, u64)>,
}

/// The running server.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Process number.
    pub pid: u32,
    /// Connections, oldest first.
    pub sessions: Vec<SessionStatus>,
    /// Passwords checked since the start.
    pub evaluations: u64,
    /// Sources that must wait, in seconds.
    pub blocked_sources: Vec<(IpAddr, u64)>,
    /// Accounts, or names that are none, that are closed for a time to places they are not known at.
    pub delayed_accounts: Vec<(String, u64)>,
    /// Sources from which keys that have not logged in before must wait, in seconds.
    pub blocked_key_sources: Vec<(IpAddr, u64)>,
}

/// What is answered.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To [`Question::Status`].
    Status(Status),
    /// It was done, to so many.
    Done(usize),
    /// The question was none, or came from somebody else.
    Refused(String),
}

/// What the socket speaks for.
#[derive(Clone, Debug)]
pub(super) struct Control {
    pub(super) authenticator: Authenticator,
    pub(super) registry: Registry,
}

/// Binds the socket at `path`, taking the place of one that an earlier server left.
///
/// # Errors
/// What the system says.
pub fn bind_control(path: &Path) -> io::Result<UnixListener> {
    // The data directory is locked for this server: whoever made it is gone.
    match rustix::fs::unlink(path) {
        Err(error) if error != rustix::io::Errno::NOENT => return Err(error.into()),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
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
                        let _ = timeout(PATIENCE, control.serve(stream)).await;
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
            BufReader::new(read.take(MAX_LINE)).read_line(&mut line).await?;
            match serde_json::from_str(&line) {
                Ok(Question::Recheck {}) => Answer::Done(self.recheck().await),
                Ok(question) => self.answer(question),
                Err(error) => Answer::Refused(format!("not a question: {error}")),
            }
        } else {
            warn!(uid = peer, "control socket: somebody else's question refused");
            Answer::Refused("only the server's own user and root may ask".into())
        };
        let mut line = serde_json::to_vec(&answer).map_err(io::Error::other)?;
        line.push(b'\n');
        write.write_all(&line).await
    }

    fn answer(&self, question: Question) -> Answer {
        match question {
            Question::Status {} => Answer::Status(self.status()),
            Question::Unblock { name, source } => match Username::parse(&name) {
                Ok(name) => {
                    info!(%name, ?source, "failed logins forgotten by the administrator");
                    self.authenticator.unblock(&name, source);
                    Answer::Done(1)
                }
                Err(error) => Answer::Refused(error.to_string()),
            },
            Question::Recheck {} => Answer::Refused("asked in the wrong place".into()),
            Question::Kill { id: None, name: None } => Answer::Refused("say which session".into()),
            Question::Kill { id, name } => {
                let ended = self.registry.end(|session| {
                    let account = session.account.as_ref().map(|(user, _)| user.as_str());
                    id.is_none_or(|id| id == session.id)
                        && name.as_deref().is_none_or(|name| account == Some(name))
                });
                info!(?id, ?name, ended, "sessions ended by the administrator");
                Answer::Done(ended)
            }
        }
    }

    /// Reads records again and ends sessions whose login is not good any more; gives how many.
    pub(super) async fn recheck(&self) -> usize {
        let (registry, authenticator) = (self.registry.clone(), self.authenticator.clone());
        let is_good = move |principal: &Principal, source| {
            let outcome = authenticator.recheck(principal, source);
            if let Err(reason) = &outcome {
                info!(user = %principal.name(), %reason, "a login is not good any more");
            }
            outcome.is_ok()
        };
        let checking = tokio::task::spawn_blocking(move || registry.recheck(is_good));
        checking.await.unwrap_or_else(|error| {
            warn!(%error, "logins could not be checked again");
            0
        })
    }

    fn status(&self) -> Status {
        let blocks = self.authenticator.blocks();
        let sessions = self.registry.sessions().into_iter().map(|session| SessionStatus {
            id: session.id,
            peer: session.peer.to_string(),
            seconds: session.age.as_secs(),
            transfers: session.transfers,
            usage: session.account.as_ref().map(|(_, u)| (u.used, u.reserved, u.limit)),
            account: session.account.map(|(user, _)| user.to_string()),
            key: session.key,
        });
        Status {
            pid: std::process::id(),
            sessions: sessions.collect(),
            evaluations: self.authenticator.evaluations(),
            blocked_sources: seconds(blocks.sources),
            delayed_accounts: seconds(blocks.accounts),
            blocked_key_sources: seconds(blocks.keys),
        }
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
