//! The file as it is written: a mirror of `config.toml`, every key with its default.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::Deserialize;
use time::Date;

use super::values::{self, Count};
use sealane_base::types::address::DEFAULT_PORT;
use sealane_base::types::{Address, ListenAddress, Pin};
use sealane_core::accounts::PasswordEncoding;
use sealane_server::sandbox::Mode;
use sealane_tls::socket::Congestion;

const YEAR: u32 = 365 * 24 * 3600;

/// Seconds; a year at most, so that adding them to any time is possible.
pub(super) type Seconds = Count<YEAR>;

#[derive(Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(super) struct File {
    #[serde(deserialize_with = "values::listen_addresses")]
    pub(super) listen: Vec<ListenAddress>,
    #[serde(deserialize_with = "values::host_and_port")]
    pub(super) public_address: Option<Address>,
    #[serde(deserialize_with = "values::congestion")]
    pub(super) congestion: Congestion,
    pub(super) tls: Tls,
    pub(super) accounts: Accounts,
    pub(super) storage: Storage,
    pub(super) home_map: Vec<HomeRule>,
    pub(super) door: Vec<Door>,
    pub(super) login: Login,
    pub(super) limits: Limits,
    pub(super) log: Log,
    pub(super) process: Process,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Log {
    #[serde(deserialize_with = "values::optional_path")]
    pub(super) file: Option<PathBuf>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Tls {
    #[serde(deserialize_with = "values::path")]
    pub(super) certificate: PathBuf,
    #[serde(deserialize_with = "values::path")]
    pub(super) key: PathBuf,
    #[serde(deserialize_with = "values::pin")]
    pub(super) backup_pin: Option<Pin>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Accounts {
    #[serde(deserialize_with = "values::path")]
    pub(super) directory: PathBuf,
    #[serde(deserialize_with = "values::path")]
    pub(super) migration: PathBuf,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Storage {
    #[serde(deserialize_with = "values::path")]
    pub(super) data: PathBuf,
    pub(super) partial_expiry_days: Count<36_500>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(super) struct HomeRule {
    pub(super) from: String,
    pub(super) to: String,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(super) struct Door {
    pub(super) kind: DoorKind,
    #[serde(deserialize_with = "values::listen_addresses")]
    pub(super) listen: Vec<ListenAddress>,
    #[serde(default, deserialize_with = "values::optional_path")]
    pub(super) certificate: Option<PathBuf>,
    #[serde(default, deserialize_with = "values::optional_path")]
    pub(super) key: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(super) enum DoorKind {
    Https,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Login {
    pub(super) argon2_memory_kib: Count<{ u32::MAX }>,
    pub(super) argon2_iterations: Count<{ u32::MAX }>,
    pub(super) argon2_parallelism: Count<{ u32::MAX }>,
    pub(super) workers: Count<1024>,
    pub(super) queue: Count<65_536>,
    pub(super) queue_seconds: Seconds,
    #[serde(deserialize_with = "values::encodings")]
    pub(super) legacy_password_encodings: Vec<PasswordEncoding>,
    pub(super) enroll: bool,
    #[serde(deserialize_with = "values::day")]
    pub(super) legacy_deadline: Option<Date>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Limits {
    pub(super) login_seconds: Seconds,
    pub(super) idle_seconds: Seconds,
    pub(super) stall_seconds: Seconds,
    pub(super) slowest_bytes_per_second: Count<{ 1 << 30 }>,
    pub(super) transfer_stall_seconds: Seconds,
    pub(super) workers: Option<Count<1024>>,
    pub(super) connections: Count<1_000_000>,
    pub(super) strangers: Count<1_000_000>,
    pub(super) strangers_per_source: Count<1_000_000>,
    pub(super) sessions_per_account: Count<1_000_000>,
    pub(super) files_per_account: Count<{ u32::MAX }>,
    pub(super) partials_per_account: Count<1_000_000>,
    pub(super) transfer_memory_mib: Count<1_000_000>,
    pub(super) answer_memory_mib: Count<1_000_000>,
    pub(super) recheck_seconds: Seconds,
    pub(super) drain_seconds: Seconds,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Process {
    pub(super) user: Option<String>,
    #[serde(deserialize_with = "values::sandbox")]
    pub(super) sandbox: Mode,
}

impl Default for File {
    fn default() -> Self {
        Self {
            listen: vec![ListenAddress::Ip(SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT)))],
            public_address: None,
            congestion: Congestion::default(),
            tls: Tls::default(),
            accounts: Accounts::default(),
            storage: Storage::default(),
            home_map: Vec::new(),
            door: Vec::new(),
            login: Login::default(),
            limits: Limits::default(),
            log: Log::default(),
            process: Process::default(),
        }
    }
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            certificate: "certs/server.crt".into(),
            key: "certs/server.key".into(),
            backup_pin: None,
        }
    }
}

impl Default for Accounts {
    fn default() -> Self {
        Self { directory: "accounts".into(), migration: "migration".into() }
    }
}

impl Default for Storage {
    fn default() -> Self {
        Self { data: "data".into(), partial_expiry_days: Count(7) }
    }
}

impl Default for Login {
    fn default() -> Self {
        Self {
            argon2_memory_kib: Count(19456),
            argon2_iterations: Count(2),
            argon2_parallelism: Count(1),
            workers: Count(4),
            queue: Count(64),
            queue_seconds: Count(3),
            legacy_password_encodings: vec![PasswordEncoding::Utf8, PasswordEncoding::Gbk],
            enroll: true,
            legacy_deadline: None,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            login_seconds: Count(30),
            idle_seconds: Count(300),
            stall_seconds: Count(60),
            slowest_bytes_per_second: Count(1024),
            transfer_stall_seconds: Count(300),
            workers: None,
            connections: Count(256),
            strangers: Count(128),
            strangers_per_source: Count(16),
            sessions_per_account: Count(16),
            files_per_account: Count(1_000_000),
            partials_per_account: Count(256),
            transfer_memory_mib: Count(256),
            answer_memory_mib: Count(64),
            recheck_seconds: Count(30),
            drain_seconds: Count(30),
        }
    }
}
