//! Room on the disk and in the quota, and doing without.

use std::fmt;

use super::StorageError;
use super::jail::Directory;

/// Bytes that are copied at once.
pub(super) const COPIED: usize = 1 << 20;

/// Asks for the room that a copy takes.
pub struct Room(pub Box<dyn Fn() -> Result<(), StorageError> + Send + Sync>);

impl fmt::Debug for Room {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Room")
    }
}

/// Whether room was refused, which a file that is there already does not need.
#[must_use]
pub fn is_about_room(error: &StorageError) -> bool {
    use StorageError::{DiskFull, Quota, TooManyFiles, TooManyPartials};
    matches!(error, DiskFull { .. } | Quota { .. } | TooManyFiles { .. } | TooManyPartials { .. })
}

/// Nothing, if the file system has room for `bytes` more. Others may fill it meanwhile.
pub fn require_space(directory: &Directory, bytes: u64) -> Result<(), StorageError> {
    match bytes.saturating_sub(directory.free()?) {
        0 => Ok(()),
        short => Err(StorageError::DiskFull { short: Some(short) }),
    }
}

/// Nothing but zeros, and some. What is something else is mostly found to be in its first bytes.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    let is_zero = |block: &[u8]| block.iter().fold(0, |all, byte| all | byte) == 0;
    !bytes.is_empty() && bytes.chunks(256).all(is_zero)
}
