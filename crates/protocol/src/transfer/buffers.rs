//! How much of a file one end may hold in memory.

use std::cell::RefCell;

use crate::limits;
use sealane_base::types::Layout;

thread_local! {
    /// What this thread reads into, and hashes at once.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Gives `work` a buffer of `size` bytes with anything in it. It belongs to the thread: what waits
/// for its turn holds none, however much of it there is.
pub(super) fn with_scratch<T>(size: usize, work: impl FnOnce(&mut [u8]) -> T) -> T {
    SCRATCH.with_borrow_mut(|scratch| {
        if scratch.len() < size {
            scratch.resize(size, 0);
        }
        work(scratch.get_mut(..size).unwrap_or_default())
    })
}

/// Bytes of the largest chunk of a file.
pub(super) fn buffer_size(layout: &Layout) -> usize {
    layout.length(0).unwrap_or(0)
}

/// Chunks of a file that one end may hold: one being filled and the window's, or what
/// [`limits::TRANSFER_MEMORY`] allows, for the sake of several connections.
pub(super) fn buffers(layout: &Layout) -> usize {
    (limits::TRANSFER_MEMORY / buffer_size(layout).max(1)).clamp(1 + limits::WINDOW, 16)
}
