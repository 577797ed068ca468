//! All integration tests, one module an intent. Real processes, real sockets, real files.

#![allow(
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "tests may fail loudly, look at files as a user would, and share modules by pub"
)]

mod absent;
mod admin;
mod clashes;
mod crowds;
mod doors;
mod eager;
mod endless;
mod faults;
mod guessing;
mod handy;
mod hostile;
mod https;
mod inputs;
mod json;
mod key_files;
mod keys;
mod lasting;
mod library;
mod limits;
mod listeners;
mod lives;
mod logging;
mod machine;
mod migration;
mod model;
mod modes;
mod mounted;
mod output;
mod pair;
mod partials;
mod passwords;
mod receipts;
mod records;
mod resume;
mod running;
mod sandbox;
mod sessions;
mod several;
mod shifted;
mod strikes;
mod support;
mod sync;
mod tidy;
mod trees;
mod trust;
mod verify;
mod ways_out;
mod wire;
