//! Why a transfer ended without its file.

use thiserror::Error;

use crate::wire::WireError;
use sealane_base::files::StorageError;
use sealane_base::types::Digest;

/// A transfer that did not come to its end. What was acknowledged is kept for the next attempt.
#[derive(Debug, Error)]
pub enum TransferError {
    /// A chunk's bytes do not have the digest they were sent with.
    #[error("chunk {index} does not have the digest it was sent with")]
    Chunk {
        /// Index of the chunk.
        index: u32,
    },
    /// The connection ended, or one side gave the transfer up.
    #[error("the transfer was interrupted")]
    Interrupted,
    /// The peer sent chunks, claims or acknowledgements that cannot be.
    #[error("the peer broke the rules of a transfer: {0}")]
    Protocol(&'static str),
    /// What is on disk is not what the sender read.
    #[error("the file received has root {received}, the sender's has {expected}")]
    Root {
        /// The sender's root.
        expected: Digest,
        /// The root of what is here.
        received: Digest,
    },
    /// This end's file failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The peer made no progress for as long as a transfer may stand still.
    #[error("the transfer stood still for too long")]
    Stalled,
    /// A job of this end died.
    #[error("a job of the transfer died")]
    Thread,
}

impl From<WireError> for TransferError {
    // Whoever reads the connection knows why it ended; to the transfer it is an interruption.
    fn from(_: WireError) -> Self {
        Self::Interrupted
    }
}
