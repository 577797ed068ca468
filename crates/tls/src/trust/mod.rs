//! Which keys which server may have: what a client remembers between two connections.
//!
//! One private JSON file, replaced in one rename, with one lock for every writer; and on the
//! server's side the ring of its own keys. Nothing here connects, signs, asks anybody or decides to
//! trust: it keeps what was decided, and the rules by which it may change.

mod announced;
mod error;
#[cfg(test)]
mod faults;
mod file;
mod learn;
mod name;
mod ring;
mod server;
mod state;
mod store;
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests damage the file")]
mod tests;

pub use announced::{Announced, AnnouncedKey, MAX_ANNOUNCED, NotLearned, Proof};
pub use error::TrustError;
pub use file::DamagedEntry;
pub use name::{HostPort, ServerName, ServerNameError};
pub use ring::{KeyRing, RingKey, Statement};
pub use server::{Alias, KnownKey, KnownServer};
pub use state::{Source, State};
pub use store::{KnownServers, MAX_FILE, Store};
