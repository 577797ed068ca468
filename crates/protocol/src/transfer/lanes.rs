//! Further connections of a session, over which its transfers are shared.
//!
//! The session's own connection is always there and carries everything. A connection that joined, a
//! *lane*, carries chunks and their acknowledgements only, of any transfer. What comes over a lane
//! is answered over it, so both ends know what is lost with it. How many there are is for others to
//! decide.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::wire::FrameSender;

/// Number of the session's own connection among the lanes.
pub(super) const OWN: u32 = 0;

/// The lanes of a session. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub(super) struct Lanes(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    open: Mutex<Open>,
    /// Grows with every lane that comes or goes.
    changes: AtomicU64,
    /// There has been a lane, or will be: chunks may come in any order.
    any: AtomicBool,
    progress: Mutex<Progress>,
}

#[derive(Debug, Default)]
struct Open {
    last: u32,
    lanes: Vec<(u32, FrameSender)>,
}

/// How far the transfers of a session are, all together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Bytes of chunks that crossed the wire and were verified.
    pub bytes: u64,
    /// When the last of them were.
    pub at: Option<Instant>,
}

impl Lanes {
    /// Adds a lane and gives its number.
    pub(super) fn add(&self, out: FrameSender) -> u32 {
        let mut open = self.open();
        open.last += 1;
        let number = open.last;
        open.lanes.push((number, out));
        drop(open);
        self.expect();
        self.0.changes.fetch_add(1, Ordering::Release);
        number
    }

    pub(super) fn expect(&self) {
        self.0.any.store(true, Ordering::Release);
    }

    pub(super) fn remove(&self, number: u32) {
        self.open().lanes.retain(|(other, _)| *other != number);
        self.0.changes.fetch_add(1, Ordering::Release);
    }

    /// The lanes that are open, and when that was so: [`Lanes::changes`] tells whether it still is.
    pub(super) fn snapshot(&self) -> (u64, Vec<(u32, FrameSender)>) {
        let changes = self.changes();
        (changes, self.open().lanes.clone())
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
