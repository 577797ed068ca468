//! Which keys which server may have: what a client remembers between two connections.
//!
//! One private JSON file, replaced in one rename, with one lock for every writer; and on the server's side
//! the ring of its own keys. Nothing here connects, signs, asks anybody or decides to trust: it keeps
//! what was decided, and the rules by which it may change.

mod error;
#[cfg(test)]
mod faults;
mod file;
mod learn;
mod name;
mod ring;
mod server;
mod store;
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests damage the file")]
mod tests;

pub use error::TrustError;
pub use learn::{Announced, AnnouncedKey, MAX_ANNOUNCED, NotLearned, Proof};
pub use name::{Place, ServerName, ServerNameError};
pub use ring::{KeyRing, RingKey, Statement};
pub use server::{Alias, KnownKey, KnownServer, Source, State};
pub use store::{KnownServers, Store};
