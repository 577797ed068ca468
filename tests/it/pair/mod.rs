//! The two halves of a session, one of them played by hand, on a clock that tests move: what a
//! peer may say when, how long it may take, and what a lie brings it.

mod cancel;
mod downloads;
mod drain;
mod eager;
pub mod greeting;
mod keys;
mod lanes;
mod liar;
mod link;
mod listing;
mod panic;
mod random;
mod requests;
mod shared;
mod takeover;
mod time;
mod trees;
mod trips;
mod uploads;
