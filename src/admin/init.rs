//! A new server: everything it needs, in one directory.

use std::path::Path;

use time::OffsetDateTime;

use super::address::{address, host_and_port};
use super::certificates::{self, GeneratedPins, make_directory_if_missing, must_be_free};
use super::{AdminError, Pins, Reach};
use sealane_base::fsio;
use sealane_base::types::{Address, Pin};

const CONFIG: &str = "config.toml";
const CERTIFICATES: &str = "certs";
const ACCOUNTS: &str = "accounts";
const DATA: &str = "data";
const CONFIG_MODE: u32 = 0o644;
const DIRECTORY_MODE: u32 = 0o700;

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitReport {
    /// The address to give to clients.
    pub address: Address,
    /// The keys that were made.
    pub keys: GeneratedPins,
}

/// Makes `directory` (0700) with `config.toml`, the four files of [`certificates::generate`] in
/// `certs`, and empty `accounts` and `data`. `config` gives the configuration's text once the
/// backup key's pin is known; it must say to listen as in `reach`.
///
/// The configuration comes last: a directory without one was not finished, and does not serve.
///
/// # Errors
/// [`AdminError::Exists`] if any of the four names is taken, with nothing made;
/// [`AdminError::HostName`], likewise; [`AdminError::Generate`], [`AdminError::File`].
pub fn init(
    directory: &Path,
    reach: &Reach,
    now: OffsetDateTime,
    config: impl FnOnce(&Pin) -> String,
) -> Result<InitReport, AdminError> {
    for name in [CONFIG, CERTIFICATES, ACCOUNTS, DATA] {
        must_be_free(&directory.join(name))?;
    }
    host_and_port(reach)?;
    make_directory_if_missing(directory)?;
    let keys = certificates::generate(&directory.join(CERTIFICATES), now)?;
    let pins = Pins { server: keys.server, next: None, backup: Some(keys.backup) };
    let address = address(reach, &pins, None)?;
    fsio::create_directory(&directory.join(ACCOUNTS), DIRECTORY_MODE)?;
    fsio::create_directory(&directory.join(DATA), DIRECTORY_MODE)?;
    fsio::create_new(&directory.join(CONFIG), config(&keys.backup).as_bytes(), CONFIG_MODE)?;
    Ok(InitReport { address, keys })
}
