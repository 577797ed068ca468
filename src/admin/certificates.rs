//! The server's key and its backup: made, found and looked at.
//!
//! The backup key never serves. Its pin is in every address from the first day, so that a server
//! whose key is lost can go on with the backup key and no client has to be told.

use std::path::{Path, PathBuf};

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{self, PemObject};
use time::OffsetDateTime;

use super::key_files::{MAX_PEM, certificate_file, directory_of, generate_named, key_file};
use super::{AdminError, CertificateFiles, rotate};
use sealane_base::fsio;
use sealane_base::types::Pin;
use sealane_tls as tls;
use sealane_tls::trust::{KeyRing, RingKey, State};
use sealane_tls::{Identity, IdentityError};

const SERVER: &str = "server";
const BACKUP: &str = "backup";
const DIRECTORY_MODE: u32 = 0o700;

/// The pins of a server, for its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pins {
    /// Of the key in use.
    pub server: Pin,
    /// Of the key that will be used next, if there is one.
    pub next: Option<Pin>,
    /// Of the offline backup key, if there is one.
    pub backup: Option<Pin>,
}

/// What was made by [`generate`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeneratedPins {
    /// Of the server's key.
    pub server: Pin,
    /// Of the backup key.
    pub backup: Pin,
    /// The backup key's file, to be moved to a safe place.
    pub backup_key: PathBuf,
}

/// A server's certificates as they are now.
#[derive(Debug)]
pub struct CertificateReport {
    /// The pins.
    pub pins: Pins,
    /// Why the server could not use its key, if so: its mode, say, or that it belongs to another
    /// certificate.
    pub key_problem: Option<AdminError>,
    /// The backup key's file, if it still lies beside the certificate.
    pub backup_key: Option<PathBuf>,
}

/// Makes `server.key`, `server.crt`, `backup.key` and `backup.crt` in `directory`, which is made
/// (0700) if missing. Keys have mode 0600.
///
/// # Errors
/// [`AdminError::Exists`] if any of the four is there, with none made; [`AdminError::Generate`],
/// [`AdminError::File`].
pub fn generate(directory: &Path, now: OffsetDateTime) -> Result<GeneratedPins, AdminError> {
    for name in [SERVER, BACKUP] {
        must_be_free(&key_file(directory, name))?;
        must_be_free(&certificate_file(directory, name))?;
    }
    make_directory_if_missing(directory)?;
    // Whoever changes keys sweeps, under this lock.
    let lock = KeyRing::lock(directory)?;
    let server = generate_named(directory, SERVER, now)?;
    let backup = generate_named(directory, BACKUP, now)?;
    drop(lock);
    let files = CertificateFiles {
        certificate: certificate_file(directory, SERVER),
        key: key_file(directory, SERVER),
        backup_pin: None,
    };
    rotate::store_first(&files, now)?;
    Ok(GeneratedPins { server, backup, backup_key: key_file(directory, BACKUP) })
}

/// The pins of a server. Its key is not needed. Where no backup pin is configured, it is that of
/// `backup.crt` beside the certificate, if that is there.
///
/// # Errors
/// [`AdminError::File`], [`AdminError::Identity`].
pub fn pins(files: &CertificateFiles) -> Result<Pins, AdminError> {
    if let Some(ring) = rotate::current_ring(files)?
        && let Some(server) = ring.in_state(State::Active).map(RingKey::pin)
    {
        let next = ring.in_state(State::Next).map(RingKey::pin);
        let backup = ring.in_state(State::Backup).map(RingKey::pin);
        // A configured backup that the ring has never heard of is newer than the ring.
        let configured = files.backup_pin.filter(|pin| ring.key(pin).is_none());
        return Ok(Pins { server, next, backup: configured.or(backup) });
    }
    let server = pin_of_file(&files.certificate)?;
    let backup = match files.backup_pin {
        Some(pin) => Some(pin),
        None => match pin_of_file(&certificate_file(directory_of(files), BACKUP)) {
            Err(error) if error.is_not_found() => None,
            pin => Some(pin?),
        },
    };
    Ok(Pins { server, next: None, backup })
}

/// Looks at a server's certificates, and whether the server could use its key.
///
/// # Errors
/// As [`pins`].
pub fn show(files: &CertificateFiles) -> Result<CertificateReport, AdminError> {
    let pins = pins(files)?;
    let backup_key = key_file(directory_of(files), BACKUP);
    Ok(CertificateReport {
        pins,
        key_problem: check_key(files).err(),
        backup_key: backup_key.exists().then_some(backup_key),
    })
}

pub(super) fn must_be_free(path: &Path) -> Result<(), AdminError> {
    // Not `exists`, to which a dangling link is nothing.
    if path.symlink_metadata().is_ok() { Err(AdminError::Exists(path.to_owned())) } else { Ok(()) }
}

pub(super) fn make_directory_if_missing(directory: &Path) -> Result<(), AdminError> {
    match fsio::create_directory(directory, DIRECTORY_MODE) {
        Err(error) if error.is_exists() && directory.is_dir() => Ok(()),
        outcome => Ok(outcome?),
    }
}

fn pin_of_file(path: &Path) -> Result<Pin, AdminError> {
    let bytes = fsio::read_bounded(path, MAX_PEM)?;
    let unusable = |problem| AdminError::Identity { path: path.to_owned(), problem };
    let certificate = CertificateDer::from_pem_slice(&bytes).map_err(|error| {
        unusable(match error {
            pem::Error::NoItemsFound => IdentityError::Missing("certificate"),
            _ => IdentityError::Malformed("certificate"),
        })
    })?;
    tls::pin_of_certificate(&certificate).map_err(|error| unusable(error.into()))
}

/// As the server reads them at its start.
fn check_key(files: &CertificateFiles) -> Result<(), AdminError> {
    let named = rotate::current_ring(files)?
        .and_then(|ring| ring.in_state(State::Active).and_then(|key| key.file.clone()));
    let files = &match named {
        Some(name) => CertificateFiles {
            certificate: certificate_file(directory_of(files), &name),
            key: key_file(directory_of(files), &name),
            backup_pin: None,
        },
        None => files.clone(),
    };
    let certificate = fsio::read_bounded(&files.certificate, MAX_PEM)?;
    let key = zeroize::Zeroizing::new(fsio::read_key(&files.key, MAX_PEM)?);
    match Identity::from_pem(&certificate, &key) {
        Ok(_) => Ok(()),
        Err(problem) => Err(AdminError::Identity { path: files.key.clone(), problem }),
    }
}
