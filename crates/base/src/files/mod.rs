//! Files of this machine: read as a [`Source`], filled as a [`Sink`], walked as a [`Tree`].
//!
//! Every path is resolved through directory handles, one component at a time, so that no link and
//! no race leads out of the directory that was opened. It knows no account, no quota and no
//! checksum.

#![expect(
    clippy::missing_errors_doc,
    reason = "whatever opens, reads or writes here fails with a `StorageError`, as that type says"
)]

mod batch;
mod error;
pub mod jail;
mod local;
mod meta;
mod partial;
mod room;
mod seam;
mod source;
mod stream;
mod tree;

/// Permissions that the server keeps for itself on every file of a home.
pub const OWNED_FILE: u32 = 0o600;
/// And on every directory.
pub const OWNED_DIRECTORY: u32 = 0o700;

pub use batch::{SmallFile, Staged, commit_all};
pub use error::StorageError;
pub use jail::EntryKind;
pub use local::LocalSink;
pub use meta::{set_meta, umask};
pub use partial::{PartialFile, Replaced, lock_file, partial_stem, replaceable};
pub use room::{Room, is_about_room, require_space};
pub use seam::{FileMeta, Sink, Source, Version};
pub use source::{FileIdentity, FileSource, read_exactly, spool};
pub use stream::{StreamSink, was_closed};
pub use tree::{Tree, TreeEntry, Unwalked, Walked, make_directory};
