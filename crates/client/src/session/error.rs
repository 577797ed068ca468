//! Why a client's request or session failed.

use std::sync::Arc;

use thiserror::Error;

use sealane_base::files::StorageError;
use sealane_base::types::text;
use sealane_protocol::message::Refused;
use sealane_protocol::transfer::TransferError;
use sealane_protocol::wire::WireError;
use sealane_protocol::{Kind, Status};

/// A request of the client did not succeed.
#[derive(Debug, Error)]
pub enum SessionError {
    /// The connection ended before the answer.
    #[error(transparent)]
    Connection(Arc<WireError>),
    /// The server answered something that is no answer to the question.
    #[error("the server answered with {0:?}, which does not fit the question")]
    Answer(Kind),
    /// The server refused.
    #[error("{}", refused_text(.0))]
    Refused(Refused),
    /// The server lists more than is kept in memory.
    #[error("the server lists more than {mebibytes} MiB of names, which is where the client stops")]
    TooLong {
        /// As much is kept.
        mebibytes: usize,
    },
    /// This end's file, or what arrived, is at fault.
    #[error(transparent)]
    Transfer(TransferError),
}

impl SessionError {
    /// The server's status, if it refused.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        match self {
            Self::Refused(refused) => Some(refused.status()),
            _ => None,
        }
    }

    /// The same failure for one more request. What went wrong with a file of this end is told once:
    /// to the others the transfer was interrupted.
    pub(crate) fn again(&self) -> Self {
        match self {
            Self::Connection(why) => Self::Connection(Arc::clone(why)),
            Self::Refused(refused) => Self::Refused(refused.clone()),
            Self::Answer(kind) => Self::Answer(*kind),
            Self::TooLong { mebibytes } => Self::TooLong { mebibytes: *mebibytes },
            Self::Transfer(_) => Self::Transfer(TransferError::Interrupted),
        }
    }
}

impl SessionError {
    /// This end's file is not there any more.
    #[must_use]
    pub fn is_gone_here(&self) -> bool {
        matches!(self, Self::Transfer(TransferError::Storage(StorageError::NotFound)))
    }

    /// This end's file was changed while it was read.
    #[must_use]
    pub fn has_changed_here(&self) -> bool {
        matches!(self, Self::Transfer(TransferError::Storage(StorageError::Changed)))
    }
}

impl From<WireError> for SessionError {
    fn from(error: WireError) -> Self {
        Self::Connection(Arc::new(error))
    }
}

impl From<TransferError> for SessionError {
    fn from(error: TransferError) -> Self {
        Self::Transfer(error)
    }
}

impl From<StorageError> for SessionError {
    fn from(error: StorageError) -> Self {
        Self::Transfer(TransferError::Storage(error))
    }
}

/// Our own text for statuses we know; the server's, made printable, for the others.
fn refused_text(refused: &Refused) -> String {
    match refused.status() {
        Status::Other(_) | Status::Path | Status::NotEnrolled => text::printable(&refused.text),
        status => match refused.wait {
            Some(seconds) => format!("{status}: wait {seconds} s"),
            None => status.to_string(),
        },
    }
}
