//! What can go wrong with a small file, always with the path it went wrong with.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use thiserror::Error;

use crate::types::text::printable;

/// A failed operation on one file or directory. Its text reads `cannot read 'X': …`.
#[derive(Debug, Error)]
#[error("cannot {action} '{}': {kind}", printable(&path.to_string_lossy()))]
pub struct FsError {
    /// What was tried: a verb that follows "cannot".
    pub action: &'static str,
    /// The file or directory it was tried on.
    pub path: PathBuf,
    /// Why it failed.
    pub kind: FsErrorKind,
}

/// Why an operation on a small file failed.
#[derive(Debug, Error)]
pub enum FsErrorKind {
    /// Any failure of the operating system.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Somebody holds the lock, and did not let go in time.
    #[error("it is in use by {holder}")]
    Locked {
        /// Which process, if the system says so.
        holder: String,
    },
    /// A symbolic link (where links are not followed), directory, FIFO, socket or device.
    #[error("it is not a regular file")]
    NotRegular,
    /// Its mode lets the group or others read or write.
    #[error("its mode {mode:04o} lets others read or write it")]
    NotPrivate {
        /// The permission bits found.
        mode: u32,
    },
    /// The file is larger than it may be.
    #[error("it is larger than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
}

impl FsError {
    pub(super) fn new(action: &'static str, path: &Path, kind: impl Into<FsErrorKind>) -> Self {
        Self { action, path: path.to_owned(), kind: kind.into() }
    }

    /// True if nothing has that name, be it because what should hold it is no directory
    /// (`HOME=/dev/null`).
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.is_io(io::ErrorKind::NotFound) || self.is_io(io::ErrorKind::NotADirectory)
    }

    /// True if something has that name already.
    #[must_use]
    pub fn is_exists(&self) -> bool {
        self.is_io(io::ErrorKind::AlreadyExists)
    }

    /// True if the disk, or a quota of the file system, has no room.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.is_io(io::ErrorKind::StorageFull)
            || self.is_io(io::ErrorKind::QuotaExceeded)
            || self.is_io(io::ErrorKind::FileTooLarge)
    }

    /// True if the process or the machine had no descriptor or no memory left: nothing is known of
    /// the file.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        const LIMITS: [Errno; 3] = [Errno::MFILE, Errno::NFILE, Errno::NOMEM];
        let FsErrorKind::Io(error) = &self.kind else { return false };
        Errno::from_io_error(error).is_some_and(|errno| LIMITS.contains(&errno))
    }

    /// The command that helps, where there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self.kind {
            FsErrorKind::NotPrivate { .. } => {
                Some(format!("chmod 600 '{}'", printable(&self.path.to_string_lossy())))
            }
            FsErrorKind::Locked { .. } => {
                Some("let that process finish, or end it, and run the same command again".into())
            }
            FsErrorKind::Io(_) if self.is_full() => {
                Some("make room and run the same command again".into())
            }
            _ => None,
        }
    }

    fn is_io(&self, wanted: io::ErrorKind) -> bool {
        matches!(&self.kind, FsErrorKind::Io(error) if error.kind() == wanted)
    }
}

impl From<Errno> for FsErrorKind {
    fn from(error: Errno) -> Self {
        Self::Io(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_names_the_file_and_escapes_it() {
        let error = FsError::new("read", Path::new("a\u{1b}b"), FsErrorKind::NotRegular);
        assert_eq!(error.to_string(), "cannot read 'a\\u{1b}b': it is not a regular file");
        assert_eq!(error.hint(), None);
    }

    #[test]
    fn others_reading_a_secret_has_a_remedy() {
        let error = FsError::new("use", Path::new("k"), FsErrorKind::NotPrivate { mode: 0o644 });
        assert_eq!(error.to_string(), "cannot use 'k': its mode 0644 lets others read or write it");
        assert_eq!(error.hint().unwrap(), "chmod 600 'k'");
    }
}
