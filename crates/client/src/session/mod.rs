//! The client's half of a session, over any byte stream.
//!
//! It knows neither sockets nor TLS below, and no retries above.

mod admission;
mod answers;
mod client;
mod error;
mod joining;
mod verbs;

pub use admission::Admission;
pub use client::{Client, ClientSettings};
pub use error::SessionError;
pub use joining::{JoinedLane, LaneControl};
pub use verbs::get::WholeFile;
