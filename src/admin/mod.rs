//! What an administrator does: a new server's directory, its address, certificates, accounts.
//!
//! Blocking functions that return values. Nothing is printed here, no TOML is known, and nothing
//! that exists is overwritten. What is done to a single account is for `accounts`.

mod accounts;
mod address;
mod calibrate;
mod certificates;
mod error;
mod files;
mod history;
mod init;
mod key_files;
mod rotate;
#[cfg(test)]
mod rotate_faults;
#[cfg(test)]
mod tests;
mod wrap;

use std::path::PathBuf;

pub use accounts::{check_home, open_accounts};
pub use address::address;
pub use calibrate::{Calibration, calibrate};
pub use certificates::{CertificateReport, GeneratedPins, Pins, generate, pins, show};
pub use error::AdminError;
pub use files::{archive, check_alone, delete, rename};
pub use history::{HistoryPoint, history, note_history};
pub use init::{InitReport, init};
pub use rotate::{Rotated, activate, prepare, recover, retire, revoke};
pub use wrap::{WrapReport, backups, failures, undo_wrap, wrap};

use sealane_base::types::{Address, ListenAddress, Pin};

/// Where a server listens, and how clients reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Where it listens, the first place being the one that clients are told. Port 0 is one that
    /// the system picks at each start.
    pub listen: Vec<ListenAddress>,
    /// Host and port for clients, if they are not those it listens on; nothing else is looked at.
    pub public: Option<Address>,
}

/// The files that prove a server's identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// Certificate, PEM.
    pub certificate: PathBuf,
    /// Private key, PEM, mode 0600.
    pub key: PathBuf,
    /// Pin of the offline backup key, if the configuration names it.
    pub backup_pin: Option<Pin>,
}
