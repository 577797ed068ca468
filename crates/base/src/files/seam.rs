//! What the engine may do with a file: read it as a [`Source`], fill it as a [`Sink`].
//!
//! No path and no handle goes above this seam, so another store (object storage, say) can stand
//! behind it. Everything here blocks: callers run it on threads that may.

use std::fmt;

use super::StorageError;

/// When and how a file was last changed, as it travels with the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileMeta {
    /// Modification time in nanoseconds since 1970-01-01 UTC; `None` to leave it to the receiver.
    pub modified: Option<i64>,
    /// Permission bits (`0o777` at most); `None` to leave them to the receiver's umask.
    pub mode: Option<u32>,
}

impl FileMeta {
    /// What goes to the other end: with `preserve` all of it, else the mode alone, so that a
    /// private file comes back private.
    #[must_use]
    pub fn told(self, preserve: bool) -> Self {
        Self { modified: self.modified.filter(|_| preserve), ..self }
    }
}

/// Which state of which file this is: two that are equal hold the same bytes, and have the same
/// time and permissions. Nothing can be read out of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Version(pub [u8; 16]);

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// A regular file being read. Its size is fixed when it is opened.
pub trait Source: Send + Sync + 'static {
    /// Size in bytes when the source was opened.
    fn size(&self) -> u64;

    /// Modification time and mode when the source was opened.
    fn meta(&self) -> FileMeta;

    /// Which version of the file was opened; `None` if what keeps it cannot tell versions apart.
    fn version(&self) -> Option<Version> {
        None
    }

    /// Fills all of `buffer` from byte `offset` on.
    ///
    /// # Errors
    /// [`StorageError::Changed`] if the file ends before that, [`StorageError::Io`] otherwise.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), StorageError>;

    /// Says whether the file is still the one that was opened (size, modification and change time).
    ///
    /// # Errors
    /// [`StorageError::Changed`] if it was written to since.
    fn check_unchanged(&self) -> Result<(), StorageError>;
}

/// A file being received. Nothing shows under its name before [`Sink::commit`].
///
/// Dropping a sink without commit keeps what was written for the next attempt and releases what
/// was reserved beyond it.
pub trait Sink: Send + Sync + 'static {
    /// How many bytes, from the start, can be read with [`Sink::read_held`]: what an earlier
    /// attempt left, or the present version of the file. At most the size that was declared.
    fn held(&self) -> u64;

    /// Fills `buffer` with held bytes from `offset` on. After this returns, those bytes are part
    /// of the file being received, unless [`Sink::write_at`] replaces them.
    ///
    /// # Errors
    /// Any [`StorageError`]; the caller then treats the bytes as not held.
    fn read_held(&self, offset: u64, buffer: &mut [u8]) -> Result<(), StorageError>;

    /// As [`Sink::read_held`], with what stands at `present_offset` in the file that has the name
    /// now; but where an earlier attempt left something at `offset`, with that.
    ///
    /// # Errors
    /// Any [`StorageError`]; nothing is known of the bytes at `offset` then.
    fn read_shifted(
        &self,
        offset: u64,
        present_offset: u64,
        buffer: &mut [u8],
    ) -> Result<(), StorageError> {
        let _ = (offset, present_offset, buffer);
        Err(StorageError::NotFound)
    }

    /// Length of the file that has the name now, if [`Sink::read_present`] can read it; else 0.
    fn present(&self) -> u64 {
        0
    }

    /// Fills `buffer` from the file that has the name now, which stays as it is until the commit.
    ///
    /// # Errors
    /// Any [`StorageError`]; the caller does without those bytes then.
    fn read_present(&self, offset: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        let _ = (offset, buffer);
        Err(StorageError::NotFound)
    }

    /// Writes all of `bytes` at `offset`. The range lies inside the declared size.
    ///
    /// # Errors
    /// [`StorageError::DiskFull`], [`StorageError::Superseded`], [`StorageError::Io`].
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), StorageError>;

    /// Makes the file durable and gives it its name in one rename: data synced, renamed, directory
    /// synced. Called once, when every byte is written and the root has been compared.
    ///
    /// # Errors
    /// Any [`StorageError`]. The old version is still in place then, and the partial is kept
    /// unless the system failed to bring it to the disk; only if the directory could not be
    /// synced, the new version has the name already but may not survive a power cut.
    fn commit(&self) -> Result<(), StorageError>;

    /// Gives up what was received: removes the partial and releases its reservation. For content
    /// that turned out to be wrong; an interrupted transfer is just dropped.
    fn discard(&self);
}
