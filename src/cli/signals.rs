//! Signals that would end a program because of one file.

use tokio::signal::unix::{SignalKind, signal};

use super::{Exit, Failure};

/// Has a write beyond the limit on file sizes (`ulimit -f`, `LimitFSIZE`) fail, with an error for
/// that file, instead of ending the program and with it all else it does. To be called in a
/// runtime; holds until the process ends. (The signal of a closed pipe is ignored from the start,
/// as in every Rust program.)
pub(super) fn outlast_large_files() -> Result<(), Failure> {
    let kind = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
    match signal(kind) {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::new(Exit::Other, format!("cannot watch signals: {error}"))),
    }
}
