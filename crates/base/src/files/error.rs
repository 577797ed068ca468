//! What can go wrong with user files, by what the caller must do about it.

use std::io;
use std::path::PathBuf;

use rustix::io::Errno;
use thiserror::Error;

use crate::types::path::{MAX_LEVELS, PathError};

/// A failed storage operation. Texts name no path of this machine (but for
/// [`StorageError::DataDirectory`], which only the start of a server meets): what reaches a peer
/// is chosen by `session::refusal`, and the log adds the path.
///
/// Made from an [`io::Error`], it is the variant that says the same, or [`StorageError::Io`].
#[derive(Debug, Error)]
pub enum StorageError {
    /// The file was written to while it was being read.
    #[error("the file changed while it was being read")]
    Changed,
    /// The data directory cannot be used as a whole.
    #[error("data directory {}: {reason}", path.display())]
    DataDirectory {
        /// The directory as it was given.
        path: PathBuf,
        /// What the system said, or that another server is using it.
        reason: io::Error,
    },
    /// The file system refuses access.
    #[error("permission denied")]
    Denied,
    /// The disk has no room for this many bytes more (`None` if the system did not say).
    #[error("the disk is full")]
    DiskFull {
        /// Bytes that did not fit, if known.
        short: Option<u64>,
    },
    /// Something is there already.
    #[error("it exists already")]
    Exists,
    /// A file was expected and this is a directory.
    #[error("it is a directory")]
    IsDirectory,
    /// The grant under which the home was opened does not allow this.
    #[error("this key may not do that")]
    Forbidden,
    /// A home is open that is the same, lies inside or lies around this one; or the account has
    /// another home open; or this is not a directory below `homes`.
    #[error("the home overlaps another one or is not below 'homes'")]
    HomeConflict,
    /// Another transfer of this process is still ending on the same name, or another process holds
    /// it.
    #[error("another transfer is writing to the same name")]
    InUse,
    /// A directory cannot become its own descendant.
    #[error("a directory cannot be moved into itself")]
    IntoItself,
    /// Any other failure of the operating system.
    #[error("{0}")]
    Io(io::Error),
    /// A limit of the process (`ulimit -f`, `LimitFSIZE`) or of the file system.
    #[error("the file is larger than the system lets it be")]
    LargerThanAllowed,
    /// A directory was expected and this is something else.
    #[error("it is not a directory")]
    NotDirectory,
    /// A directory that still has entries.
    #[error("the directory is not empty")]
    NotEmpty,
    /// Nothing has this name.
    #[error("no such file or directory")]
    NotFound,
    /// A symbolic link, FIFO, socket or device: never opened.
    #[error("it is not a regular file or directory")]
    NotRegular,
    /// There are directories that no server made so deep.
    #[error("directories are more than {MAX_LEVELS} levels below the home, in '{beginning}'")]
    OverDeep {
        /// The beginning of their path, as far as it can be printed.
        beginning: String,
    },
    /// The path breaks a rule once the directory that the grant is limited to stands before it.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The account's limit does not leave room.
    #[error("the account's quota has no room: {short} bytes short of {limit}")]
    Quota {
        /// Bytes by which the request exceeds what is free.
        short: u64,
        /// The account's limit in bytes.
        limit: u64,
    },
    /// Below the home something else is mounted: nothing is renamed into it or out of it.
    #[error("another file system is mounted there: only a whole home can be one of its own")]
    OtherFileSystem,
    /// The name is one that partials of downloads have.
    #[error("the name is reserved for partials of downloads")]
    Reserved,
    /// A newer upload to the same name took over.
    #[error("a newer upload to the same name took over")]
    Superseded,
    /// What is made or moved, or something in it, would be too deep, or may be.
    #[error("directories would be more than {MAX_LEVELS} levels below the home")]
    TooDeep,
    /// The account has as many files and directories as it may have.
    #[error("the account has as many files and directories as it may have: {limit}")]
    TooManyFiles {
        /// So many.
        limit: u64,
    },
    /// As many uploads were interrupted and not taken up again as may be kept.
    #[error("{limit} interrupted uploads are kept, and there may be no more")]
    TooManyPartials {
        /// So many.
        limit: u64,
    },
    /// The home itself cannot be removed, renamed or replaced.
    #[error("this cannot be done to the home itself")]
    Root,
}

impl StorageError {
    /// True if who was to read what is written has gone.
    #[must_use]
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl From<Errno> for StorageError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::ACCESS | Errno::PERM | Errno::ROFS => Self::Denied,
            Errno::EXIST => Self::Exists,
            Errno::ISDIR => Self::IsDirectory,
            // `ELOOP` and `EMLINK` refuse a symbolic link, `ENXIO` a socket or a FIFO nobody reads.
            Errno::LOOP | Errno::MLINK | Errno::NXIO => Self::NotRegular,
            Errno::NOENT => Self::NotFound,
            Errno::NOSPC | Errno::DQUOT => Self::DiskFull { short: None },
            Errno::FBIG => Self::LargerThanAllowed,
            Errno::NOTDIR => Self::NotDirectory,
            Errno::NOTEMPTY => Self::NotEmpty,
            Errno::XDEV => Self::OtherFileSystem,
            other => Self::Io(other.into()),
        }
    }
}

impl From<io::Error> for StorageError {
    fn from(error: io::Error) -> Self {
        match Errno::from_io_error(&error) {
            Some(errno) => errno.into(),
            None => Self::Io(error),
        }
    }
}
