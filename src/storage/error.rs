//! What can go wrong with user files, by what the caller must do about it.

use std::io;

use thiserror::Error;

/// A failed storage operation. Texts name no path of this machine: what reaches a peer is chosen
/// by `session::refusal`, and the log adds the path.
#[derive(Debug, Error)]
pub enum StorageError {
    /// The file was written to while it was being read.
    #[error("the file changed while it was being read")]
    Changed,
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
    /// Another transfer of this process is still ending on the same name, or another process holds it.
    #[error("another transfer is writing to the same name")]
    InUse,
    /// Any other failure of the operating system.
    #[error("{0}")]
    Io(#[from] io::Error),
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
    /// The account's limit does not leave room.
    #[error("the account's quota has no room: {short} bytes short of {limit}")]
    Quota {
        /// Bytes by which the request exceeds what is free.
        short: u64,
        /// The account's limit in bytes.
        limit: u64,
    },
    /// A newer upload to the same name took over.
    #[error("a newer upload to the same name took over")]
    Superseded,
    /// The home itself cannot be removed, renamed or replaced.
    #[error("this cannot be done to the home itself")]
    Root,
}
