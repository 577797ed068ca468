//! The connections over which the transfers of a session are shared.
//!
//! The session's own connection is always there and carries everything. A connection that joined
//! carries chunks and their acknowledgements only, of any transfer. A chunk is acknowledged over
//! the connection on which it came, so both ends know what is lost with it. How many there are is
//! decided elsewhere.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::wire::FrameSender;

/// Number of the session's own connection.
pub(super) const OWN: u32 = 0;

/// The connections that have joined a session. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub(super) struct ConnectionPool(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    open: Mutex<Open>,
    /// Grows with every connection that joins or leaves.
    changes: AtomicU64,
    /// A connection has joined, or will: chunks may come in any order.
    any: AtomicBool,
    progress: Mutex<Progress>,
}

#[derive(Debug, Default)]
struct Open {
    last: u32,
    connections: Vec<(u32, FrameSender)>,
}

/// How far the transfers of a session are, all together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Bytes of chunks that crossed the wire and were verified.
    pub bytes: u64,
    /// When the last of them were.
    pub at: Option<Instant>,
}

impl ConnectionPool {
    /// Adds a connection and gives its number.
    pub(super) fn add(&self, out: FrameSender) -> u32 {
        let mut open = self.open();
        open.last += 1;
        let number = open.last;
        open.connections.push((number, out));
        drop(open);
        self.expect();
        self.0.changes.fetch_add(1, Ordering::Release);
        number
    }

    pub(super) fn expect(&self) {
        self.0.any.store(true, Ordering::Release);
    }

    pub(super) fn remove(&self, number: u32) {
        self.open().connections.retain(|(other, _)| *other != number);
        self.0.changes.fetch_add(1, Ordering::Release);
    }

    /// The connections that are open, with the count of changes so far: while
    /// [`ConnectionPool::changes`] gives the same, the list is current.
    pub(super) fn snapshot(&self) -> (u64, Vec<(u32, FrameSender)>) {
        let changes = self.changes();
        (changes, self.open().connections.clone())
    }

    pub(super) fn changes(&self) -> u64 {
        self.0.changes.load(Ordering::Acquire)
    }

    pub(super) fn have_been(&self) -> bool {
        self.0.any.load(Ordering::Acquire)
    }

    /// Counts bytes of a chunk that crossed the wire and was verified.
    pub(super) fn moved(&self, bytes: u64) {
        let mut progress = self.0.progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress.bytes += bytes;
        progress.at = Some(Instant::now());
    }

    pub(super) fn progress(&self) -> Progress {
        *self.0.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
