//! Who may say what, when: the two halves of a session over any byte stream.
//!
//! A server's session begins as a greeting that accepts `HELLO` and `LOGIN` only; handlers of
//! every other request live on `Authenticated` sessions, which only a successful login makes.
//! A connection that joins a session (`lanes`, `joining`) moves chunks and nothing else.
//! Each verb is one file in `verbs`, with the server's and the client's end together.
//!
//! A session knows neither sockets nor TLS below, neither OS paths nor checksums. What a peer is
//! told is chosen in `refusal`; what the log says is more.

mod admission;
mod answers;
mod client;
mod error;
mod greeting;
mod joining;
mod keep_alive;
mod lanes;
mod notary;
mod refusal;
mod registry;
mod requests;
mod server;
mod small_files;
mod verbs;

pub use admission::Admission;
pub use client::{Client, ClientSettings};
pub use error::SessionError;
pub use joining::{JoinedLane, LaneControl};
pub use lanes::Desk;
pub use notary::Notary;
pub use registry::{Registry, SessionInfo, Visit};
pub use server::{Ended, Limits, Service, Terms, serve};
pub use verbs::get::WholeFile;

/// Program and version, as both ends tell each other for their logs.
pub const AGENT: &str = concat!("sealane/", env!("CARGO_PKG_VERSION"));
