//! Sealane moves files between machines that trust each other's keys and nothing in between.
//!
//! # Layout
//!
//! Rooms stand on floors, and imports go down only (`tests/it/tidy` holds the line):
//!
//! | floor | rooms |
//! |---|---|
//! | 7 | [`cli`]: the terminal; the three programs call it |
//! | 6 | [`config`]: one TOML file into each room's settings |
//! | 5 | [`server`], [`client`], [`admin`]: sockets, signals, jobs |
//! | 4 | [`session`]: who may say what, when; one file per verb |
//! | 3 | [`transfer`]: moves chunks between a store and a wire |
//! | 2 | [`net`], [`wire`], [`tls`], [`storage`], [`accounts`], [`trust`]: one kind of IO each |
//! | 1 | [`protocol`]: pure; [`fsio`]: small files; [`sandbox`]: the process itself |
//! | 0 | [`types`]: paths, digests, chunk arithmetic, pins, secrets |
//!
//! `docs/ARCHITECTURE.md` follows a request through them; `docs/PROTOCOL.md` is the wire format.

pub mod accounts;
pub mod admin;
pub mod cli;
pub mod client;
pub mod config;
pub mod fsio;
pub mod net;
pub mod protocol;
pub mod sandbox;
pub mod server;
pub mod session;
pub mod storage;
pub mod tls;
pub mod transfer;
pub mod trust;
pub mod types;
pub mod wire;

/// Gives memory back to the system soon after a login or a transfer: with the system's allocator every
/// thread that has once evaluated argon2 may keep its 19 MiB.
// A test of this crate counts allocations instead.
#[cfg(not(test))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
