//! The one place where somebody becomes a principal with a home, whichever door they come by.
//!
//! A door takes a [`Connection`] for each of its connections and logs it in; the [`Login`] it gets
//! holds the [`Home`], and counts as a session until it is dropped. Limits of sessions, guessing,
//! revocation, status and the end of sessions are here, so they hold for every door. It speaks no
//! protocol.

mod connections;
mod home;
mod login;
mod opening;
mod session;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::SystemTime;

use tracing::{info, warn};

pub use self::connections::{Connection, SessionInfo, Transfer};
#[cfg(test)]
pub(crate) use self::home::view_of;
pub use self::home::{Home, Operation};
pub use self::login::{Credential, LoginRefusal};
pub use self::session::Login;
use crate::accounts::{Authenticator, EnrollError, Exposure};
use crate::storage::{Audit, Store};
use sealane_base::files::StorageError;
use sealane_base::types::Username;
use sealane_base::workers::Workers;

use self::connections::Connections;
use self::opening::Openings;

/// Accounts, homes and sessions of a server. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Service {
    authenticator: Authenticator,
    store: Arc<dyn Store>,
    exposure: Exposure,
    /// Sessions of one account at the same time.
    sessions: usize,
    connections: Connections,
    openings: Openings,
    workers: Workers,
}

impl Service {
    /// A service for the accounts of `authenticator`, with their homes in `store`. An account may
    /// have `sessions` sessions at the same time, at least 1.
    #[must_use]
    pub fn new(
        authenticator: Authenticator,
        store: Arc<dyn Store>,
        exposure: Exposure,
        sessions: usize,
    ) -> Self {
        Self {
            authenticator,
            store,
            exposure,
            sessions: sessions.max(1),
            connections: Connections::default(),
            openings: Openings::default(),
            workers: Workers::default(),
        }
    }

    /// The same service, with these threads for the work of all homes.
    #[must_use]
    pub fn with_workers(self, workers: Workers) -> Self {
        Self { workers, ..self }
    }

    /// Checks logins, for what concerns accounts alone: status, blocks, the deadline.
    #[must_use]
    pub fn accounts(&self) -> &Authenticator {
        &self.authenticator
    }

    /// Notes a connection from `peer` that speaks `door` ("sealane", say), until it is dropped.
    #[must_use]
    pub fn connect(&self, peer: SocketAddr, door: &'static str) -> Connection {
        self.connections.enter(peer, door)
    }

    /// Lets `connection` join the session of `login`, if that login would be good from there as
    /// well: a key may be bound to networks. It ends with the session and is not counted as one.
    pub async fn join(&self, connection: &Connection, login: &Login) -> bool {
        let (logins, principal) = (self.authenticator.clone(), login.principal().clone());
        let peer = connection.peer().ip();
        let checked = tokio::task::spawn_blocking(move || {
            let outcome = logins.recheck(&principal, peer);
            if let Err(reason) = &outcome {
                info!(user = %principal.name(), %peer, %reason, "a connection may not join from there");
            }
            outcome.is_ok()
        });
        let may_join = checked.await.unwrap_or(false);
        if may_join {
            connection.entry.join(login.session(), login.principal(), login.home());
        }
        may_join
    }

    /// Lets the key that the session's connection has proved log in from now on. Blocks.
    ///
    /// # Errors
    /// [`EnrollError`]; the record is as it was then.
    pub fn enroll(&self, login: &Login, comment: String) -> Result<(), EnrollError> {
        self.authenticator.enroll(login.principal(), login.shown_key(), comment)
    }

    /// Every session, oldest first, and connections without a login.
    #[must_use]
    pub fn sessions(&self) -> Vec<SessionInfo> {
        self.connections.sessions()
    }

    /// Ends the sessions that are `meant`, with all that has joined them; gives how many. What they
    /// were uploading stays as partials.
    pub fn end_sessions(&self, meant: impl Fn(&SessionInfo) -> bool) -> usize {
        self.connections.end(meant)
    }

    /// Reads the records of all sessions again and ends those whose login is not good any more;
    /// gives how many.
    pub async fn recheck(&self) -> usize {
        let (connections, authenticator) = (self.connections.clone(), self.authenticator.clone());
        let checking = tokio::task::spawn_blocking(move || {
            connections.recheck(|principal, source: IpAddr| {
                let outcome = authenticator.recheck(principal, source);
                if let Err(reason) = &outcome {
                    info!(user = %principal.name(), %reason, "a login is not good any more");
                }
                outcome.is_ok()
            })
        });
        checking.await.unwrap_or_else(|error| {
            warn!(%error, "logins could not be checked again");
            0
        })
    }

    /// Holds what an account has on disk against its ledger: see [`Store::audit`]. Blocks.
    ///
    /// # Errors
    /// Any [`StorageError`] of reading.
    pub fn audit(&self, owner: &Username, repair: bool) -> Result<Option<Audit>, StorageError> {
        self.store.audit(owner, repair)
    }

    /// Removes old partials: see [`Store::sweep_partials`]. Blocks.
    ///
    /// # Errors
    /// Any [`StorageError`] of reading or removing.
    pub fn sweep_partials(&self, older_than: SystemTime) -> Result<u64, StorageError> {
        self.store.sweep_partials(older_than)
    }
}
