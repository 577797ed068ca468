//! What a door holds for each session. How it came to be is in `login`.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::connections::{Entry, Transfer};
use super::home::Home;
use crate::accounts::Principal;
use sealane_base::types::Pin;
use sealane_base::workers::Queue;

/// A session: who it is, what is theirs, and the place it takes among the account's sessions until
/// it is dropped. Only [`Service::log_in`](super::Service::log_in) makes one.
#[derive(Debug)]
pub struct Login {
    pub(super) principal: Principal,
    pub(super) home: Arc<Home>,
    pub(super) queue: Queue,
    pub(super) entry: Arc<Entry>,
    /// The key that the connection has proved, whether it logged in or not.
    pub(super) shown: Option<Pin>,
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

    /// Where the work of the home is done, in turns with that of other accounts.
    #[must_use]
    pub fn queue(&self) -> &Queue {
        &self.queue
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
