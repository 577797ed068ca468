//! Why one path of a tree was not brought over.

use thiserror::Error;

use crate::session::SessionError;
use sealane_base::files::StorageError;
use sealane_base::types::path::PathError;

/// Why one path of a tree was not brought over.
#[derive(Debug, Error)]
pub enum TreeError {
    /// Either end failed.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// Its name cannot exist at the other end.
    #[error(transparent)]
    Name(#[from] PathError),
    /// The directory holds this many names that the server cannot tell.
    #[error("{0} names in it cannot be fetched")]
    Hidden(u64),
    /// Something of another kind has the name at the other end.
    #[error("there is {0} of this name at the other end")]
    InTheWay(&'static str),
    /// The file system here takes the name for another one's.
    #[error("the file system here takes its name for that of '{0}'")]
    SameName(String),
}

impl From<StorageError> for TreeError {
    fn from(error: StorageError) -> Self {
        Self::Session(error.into())
    }
}

/// A path of a tree that was not brought over, and why.
#[derive(Debug)]
pub struct Problem {
    /// Relative to the tree, as people know it.
    pub path: String,
    /// Why.
    pub error: TreeError,
}

impl TreeError {
    /// Its name, or those of what it holds, cannot exist at the other end; so what is there is none
    /// of it.
    pub(super) fn is_about_names(&self) -> bool {
        matches!(self, Self::Name(_) | Self::Hidden(_))
    }
}
