//! The terminal: flags as typed, results printed, errors mapped to exit codes.
//!
//! Each program is a module with a `main` that its binary calls. Nothing here knows the protocol.

pub mod admin;
pub mod client;
mod confine;
mod errors;
pub mod failure;
mod log_queue;
mod log_sums;
mod logging;
mod manager;
mod password;
pub mod server;
mod signals;
pub mod ui;
mod untrusted;

pub use failure::{Exit, Failure};
pub use ui::Ui;
