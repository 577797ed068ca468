//! Small files of our own (records, keys, configuration): bounded reads, atomic writes, locks.
//!
//! Everything blocks and works on whole files of known maximal size. It opens no user files (that
//! is `storage`) and has no opinion on what the bytes mean.

mod append;
mod error;
mod lock;
mod log_file;
mod owner;
mod read;
#[cfg(any(test, feature = "rehearsal"))]
pub mod rehearsal;
pub mod system;
mod write;

#[cfg(any(test, feature = "rehearsal"))]
pub use rehearsal::calls as disk;
#[cfg(not(any(test, feature = "rehearsal")))]
pub use system as disk;

pub use append::AppendFile;
pub use error::{FsError, FsErrorKind};
pub use lock::{LOCK_TIMEOUT, LockGuard, lock_exclusive, lock_within, try_lock_exclusive};
pub use log_file::LogFile;
pub use read::{
    Stamp, line_of, list_names, read_bounded, read_bounded_no_follow, read_in_pieces, read_key,
    read_line, read_private,
};
pub use write::{
    create_directories, create_directory, create_new, remove_durably, remove_temporaries,
    remove_temporaries_of, sync_directory, write_atomic,
};
