//! Files of one chunk, which travel in one message.

use super::{Meter, Outcome, TransferError};
use sealane_base::files::{Sink, Source};
use sealane_base::types::Digest;

/// Reads all of a small source. Blocks.
///
/// # Errors
/// [`TransferError::Storage`] if it cannot be read or changed meanwhile.
pub fn load_whole(source: &dyn Source) -> Result<(Digest, Vec<u8>), TransferError> {
    let size = usize::try_from(source.size()).map_err(|_| TransferError::Protocol("size"))?;
    let mut bytes = vec![0; size];
    source.read_at(0, &mut bytes)?;
    source.check_unchanged()?;
    Ok((Digest::of_bytes(&bytes), bytes))
}

/// Checks that `bytes` have the digest they were sent with.
///
/// # Errors
/// [`TransferError::Chunk`] if not.
pub fn check_whole(digest: Digest, bytes: &[u8]) -> Result<(), TransferError> {
    if Digest::of_bytes(bytes) == digest { Ok(()) } else { Err(TransferError::Chunk { index: 0 }) }
}

/// Checks, writes and commits a whole small file. Blocks.
///
/// # Errors
/// [`TransferError::Chunk`] if the bytes do not have `digest`, [`TransferError::Storage`] if they
/// cannot be stored; nothing is under the name then.
pub fn store_whole(
    sink: &dyn Sink,
    digest: Digest,
    bytes: &[u8],
    meter: &Meter,
) -> Result<Outcome, TransferError> {
    check_whole(digest, bytes)?;
    sink.write_at(0, bytes)?;
    sink.commit()?;
    let size = bytes.len() as u64;
    meter.moved(size);
    Ok(Outcome { size, root: digest, moved: size, reused: 0 })
}
