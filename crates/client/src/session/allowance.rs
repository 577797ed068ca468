//! How much of a session may be under way: what the server has said, and until then what every
//! server allows. What is beyond that waits here, so no server needs to refuse it.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use sealane_protocol::limits::{FIRST_REQUESTS, FIRST_TRANSFERS};
use sealane_protocol::message::Welcome;

/// The requests and transfers that may still begin.
#[derive(Debug)]
pub(super) struct Allowance {
    requests: Arc<Semaphore>,
    transfers: Arc<Semaphore>,
}

impl Default for Allowance {
    fn default() -> Self {
        let semaphore = |count: u32| Arc::new(Semaphore::new(count as usize));
        Self { requests: semaphore(FIRST_REQUESTS), transfers: semaphore(FIRST_TRANSFERS) }
    }
}

/// Requests of a server that allows `welcome`, at least 1.
pub(super) fn requests(welcome: Option<&Welcome>) -> usize {
    welcome.map_or(FIRST_REQUESTS, |it| it.max_requests).clamp(1, 4096) as usize
}

/// Transfers of a server that allows `welcome`, at least 1.
pub(super) fn transfers(welcome: Option<&Welcome>) -> usize {
    welcome.map_or(FIRST_TRANSFERS, |it| it.max_transfers).clamp(1, 64) as usize
}

impl Allowance {
    /// The server has said what it allows; called once.
    pub(super) fn set(&self, welcome: &Welcome) {
        adjust(&self.requests, FIRST_REQUESTS, requests(Some(welcome)));
        adjust(&self.transfers, FIRST_TRANSFERS, transfers(Some(welcome)));
    }

    /// Waits until one more request may be sent; `None` once the session has ended.
    pub(super) async fn request(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.requests).acquire_owned().await.ok()
    }

    /// Waits until one more upload may begin; `None` once the session has ended.
    pub(super) async fn transfer(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.transfers).acquire_owned().await.ok()
    }

    /// The session has ended: nothing waits any more.
    pub(super) fn end(&self) {
        self.requests.close();
        self.transfers.close();
    }
}

fn adjust(permits: &Semaphore, before: u32, now: usize) {
    let before = before as usize;
    permits.add_permits(now.saturating_sub(before));
    permits.forget_permits(before.saturating_sub(now));
}
