//! The three programs' command lines, and what an administrator's tool does.
//!
//! | part | does |
//! |---|---|
//! | [`cli`] | the terminal: flags, printing, progress, exit codes |
//! | [`config`] | one TOML file and the environment into each part's settings |
//! | [`admin`] | directories of a new server, certificates, migration |
//!
//! All else is in the crates below `crates`; `docs/ARCHITECTURE.md` follows a request through them.

pub mod admin;
pub mod cli;
pub mod config;
