//! Homes and their files, quotas and uploads: the seam that doors see, and the embedded store
//! behind it.
//!
//! The embedded store resolves every path through directory handles, so that no link and no race
//! leads out of a home; it keeps the quota ledger and commits whole files by one rename. Nothing
//! here knows accounts, connections or checksums, or judges a permission.

mod audit;
mod changes;
mod embedded;
mod embedded_store;
mod ledger;
mod listing;
mod locks;
mod partials;
mod readers;
mod seam;
#[cfg(test)]
mod tests;
mod upload;
mod view;
mod walk;

pub use audit::{Audit, audit_on_disk};
pub use embedded_store::{Caps, EmbeddedStore};
pub use ledger::Usage;
pub use listing::{Entry, Page};
pub use partials::Partial;
pub use seam::{HomeStore, Scan, Store, TAKEOVER, Upload, View};
