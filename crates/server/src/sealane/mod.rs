//! The server's half of sealane/1, over any byte stream.
//!
//! A session begins as a greeting that accepts `HELLO` and `LOGIN` only; handlers of every other request live on
//! `Authenticated` sessions, which only a successful login makes. A connection that joins a session (`joining`)
//! moves chunks and nothing else. Each verb is one file in `verbs`.
//!
//! It knows neither sockets nor TLS below, neither OS paths nor checksums. What a peer is
//! told is chosen in `refusal`; what the log says is more.

mod greeting;
mod joining;
mod refusal;
mod requests;
mod session;
mod settings;
mod signer;
mod small_files;
mod verbs;

pub use joining::TokenTable;
pub use session::serve;
pub use settings::{Door, Ended, Limits, Terms};
pub use signer::Signer;
