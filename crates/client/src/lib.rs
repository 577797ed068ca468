//! The client of Sealane as a library: connects to pinned servers, logs in, moves files and trees,
//! and reconnects when a connection is lost.
//!
//! - [`Connector`] turns an address into a [`Client`]: it decides which keys are trusted and logs
//!   in with a key or a password. What only the program knows it asks through [`Prompts`].
//! - [`Client`] has a method for every request, and retries.
//! - [`tree`] brings files and trees over, many files at once, and compares them.
//! - [`session`] is one session over one connection, without retries.
//!
//! It prints nothing and reads no terminal. `examples/back_up.rs` and `examples/watch.rs` show its
//! use.

mod announced;
mod client;
mod connector;
mod dial;
mod digest_cache;
mod pace;
mod pool;
mod progress;
mod prompts;
mod receipt;
mod requests;
mod retry;
pub mod session;
pub mod tree;
mod trust;

pub use client::{Client, Dial, Reconnect};
pub use connector::{Connector, connect};
pub use dial::{ConnectError, PromptError, Target};
pub use digest_cache::DigestCache;
pub use pace::{Paced, RateLimit};
pub use progress::{Progress, ProgressStream};
pub use prompts::{Event, Prompts};
pub use receipt::{ReadReceipt, ReceiptError, SignedReceipt};
pub use retry::Retry;
pub use trust::Trust;
