//! How much of a file one end may hold in memory.

use crate::limits;
use sealane_base::types::Layout;

/// Bytes of the largest chunk of a file.
pub(super) fn buffer_size(layout: &Layout) -> usize {
    layout.length(0).unwrap_or(0)
}

/// Chunks of a file that one end may hold: one being filled and the window's, or what
/// [`limits::TRANSFER_MEMORY`] allows, for the sake of several connections.
pub(super) fn buffers(layout: &Layout) -> usize {
    (limits::TRANSFER_MEMORY / buffer_size(layout).max(1)).clamp(1 + limits::WINDOW, 16)
}
