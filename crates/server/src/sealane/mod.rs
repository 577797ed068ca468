//! The server's half of sealane/1, over any byte stream.
//!
//! A session begins as a greeting that accepts `HELLO` and `LOGIN` only; handlers of every other request live on
//! `Authenticated` sessions, which only a successful login makes. A connection that joins a session (`lanes`)
//! moves chunks and nothing else. Each verb is one file in `verbs`.
//!
//! It knows neither sockets nor TLS below, neither OS paths nor checksums. What a peer is
//! told is chosen in `refusal`; what the log says is more.

mod greeting;
mod lanes;
mod notary;
mod refusal;
mod registry;
mod requests;
mod server;
mod small_files;
mod verbs;

pub use lanes::Desk;
pub use notary::Notary;
pub use registry::{Registry, SessionInfo, Visit};
pub use server::{Ended, Limits, Service, Terms, serve};
