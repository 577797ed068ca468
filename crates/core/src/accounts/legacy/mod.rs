//! The way out of the legacy records: reading an old folder, bringing it in, seeing how far it is.
//!
//! Blocking functions that return values. Nothing here knows a password, and nothing is guessed: a
//! record that is not plainly good is left where it is, with the reason.

mod common;
mod folder;
mod homes;
mod import;
mod remains;
mod report;
#[cfg(test)]
mod tests;
mod wrap;

pub use folder::{Encoding, LegacyFile, read_folder};
pub use import::{ImportEntry, ImportVerdict};
pub use remains::Remains;
pub use report::{AccountLine, HashState, MigrationReport, StateCounts};
pub use wrap::Wrapping;
