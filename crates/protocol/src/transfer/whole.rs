//! Files of one chunk, which travel in one message.

use super::root::is_unchanged;
use super::{Meter, Outcome, TransferError};
use sealane_base::files::{Sink, Source, StorageError};
use sealane_base::types::Digest;

/// Reads all of a small source. Blocks. Says as well whether it has grown since it was opened.
///
/// # Errors
/// [`TransferError::Storage`] if it cannot be read or what was read changed meanwhile.
pub fn load_whole(source: &dyn Source) -> Result<(Digest, Vec<u8>, bool), TransferError> {
    let size = usize::try_from(source.size()).map_err(|_| TransferError::Protocol("size"))?;
    let mut bytes = vec![0; size];
    source.read_at(0, &mut bytes)?;
    let digest = Digest::of_bytes(&bytes);
    let grew = !is_unchanged(source)?;
    if grew {
        source.read_at(0, &mut bytes)?;
        if Digest::of_bytes(&bytes) != digest {
            return Err(StorageError::Changed.into());
        }
    }
    Ok((digest, bytes, grew))
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
    Ok(Outcome { size, root: digest, moved: size, reused: 0, grew: false })
}
