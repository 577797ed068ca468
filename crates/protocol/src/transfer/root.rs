//! The root of a file without moving it, for `verify`.

use super::buffers::buffer_size;
use super::{Meter, TransferError};
use sealane_base::files::{Source, StorageError};
use sealane_base::types::digest::chunk_digest;
use sealane_base::types::{Digest, Layout, RootBuilder};

/// Reads `source` once and returns its root. Blocks. `stop` is asked before every chunk.
///
/// # Errors
/// [`TransferError::Storage`] if it cannot be read, is too large, or what was read of it changed
/// meanwhile; [`TransferError::Interrupted`] once `stop` says so.
pub fn root_of(
    source: &dyn Source,
    meter: &Meter,
    stop: &dyn Fn() -> bool,
) -> Result<Digest, TransferError> {
    let root = read_all(source, meter, stop)?;
    has_grown(source, root)?;
    Ok(root)
}

/// Whether `source`, which has just been read and found to have `root`, was written to meanwhile
/// without changing that, as a log is: it is as long as it was when it was opened, and reads the
/// same once more. Blocks.
///
/// # Errors
/// [`TransferError::Storage`] with `Changed` if it reads otherwise.
pub(super) fn has_grown(source: &dyn Source, root: Digest) -> Result<bool, TransferError> {
    match source.check_unchanged() {
        Ok(()) => return Ok(false),
        Err(StorageError::Changed) => {}
        Err(error) => return Err(error.into()),
    }
    let again = read_all(source, &Meter::default(), &|| false)?;
    if again == root { Ok(true) } else { Err(StorageError::Changed.into()) }
}

fn read_all(
    source: &dyn Source,
    meter: &Meter,
    stop: &dyn Fn() -> bool,
) -> Result<Digest, TransferError> {
    let layout = Layout::for_size(source.size())
        .map_err(|_| TransferError::Protocol("the file is larger than any file may be"))?;
    let mut buffer = vec![0; buffer_size(&layout)];
    let mut roots = RootBuilder::new(layout);
    for index in 0..layout.count() {
        if stop() {
            return Err(TransferError::Interrupted);
        }
        let length = layout.length(index).unwrap_or(0);
        let bytes = buffer.get_mut(..length).unwrap_or_default();
        source.read_at(layout.offset(index), bytes)?;
        roots
            .insert(index, chunk_digest(&layout, index, bytes))
            .map_err(|_| TransferError::Protocol("chunk order"))?;
        meter.moved(length as u64);
    }
    roots.finish().map_err(|_| TransferError::Protocol("chunk order"))
}
