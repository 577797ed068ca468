//! What can go wrong when a server is looked after.

use std::path::PathBuf;

use thiserror::Error;

use sealane_base::files::StorageError;
use sealane_base::fsio::FsError;
use sealane_base::types::text::printable;
use sealane_core::accounts::{AccountError, HashError, ManageError};
use sealane_tls::IdentityError;
use sealane_tls::trust::TrustError;

/// Something that was not done. Texts name the file.
#[derive(Debug, Error)]
pub enum AdminError {
    /// The account store cannot be opened or changed.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// Something has the name of a thing to be made.
    #[error("'{}' exists already", printable(&.0.to_string_lossy()))]
    Exists(PathBuf),
    /// A file cannot be read or made.
    #[error(transparent)]
    File(#[from] FsError),
    /// The files of an account cannot be moved or removed.
    #[error("'{}': {problem}", printable(&place.to_string_lossy()))]
    Files {
        /// Where they are.
        place: PathBuf,
        /// Why not.
        problem: StorageError,
    },
    /// A key and certificate cannot be made.
    #[error(transparent)]
    Generate(IdentityError),
    /// The configured cost of passwords cannot be used.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// The machine's own name is not one that an address can have.
    #[error("the name of this machine, '{0}', cannot stand in an address")]
    HostName(String),
    /// There are files in the home that a new account would have.
    #[error("the home '{}' has files in it", printable(&.0.to_string_lossy()))]
    Inhabited(PathBuf),
    /// Another account has the home, or one in or around it.
    #[error("the home '{home}' overlaps that of {other}")]
    Shared {
        /// The home.
        home: String,
        /// The account.
        other: String,
    },
    /// The keys of the server cannot be read or written.
    #[error(transparent)]
    Ring(#[from] TrustError),
    /// A step that does not fit the keys as they are.
    #[error("{0}")]
    Rotation(String),
    /// The accounts cannot be looked at.
    #[error(transparent)]
    Manage(#[from] ManageError),
    /// A certificate, or key, or the two together cannot be used.
    #[error("cannot use '{}': {problem}", printable(&path.to_string_lossy()))]
    Identity {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: IdentityError,
    },
}

impl AdminError {
    /// The command or key that helps, where there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Exists(_) => Some(
                "nothing is ever overwritten: choose another directory, or move that away if an \
                 earlier attempt left it"
                    .into(),
            ),
            Self::Inhabited(_) => Some("--adopt hands them over with the account".into()),
            Self::Shared { .. } => Some(
                "choose another --home; with --adopt both have it, but not at the same time".into(),
            ),
            Self::File(error) | Self::Account(AccountError::File(error)) => error.hint(),
            Self::Ring(error) => error.hint(),
            Self::Rotation(_) => Some("`sealane-admin cert show` shows the keys".into()),
            Self::HostName(_) => Some("set public_address in the configuration".into()),
            Self::Identity { problem: IdentityError::KeyMismatch, .. } => Some(
                "certificate and key are made together, by `sealane-admin cert generate`".into(),
            ),
            _ => None,
        }
    }

    /// True if a file, directory or account is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::File(error) | Self::Account(AccountError::File(error)) => error.is_not_found(),
            Self::Account(AccountError::NotFound(_)) => true,
            _ => false,
        }
    }
}
