//! The client's half of a session, over any byte stream: login, requests, answers.
//!
//! It knows neither sockets nor TLS below, and no retries above: those are for
//! [`Client`](crate::Client), which has a method for every request.

mod allowance;
mod answers;
mod error;
mod get;
mod handle;
mod joiner;
mod list;
mod memory;
mod partials;
mod put;
mod reader;

pub use error::SessionError;
pub use get::WholeFile;
pub use handle::{Session, SessionSettings};
pub use joiner::{JoinedConnection, Joiner};
pub use memory::ListingMemory;
pub use reader::OnLogin;

pub(crate) use get::{OpenSink, download, download_whole};
pub(crate) use list::{list, list_whole};
pub(crate) use partials::partials;
pub(crate) use put::{upload, upload_whole};
