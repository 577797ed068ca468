//! The store that keeps homes in a directory of this machine.
//!
//! It resolves every path through directory handles, so that no link and no race leads out of a
//! home; it keeps the quota ledger and commits whole files by one rename.

mod audit;
mod changes;
mod counting;
mod depth;
mod home;
mod ledger;
mod listing;
mod locks;
mod names;
mod opening;
mod partials;
mod readers;
mod source;
mod store;
#[cfg(test)]
mod tests;
mod upload;
mod view;
mod walk;

pub use audit::audit_on_disk;
pub use store::EmbeddedStore;
