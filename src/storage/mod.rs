//! User files: the only room that opens them.
//!
//! It resolves every path through directory handles, so that no link and no race leads out of the
//! directory that was opened; it keeps the quota ledger and commits whole files by one rename. It
//! knows nothing of accounts, connections or checksums.

mod error;
mod seam;

pub use error::StorageError;
pub use seam::{FileMeta, Sink, Source};
