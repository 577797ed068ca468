//! Which keys which server may have: what a client remembers between two connections.
//!
//! One private JSON file, replaced in one rename, with one lock for every writer. Nothing here
//! connects, asks anybody or decides to trust: it keeps what was decided, and the rules by which
//! it may change.

mod error;
mod file;
mod name;
mod server;
mod store;
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests damage the file")]
mod tests;

pub use error::TrustError;
pub use name::{Place, ServerName, ServerNameError};
pub use server::{KnownKey, KnownServer, Source, State};
pub use store::{KnownServers, Store};
