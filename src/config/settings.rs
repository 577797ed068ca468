//! What a configuration file says, in the types of the rooms that obey it.

use std::path::PathBuf;
use std::time::Duration;

use crate::admin::{CertificateFiles, Reach};
use sealane_base::types::ListenAddress;
use sealane_core::accounts::LoginSettings;
use sealane_core::storage::Caps;
use sealane_server::{KeyFiles, StrangerLimits, sandbox, sealane};
use sealane_tls::socket::Congestion;

/// An HTTPS door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Door {
    /// Where it listens.
    pub listen: Vec<ListenAddress>,
    /// Its own certificate and key; the server's if there are none.
    pub files: Option<KeyFiles>,
}

/// What a configuration file says, defaults filled in. Paths are the file's directory joined with
/// what is written.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the server listens and how clients reach it.
    pub reach: Reach,
    /// What is served beside sealane/1.
    pub doors: Vec<Door>,
    /// Certificate, key and backup pin.
    pub certificates: CertificateFiles,
    /// Directory of account records.
    pub accounts: PathBuf,
    /// Directory of what the way out of MD5 leaves: backups of original records, the history.
    pub migration: PathBuf,
    /// Data directory, for the store.
    pub data: PathBuf,
    /// A file for the log, besides stderr.
    pub log_file: Option<PathBuf>,
    /// Age at which the partial of an interrupted upload is removed.
    pub partial_expiry: Duration,
    /// How logins are checked, the rules for homes included.
    pub login: LoginSettings,
    /// Time from the first byte of a connection to a successful login.
    pub login_deadline: Duration,
    /// Sessions of one account at the same time.
    pub sessions: usize,
    /// Time limits of a session.
    pub limits: sealane::Limits,
    /// Connections served at once.
    pub connections: usize,
    /// What an account may have at most, besides its bytes.
    pub caps: Caps,
    /// Bytes of files on their way through memory, in all sessions together.
    pub transfer_memory: usize,
    /// Bytes of answers that may wait for their peers, in all sessions together.
    pub answer_memory: usize,
    /// Threads of each kind for the work of homes; as many as the processors want if `None`.
    pub workers: Option<usize>,
    /// How connections find out how fast they may send.
    pub congestion: Congestion,
    /// Those of them that have not logged in.
    pub strangers: StrangerLimits,
    /// How often the records of everybody who is logged in are read again.
    pub recheck: Duration,
    /// How long sessions may take to end once the server shuts down.
    pub drain: Duration,
    /// Whom the server becomes if root starts it.
    pub user: Option<String>,
    /// How much of the sandbox there must be.
    pub sandbox: sandbox::Mode,
}
