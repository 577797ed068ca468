//! What every part of Sealane shares: values, small files of our own, local files, and the threads
//! that wait for them.
//!
//! It knows no account, no protocol and no network.

pub mod files;
pub mod fsio;
pub mod types;
pub mod workers;
