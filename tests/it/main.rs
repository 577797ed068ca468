//! All integration tests, one module an intent. Real processes, real sockets, real files.

#![allow(unreachable_pub, reason = "modules of one test binary share by pub")]
#![allow(clippy::disallowed_methods, reason = "tests look at files as a user would")]

mod pair;
mod sessions;
mod support;
