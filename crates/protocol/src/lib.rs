//! The wire format of `docs/PROTOCOL.md`: frames, messages, statuses, bounds.
//!
//! Pure: bytes in, values out. It opens no socket, reads no clock and keeps no state between
//! frames; who may send what in which order is the business of `session` and `transfer`.

mod chunks;
pub mod frame;
pub mod join;
pub mod keep_alive;
pub mod keys;
pub mod limits;
pub mod message;
pub mod pieces;
pub mod receipt;
pub mod status;
pub mod transfer;
pub mod wire;

pub use frame::{FrameError, Header, Kind, Side};
pub use message::{ClientMessage, ServerMessage};
pub use status::Status;

/// Program and version, as both ends tell each other for their logs.
pub const AGENT: &str = concat!("sealane/", env!("CARGO_PKG_VERSION"));

/// The only version of the protocol (`docs/PROTOCOL.md` §8).
pub const VERSION: u64 = 1;
