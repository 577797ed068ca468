//! Values every room speaks in: paths, digests, chunk arithmetic, pins, addresses, secrets.
//!
//! Parsed once at the edge and trusted afterwards. Nothing here does IO, reads a clock or
//! imports any other room.

pub mod address;
pub mod chunk;
pub mod day;
pub mod digest;
pub mod duration;
pub mod grant;
pub mod listen;
pub mod network;
pub mod path;
pub mod pin;
pub mod secret;
pub mod size;
pub mod text;
pub mod username;

pub use address::Address;
pub use chunk::Layout;
pub use digest::{Digest, RootBuilder};
pub use grant::{Grant, Permission, Permissions};
pub use listen::ListenAddress;
pub use network::Network;
pub use path::RemotePath;
pub use pin::{Pin, PinSet};
pub use secret::Secret;
pub use username::Username;
