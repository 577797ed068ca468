//! One TOML file and the environment, turned into each room's own settings.
//!
//! The only room that knows TOML, and in [`environment`] the only place that reads environment
//! variables. It knows defaults and what contradicts what, but no behaviour: it opens nothing but
//! the file itself and does not look whether the paths in it exist.

pub mod environment;
mod error;
mod file;
mod locate;
mod resolve;
mod template;
#[cfg(test)]
mod tests;
mod values;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use error::ConfigError;
pub use template::template;

use crate::admin::{CertificateFiles, Reach};
use sealane_base::fsio;
use sealane_core::accounts::LoginSettings;
use sealane_core::storage::Caps;
use sealane_server::StrangerLimits;
use sealane_server::sandbox;
use sealane_server::sealane;
use sealane_tls::socket::Congestion;

/// Largest configuration file in bytes.
pub const MAX_FILE: u64 = 256 * 1024;

/// Name of the socket in the data directory on which the running server answers its administrator.
pub const CONTROL_SOCKET: &str = ".control";

/// What a configuration file says, defaults filled in. Paths are the file's directory joined with
/// what is written.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the server listens and how clients reach it.
    pub reach: Reach,
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

/// Reads the configuration file at `path`.
///
/// # Errors
/// [`ConfigError`], which names file, line and key where there are such.
pub fn load(path: &Path) -> Result<Settings, ConfigError> {
    let bytes = fsio::read_bounded(path, MAX_FILE)?;
    parse(path, &bytes)
}

/// What `bytes` say, as the content of the file at `path`, which need not exist.
///
/// # Errors
/// As [`load`], but for reading.
pub fn parse(path: &Path, bytes: &[u8]) -> Result<Settings, ConfigError> {
    let text = str::from_utf8(bytes).map_err(|_| ConfigError::NotText(path.to_owned()))?;
    let file: file::File =
        toml::from_str(text).map_err(|error| ConfigError::from_toml(path, text, &error))?;
    // "." and not "": all paths then begin alike and can be compared.
    let base = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let base = base.unwrap_or_else(|| Path::new("."));
    resolve::resolve(file, base).map_err(|problem| ConfigError::from_problem(path, text, problem))
}
