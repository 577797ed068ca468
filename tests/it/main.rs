//! All integration tests; one binary, a module per intent.

mod admin;
