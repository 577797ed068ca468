//! From an error of a lower room to what the peer may know and what the log says.

use sealane_base::files::StorageError;
use sealane_base::types::chunk::LayoutError;
use sealane_base::types::path::PathError;
use sealane_core::accounts::EnrollError;

use sealane_protocol::Status;
use sealane_protocol::message::{Refused, ServerMessage};
use sealane_protocol::transfer::TransferError;

/// A request that ends without success: the peer's part and ours.
#[derive(Debug)]
pub(super) struct Refusal {
    refused: Refused,
    /// For the log only; `None` where the status says everything.
    pub(super) internal: Option<String>,
}

impl Refusal {
    pub(super) fn new(status: Status) -> Self {
        Self { refused: Refused::new(status), internal: None }
    }

    pub(super) fn internal(text: impl std::fmt::Display) -> Self {
        Self { internal: Some(text.to_string()), ..Self::new(Status::Internal) }
    }

    /// With a text of its own, which says more than the status.
    fn said(status: Status, text: &impl std::fmt::Display) -> Self {
        let mut refusal = Self::new(status);
        refusal.refused.text = text.to_string();
        refusal
    }

    pub(super) fn status(&self) -> Status {
        self.refused.status()
    }

    pub(super) fn into_message(self) -> ServerMessage {
        ServerMessage::Refused(self.refused)
    }

    fn short(mut self, short: Option<u64>, limit: Option<u64>) -> Self {
        (self.refused.short, self.refused.limit) = (short, limit);
        self
    }
}

impl From<PathError> for Refusal {
    fn from(error: PathError) -> Self {
        Self::said(Status::Path, &error)
    }
}

impl From<EnrollError> for Refusal {
    fn from(error: EnrollError) -> Self {
        match error {
            EnrollError::Account(error) => Self::internal(error),
            error => Self::said(Status::NotEnrolled, &error),
        }
    }
}

impl From<LayoutError> for Refusal {
    fn from(_: LayoutError) -> Self {
        Self::new(Status::TooLarge)
    }
}

impl From<StorageError> for Refusal {
    fn from(error: StorageError) -> Self {
        let status = match &error {
            StorageError::Changed => Status::Changed,
            StorageError::Denied => Status::Denied,
            StorageError::DiskFull { short } => {
                let short = *short;
                return Self::new(Status::DiskFull).short(short, None);
            }
            StorageError::Exists => Status::Exists,
            StorageError::Forbidden => Status::Forbidden,
            StorageError::InUse => Status::InUse,
            StorageError::IntoItself | StorageError::OtherFileSystem | StorageError::TooDeep => {
                return Self::said(Status::Path, &error);
            }
            StorageError::IsDirectory => Status::IsDirectory,
            StorageError::LargerThanAllowed => {
                return Self { internal: Some(error.to_string()), ..Self::new(Status::TooLarge) };
            }
            StorageError::NotDirectory => Status::NotDirectory,
            StorageError::NotEmpty => Status::NotEmpty,
            StorageError::NotFound => Status::NotFound,
            StorageError::NotRegular => Status::NotRegular,
            StorageError::Path(error) => return (*error).into(),
            StorageError::Quota { short, limit } => {
                let (short, limit) = (Some(*short), Some(*limit));
                return Self::new(Status::Quota).short(short, limit);
            }
            StorageError::Root => Status::Root,
            StorageError::TooManyFiles { limit } => {
                return Self::new(Status::TooManyFiles).short(None, Some(*limit));
            }
            StorageError::TooManyPartials { limit } => {
                return Self::new(Status::TooManyPartials).short(None, Some(*limit));
            }
            StorageError::Superseded => Status::Superseded,
            _ => return Self::internal(error),
        };
        Self::new(status)
    }
}

impl From<TransferError> for Refusal {
    fn from(error: TransferError) -> Self {
        match error {
            TransferError::Storage(error) => error.into(),
            TransferError::Chunk { .. } | TransferError::Root { .. } => {
                Self { internal: Some(error.to_string()), ..Self::new(Status::Integrity) }
            }
            TransferError::Stalled => Self::new(Status::Stalled),
            error => Self::internal(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operating_system_error_stays_in_the_log() {
        let error = std::io::Error::other("/srv/secret/place is broken");
        let refusal = Refusal::from(StorageError::Io(error));
        assert!(refusal.internal.as_ref().unwrap().contains("/srv/secret/place"));
        let ServerMessage::Refused(refused) = refusal.into_message() else { panic!() };
        assert_eq!(refused, Refused::new(Status::Internal));
    }

    #[test]
    fn a_quota_says_how_much() {
        let refusal = Refusal::from(StorageError::Quota { short: 5, limit: 100 });
        let ServerMessage::Refused(refused) = refusal.into_message() else { panic!() };
        assert_eq!((refused.short, refused.limit), (Some(5), Some(100)));
    }
}
