//! User files: the only room that opens them.
//!
//! It resolves every path through directory handles, so that no link and no race leads out of the
//! directory that was opened; it keeps the quota ledger and commits whole files by one rename. It
//! knows nothing of accounts, connections or checksums.

mod audit;
mod changes;
mod claims;
mod gate;
mod home;
mod home_sink;
mod ledger;
mod listing;
mod partials;
#[cfg(test)]
mod tests;
mod vault;
mod walk;

pub use audit::{Audit, audit_on_disk};
pub use gate::Operation;
pub use home::{Home, PATIENCE, Sources};
pub use home_sink::HomeSink;
pub use ledger::Usage;
pub use listing::{Entry, Page, Scan};
pub use partials::Partial;
pub use vault::{Caps, Vault};
