//! A disk that fails and a power that is cut, for the tests of every room that writes.
//!
//! `calls` stands in the place of `fsio::system` in unit tests. A script, of this thread only,
//! makes the n-th call fail (`script`) or writes every call down (`book`); from what was written
//! down, `world` tells what may be on the disk after the power is cut, and `story` puts an
//! operation through all of it. Nothing here is in the programs.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "only tests use it, and they may fail loudly"
)]

mod book;
pub mod calls;
mod event;
mod script;
mod story;
#[cfg(test)]
mod tests;
mod world;

pub use story::{State, Story, said};
