//! What every part of Sealane shares: values, small files of our own, and local files.
//!
//! It knows no account, no protocol and no network.

pub mod files;
pub mod fsio;
pub mod types;
