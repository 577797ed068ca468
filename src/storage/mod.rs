//! User files: the only room that opens them.
//!
//! It resolves every path through directory handles, so that no link and no race leads out of the
//! directory that was opened; it keeps the quota ledger and commits whole files by one rename. It
//! knows nothing of accounts, connections or checksums.

mod audit;
mod batch;
mod changes;
mod claims;
mod error;
mod gate;
mod home;
mod home_sink;
mod jail;
mod ledger;
mod listing;
mod local;
mod meta;
mod partial;
mod partials;
mod readers;
mod room;
mod seam;
mod source;
mod stream;
#[cfg(test)]
mod tests;
mod tree;
mod vault;
mod walk;

/// Permissions that the server keeps for itself on every file of a home.
pub const OWNED_FILE: u32 = 0o600;
/// And on every directory.
pub const OWNED_DIRECTORY: u32 = 0o700;

pub use audit::{Audit, audit_on_disk};
pub use batch::SmallFile;
pub use error::StorageError;
pub use gate::Operation;
pub use home::{Home, PATIENCE, Sources};
pub use home_sink::HomeSink;
pub use jail::EntryKind;
pub use ledger::Usage;
pub use listing::{Entry, Page, Scan};
pub use local::{LocalSink, spool};
pub use partial::Replaced;
pub use partials::Partial;
pub use seam::{FileMeta, Sink, Source};
pub use source::{FileIdentity, FileSource};
pub use stream::{StreamSink, was_closed};
pub use tree::{Tree, TreeEntry, Unwalked, Walked, make_directory};
pub use vault::{Caps, Vault};
