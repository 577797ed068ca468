//! All integration tests; one binary, a module per intent.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test may fail loudly, and plays the person at the terminal"
)]

mod tidy;
