//! The two halves of a session, one of them played by hand, on a clock that tests move: what a
//! peer may say when, how long it may take, and what a lie brings it.

mod cancel;
mod downloads;
mod drain;
mod greeting;
mod lanes;
mod liar;
mod random;
mod requests;
mod shared;
mod takeover;
mod time;
mod trees;
mod trips;
mod uploads;
