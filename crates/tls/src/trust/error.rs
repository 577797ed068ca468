//! What can go wrong with known servers. Texts name the server or the file.

use std::path::PathBuf;

use thiserror::Error;

use super::announced::NotLearned;
use super::name::ServerName;
use sealane_base::fsio::FsError;
use sealane_base::types::Pin;
use sealane_base::types::text::printable;

/// Something that was not done; the store is as it was.
#[derive(Debug, Error)]
pub enum TrustError {
    /// The file is not what we write. The text says why, and never that it was ignored.
    #[error("'{}' is damaged: {why}", printable(&path.to_string_lossy()))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// One entry of the file cannot be read, and it is, or may be, that of the server which is
    /// asked for.
    #[error("the entry of {server} among the known servers is damaged: {why}")]
    DamagedEntry {
        /// The server, or what the entry says instead of one.
        server: String,
        /// What is wrong with it.
        why: String,
    },
    /// The server is known with other keys.
    #[error("{0} is known with other keys")]
    Differs(String),
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] FsError),
    /// There are more keys or servers than are kept.
    #[error("{0}: more than {1} are not kept")]
    Full(&'static str, usize),
    /// The name stands for another server.
    #[error("the name '{0}' stands for {1} already")]
    NameTaken(ServerName, String),
    /// A later program has written the file.
    #[error(
        "'{}' has version {version}, this program knows 1",
        printable(&path.to_string_lossy())
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// What it says of itself.
        version: u64,
    },
    /// The key to be replaced is not one that is accepted.
    #[error("{0} is not known with the key {1}")]
    NoKey(String, Pin),
    /// The key was revoked: it never comes back.
    #[error("the key {1} of {0} was revoked and is never accepted again, for any server")]
    Revoked(String, Pin),
    /// There is no directory for the file.
    #[error("there is no place to remember servers: neither XDG_CONFIG_HOME nor HOME is set")]
    NoPlace,
    /// What the server announced was not learned.
    #[error(transparent)]
    NotLearned(#[from] NotLearned),
    /// Neither a server nor a name of one.
    #[error("{0} is not known")]
    Unknown(String),
}

impl TrustError {
    /// The command that helps, where there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Damaged { path, .. } => Some(format!(
                "restore '{}' from a copy, or move it away and add servers again with 'sealane trust add'",
                printable(&path.to_string_lossy())
            )),
            Self::DamagedEntry { server, .. } => Some(format!(
                "'sealane trust remove {server}' (or --damaged) forgets it; then add the server again with its address"
            )),
            Self::Differs(server) => Some(format!(
                "'sealane trust show {server}' shows them, 'sealane trust replace' changes one"
            )),
            Self::File(error) => error.hint(),
            Self::NameTaken(name, _) => {
                Some(format!("take another name, or 'sealane trust remove {name}' first"))
            }
            Self::Newer { .. } => Some("use the newer program".to_owned()),
            Self::NoKey(server, _) => Some(format!("'sealane trust show {server}' shows its keys")),
            Self::Unknown(_) => Some("'sealane trust list' shows the servers that are".to_owned()),
            Self::Full(..) | Self::NoPlace | Self::NotLearned(_) | Self::Revoked(..) => None,
        }
    }
}
