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
mod settings;
mod template;
#[cfg(test)]
mod tests;
mod values;

use std::path::Path;

pub use error::ConfigError;
pub use settings::{Door, Settings};
pub use template::template;

use sealane_base::fsio;

/// Largest configuration file in bytes.
pub const MAX_FILE: u64 = 256 * 1024;

/// Name of the socket in the data directory on which the running server answers its administrator.
pub const CONTROL_SOCKET: &str = ".control";
/// The file in the data directory in which failed logins outlive a restart.
pub const FAILURES: &str = ".failures";

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
