//! How a connection becomes a session: a credential is checked, a home is opened, the session is
//! counted.
//!
//! What the peer is told of a failure is one [`LoginRefusal`]; what the log says is more, and said
//! here.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tracing::{error, info, warn};

use super::Service;
use super::connections::Connection;
use super::home::{Home, view_of};
use super::session::Login;
use crate::accounts::{LoginError, Principal, Upgrade};
use sealane_base::files::StorageError;
use sealane_base::types::text::REPEATED;
use sealane_base::types::{Pin, Secret, text};
use sealane_base::workers::Queue;

/// What somebody shows to log in.
#[derive(Debug)]
pub enum Credential {
    /// The account's password, as it was typed.
    Password(Secret),
    /// A key whose possession the connection has proved, if it has proved one.
    Key(Option<Pin>),
    /// A token, which is a secret of a program's own.
    Token(Secret),
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
            Credential::Token(token) => {
                logins.login_with_token(peer, user, &token, self.exposure).await
            }
        };
        let refused = |error: &LoginError| refusal(user, by_key, shown, error);
        let principal = outcome.map_err(|error| refused(&error))?;
        let home = self.open_home(&principal).await?;
        if !self.connections.log_in(&connection.entry, &principal, &home, self.sessions) {
            let user = principal.name();
            warn!(name: REPEATED, %user, "login refused: the account has too many sessions");
            return Err(LoginRefusal::Busy);
        }
        let (queue, entry) = (self.queue_of(&principal), Arc::clone(&connection.entry));
        let login = Login { principal, home, queue, entry, shown };
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
        let (logins, again) = (self.authenticator.clone(), login.principal().clone());
        let user = login.principal().name();
        match tokio::task::spawn_blocking(move || logins.recheck(&again, peer)).await {
            Ok(outcome) => outcome.map_err(|reason| Some(LoginError::Refused(reason))),
            Err(error) => {
                warn!(%user, %error, "login could not be checked");
                Err(None)
            }
        }
    }

    fn queue_of(&self, principal: &Principal) -> Queue {
        self.workers.queue(principal.name().as_str())
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
        let view = view_of(&grant);
        let begin = move || store.open_home(&owner, &place, quota, view);
        match self.openings.open(&user, &self.queue_of(principal), begin).await {
            Ok(home) => Ok(Arc::new(Home::new(home, grant))),
            Err(error @ StorageError::OverDeep { .. }) => {
                error!(%user, home = %principal.home().path(), %error, "home is not opened");
                Err(LoginRefusal::Internal)
            }
            Err(error @ StorageError::HomeConflict) => {
                let home = principal.home().path();
                warn!(name: REPEATED, %user, %home, %error, "login refused for now");
                Err(LoginRefusal::Busy)
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
