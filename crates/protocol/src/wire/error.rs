//! Why a connection ended.

use std::io;
use std::time::Duration;

use thiserror::Error;

use crate::FrameError;

/// The connection cannot be used any more.
#[derive(Debug, Error)]
pub enum WireError {
    /// This end closed it, or the other did between frames while an answer was due.
    #[error("the connection was closed")]
    Closed,
    /// The peer broke the protocol.
    #[error("the peer broke the protocol: {0}")]
    Frame(#[from] FrameError),
    /// The stream below failed.
    #[error("the connection failed: {0}")]
    Io(#[source] io::Error),
    /// The peer neither took nor gave a byte for this long.
    #[error("the peer has been silent for {} s", .0.as_secs())]
    Stalled(Duration),
    /// The stream ended in the middle of a frame.
    #[error("the connection was cut in the middle of a message")]
    Truncated,
}

impl From<io::Error> for WireError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Truncated,
            _ => Self::Io(error),
        }
    }
}
