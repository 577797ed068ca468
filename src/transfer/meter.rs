//! How far a transfer is, for whoever draws it.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::types::Digest;

/// Counters of one or several transfers, in bytes. They only grow; read them whenever you like.
#[derive(Debug, Default)]
pub struct Meter {
    total: AtomicU64,
    verified: AtomicU64,
    reused: AtomicU64,
}

impl Meter {
    /// Adds the size of one more file to the total.
    pub fn expect(&self, bytes: u64) {
        self.total.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Adds bytes that crossed the wire and were verified by the receiver.
    pub fn moved(&self, bytes: u64) {
        self.verified.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Adds bytes that the receiver held already, verified and not sent.
    pub fn reused(&self, bytes: u64) {
        self.reused.fetch_add(bytes, Ordering::Relaxed);
        self.verified.fetch_add(bytes, Ordering::Relaxed);
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
}
