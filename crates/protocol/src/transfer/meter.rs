//! How far a transfer is, for whoever draws it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sealane_base::types::Digest;

/// Counters of one or several transfers, in bytes. They only grow; read them whenever you like.
#[derive(Debug, Default)]
pub struct Meter {
    total: AtomicU64,
    verified: AtomicU64,
    reused: AtomicU64,
    /// The file that this is one attempt at.
    attempt_at: Option<Arc<File>>,
}

impl Meter {
    /// Adds the size of one more file to the total.
    pub fn expect(&self, bytes: u64) {
        self.total.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Adds bytes that crossed the wire and were verified by the receiver.
    pub fn moved(&self, bytes: u64) {
        let before = self.verified.fetch_add(bytes, Ordering::Relaxed);
        if let Some(file) = &self.attempt_at {
            file.moved.fetch_add(bytes, Ordering::Relaxed);
            file.reach(before + bytes, false);
        }
    }

    /// Adds bytes that the receiver held already, verified and not sent.
    pub fn reused(&self, bytes: u64) {
        self.reused.fetch_add(bytes, Ordering::Relaxed);
        let before = self.verified.fetch_add(bytes, Ordering::Relaxed);
        if let Some(file) = &self.attempt_at {
            file.reach(before + bytes, true);
        }
    }

    /// Bytes of all files begun.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Bytes verified at the receiving end, sent or held already.
    #[must_use]
    pub fn verified_bytes(&self) -> u64 {
        self.verified.load(Ordering::Relaxed)
    }

    /// Bytes that did not have to be sent.
    #[must_use]
    pub fn reused_bytes(&self) -> u64 {
        self.reused.load(Ordering::Relaxed)
    }
}

/// One file of a meter, over all attempts to bring it: what one attempt has counted, the next one
/// does not count again, so the sum neither goes backwards nor beyond the file.
#[derive(Debug)]
pub struct FileMeter(Arc<File>);

#[derive(Debug)]
struct File {
    all: Arc<Meter>,
    /// The furthest that an attempt has come.
    counted: AtomicU64,
    /// Bytes that crossed the wire in all attempts.
    moved: AtomicU64,
}

impl File {
    fn reach(&self, verified: u64, held: bool) {
        let before = self.counted.fetch_max(verified, Ordering::Relaxed);
        let more = verified.saturating_sub(before);
        if more > 0 {
            if held { self.all.reused(more) } else { self.all.moved(more) }
        }
    }
}

impl FileMeter {
    /// Counts into `all`.
    #[must_use]
    pub fn new(all: Arc<Meter>) -> Self {
        Self(Arc::new(File { all, counted: AtomicU64::new(0), moved: AtomicU64::new(0) }))
    }

    /// The meter of one more attempt.
    #[must_use]
    pub fn attempt(&self) -> Arc<Meter> {
        Arc::new(Meter { attempt_at: Some(Arc::clone(&self.0)), ..Meter::default() })
    }

    /// The furthest that an attempt has come, in bytes.
    #[must_use]
    pub fn counted(&self) -> u64 {
        self.0.counted.load(Ordering::Relaxed)
    }

    /// From what the last attempt did to what all did: what an earlier one is known to have moved
    /// is moved, and not held.
    #[must_use]
    pub fn all_in_all(&self, last: Outcome) -> Outcome {
        let moved = self.0.moved.load(Ordering::Relaxed).clamp(last.moved, last.size);
        Outcome { moved, reused: last.size - moved, ..last }
    }
}

/// What a finished transfer did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Size of the file in bytes.
    pub size: u64,
    /// BLAKE3 of the file.
    pub root: Digest,
    /// Bytes of chunks that crossed the wire.
    pub moved: u64,
    /// Bytes the receiver held already.
    pub reused: u64,
    /// The source was written to meanwhile: this is what it held when it was opened.
    pub grew: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_attempt_counts_from_where_the_first_one_stopped() {
        let all = Arc::new(Meter::default());
        let file = FileMeter::new(all.clone());
        let first = file.attempt();
        first.reused(10);
        first.moved(30);
        assert_eq!((all.verified_bytes(), all.reused_bytes()), (40, 10));
        let second = file.attempt();
        second.reused(35);
        assert_eq!((all.verified_bytes(), file.counted()), (40, 40), "neither back nor twice");
        second.moved(15);
        second.moved(50);
        assert_eq!((all.verified_bytes(), all.reused_bytes()), (100, 10));
        let last = Outcome { size: 100, root: Digest([0; 32]), moved: 65, reused: 35, grew: false };
        let outcome = file.all_in_all(last);
        assert_eq!((outcome.moved, outcome.reused), (95, 5), "5 of the first 40 went twice");
    }
}
