//! How a connection becomes a session: a credential is checked, a home is opened, the session is
//! counted.
//!
//! What the peer is told of a failure is one [`LoginRefusal`]; what the log says is more, and said
//! here.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::Service;
use super::connections::{Connection, Entry, Transfer};
use super::home::{Home, view_of};
use crate::accounts::{LoginError, Principal, Upgrade};
use sealane_base::files::StorageError;
use sealane_base::types::text::REPEATED;
use sealane_base::types::{Pin, Secret, text};

/// What somebody shows to log in.
#[derive(Debug)]
pub enum Credential {
    /// The account's password, as it was typed.
    Password(Secret),
    /// A key whose possession the connection has proved, if it has proved one.
    Key(Option<Pin>),
}

/// Why a login failed, as far as the peer may know.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum LoginRefusal {
    /// Too many logins or sessions at once, or the home cannot be opened just now: try again later.
    #[error("the server is busy")]
    Busy,
    /// Something failed here.
    #[error("internal error of the server")]
    Internal,
    /// The key does not open the account.
    #[error("the key was refused")]
    Key,
    /// The name or the password is wrong, or the account is switched off.
    #[error("login refused")]
    Password,
    /// The password is right, but stored in an old form after the deadline.
    #[error("the password must be reset by the administrator")]
    ResetRequired,
    /// Too many failures; nothing was checked.
    #[error("too many failed logins")]
    TooManyFailures {
        /// When it is worth trying again.
        wait: Duration,
    },
}

/// A session: who it is, what is theirs, and the place it takes among the account's sessions until
/// it is dropped. Only [`Service::log_in`] makes one.
#[derive(Debug)]
pub struct Login {
    principal: Principal,
    home: Arc<Home>,
    entry: Arc<Entry>,
    /// The key that the connection has proved, whether it logged in or not.
    shown: Option<Pin>,
}

impl Login {
    /// The session's number, as in the log.
    #[must_use]
    pub fn session(&self) -> u64 {
        self.entry.id()
    }

    /// Who it is.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// What is theirs.
    #[must_use]
    pub fn home(&self) -> &Arc<Home> {
        &self.home
    }

    /// The key that the connection has proved, whether it logged in or not.
    #[must_use]
    pub fn shown_key(&self) -> Option<Pin> {
        self.shown
    }

    /// Cancelled when an administrator ends the session, or the login is not good any more.
    #[must_use]
    pub fn ended(&self) -> CancellationToken {
        self.entry.end()
    }

    /// Counts a file on the move until the value is dropped.
    #[must_use]
    pub fn transfer(&self) -> Transfer {
        self.entry.transfer()
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        self.entry.log_out();
    }
}

impl Service {
    /// Logs `user` in over `connection` with `credential`; `shown` is the key that the connection
    /// has proved, if any. The session counts until the [`Login`] is dropped.
    ///
    /// Cancel safety: dropping the future leaves no session; a password check that has begun is
    /// finished.
    ///
    /// # Errors
    /// [`LoginRefusal`]. Every refusal for the same credential costs the same work.
    pub async fn log_in(
        &self,
        connection: &Connection,
        user: &str,
        credential: Credential,
        shown: Option<Pin>,
    ) -> Result<Login, LoginRefusal> {
        if connection.entry.is_logged_in() {
            return Err(LoginRefusal::Busy);
        }
        let (logins, peer) = (&self.authenticator, connection.peer().ip());
        let by_key = matches!(credential, Credential::Key(_));
        let outcome = match credential {
            Credential::Password(password) => {
                logins.login_from(peer, user, password, self.exposure).await
            }
            Credential::Key(key) => logins.login_with_key(peer, user, key, self.exposure).await,
        };
        let refused = |error: &LoginError| refusal(user, by_key, shown, error);
        let principal = outcome.map_err(|error| refused(&error))?;
        let home = self.open_home(&principal).await?;
        if !self.connections.log_in(&connection.entry, &principal, &home, self.sessions) {
            let user = principal.name();
            warn!(name: REPEATED, %user, "login refused: the account has too many sessions");
            return Err(LoginRefusal::Busy);
        }
        let login = Login { principal, home, entry: Arc::clone(&connection.entry), shown };
        // A revocation from now on finds this session among those to be ended; what was revoked
        // while it logged in is found here.
        self.check_again(&login, peer).await.map_err(|error| match error {
            Some(error) => refused(&error),
            None => LoginRefusal::Internal,
        })?;
        Ok(login)
    }

    async fn check_again(
        &self,
        login: &Login,
        peer: std::net::IpAddr,
    ) -> Result<(), Option<LoginError>> {
        let (logins, again) = (self.authenticator.clone(), login.principal.clone());
        let user = login.principal.name();
        match tokio::task::spawn_blocking(move || logins.recheck(&again, peer)).await {
            Ok(outcome) => outcome.map_err(|reason| Some(LoginError::Refused(reason))),
            Err(error) => {
                warn!(%user, %error, "login could not be checked");
                Err(None)
            }
        }
    }

    async fn open_home(&self, principal: &Principal) -> Result<Arc<Home>, LoginRefusal> {
        let user = principal.name().clone();
        match principal.upgrade() {
            Upgrade::NotNeeded => {}
            Upgrade::Done => info!(%user, "password record upgraded to argon2id"),
            Upgrade::Superseded => info!(%user, "password record changed meanwhile; left as it is"),
            Upgrade::Failed(error) => warn!(%user, error, "password record could not be upgraded"),
        }
        let (store, owner) = (Arc::clone(&self.store), user.clone());
        let (place, quota) = (principal.home().path().clone(), principal.quota());
        let grant = principal.grant().clone();
        let open = move || {
            let opened = store.open_home(&owner, &place, quota, view_of(&grant))?;
            Ok(Arc::new(Home::new(opened, grant)))
        };
        match tokio::task::spawn_blocking(open).await {
            Ok(Ok(home)) => Ok(home),
            Ok(Err(error @ StorageError::HomeConflict)) => {
                let home = principal.home().path();
                warn!(name: REPEATED, %user, %home, %error, "login refused for now");
                Err(LoginRefusal::Busy)
            }
            Ok(Err(error)) => {
                warn!(%user, %error, "home cannot be opened");
                Err(LoginRefusal::Internal)
            }
            Err(error) => {
                warn!(%user, %error, "home cannot be opened");
                Err(LoginRefusal::Internal)
            }
        }
    }
}

/// What the log says of a login that failed, and what the peer hears.
fn refusal(typed: &str, by_key: bool, key: Option<Pin>, error: &LoginError) -> LoginRefusal {
    let user = text::printable(typed);
    let key = key.filter(|_| by_key).map(tracing::field::display);
    match error {
        LoginError::Busy => {
            warn!(name: REPEATED, user, "login not tried: too many at once");
            LoginRefusal::Busy
        }
        LoginError::TooManyFailures { wait } => {
            warn!(name: REPEATED, user, key, wait = wait.as_secs(), "login not tried: too many failures");
            LoginRefusal::TooManyFailures { wait: *wait }
        }
        LoginError::ResetRequired => {
            warn!(
                name: REPEATED,
                user,
                "login refused: the record is of an old form and the deadline has passed"
            );
            LoginRefusal::ResetRequired
        }
        LoginError::Refused(reason) if reason.is_passing() => {
            warn!(name: REPEATED, user, key, %reason, "login not tried: out of descriptors or memory");
            LoginRefusal::Busy
        }
        LoginError::Refused(reason) => {
            if reason.is_damage() {
                error!(
                    name: REPEATED, user, key, %reason, "login refused: damaged account record"
                );
            } else {
                warn!(name: REPEATED, user, key, %reason, "login refused");
            }
            if by_key { LoginRefusal::Key } else { LoginRefusal::Password }
        }
    }
}
