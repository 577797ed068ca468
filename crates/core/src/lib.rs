//! Accounts, homes and quotas: what any protocol can serve.
//!
//! It knows no protocol, no TLS and no socket.

pub mod accounts;
pub mod service;
pub mod storage;
