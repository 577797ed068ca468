//! The files of one key: `NAME.key` (0600) and its certificate `NAME.crt`.

use std::path::{Path, PathBuf};

use time::OffsetDateTime;

use super::{AdminError, CertificateFiles};
use sealane_base::fsio;
use sealane_base::types::Pin;
use sealane_tls as tls;
use sealane_tls::Identity;

/// Largest PEM file in bytes.
pub(super) const MAX_PEM: u64 = 64 * 1024;

pub(super) const CERTIFICATE_MODE: u32 = 0o644;
pub(super) const KEY_MODE: u32 = 0o600;

/// Makes a key and its files.
pub(super) fn generate_named(
    directory: &Path,
    name: &str,
    now: OffsetDateTime,
) -> Result<Pin, AdminError> {
    let made = tls::generate::key_pair(now).map_err(AdminError::Generate)?;
    let (key, certificate) = (key_file(directory, name), certificate_file(directory, name));
    fsio::create_new(&key, made.key_pem.expose().as_bytes(), KEY_MODE)?;
    fsio::create_new(&certificate, made.certificate_pem.as_bytes(), CERTIFICATE_MODE)
        // A key without its certificate serves nobody.
        .inspect_err(|_| drop(fsio::remove_durably(&key)))?;
    Ok(made.pin)
}

/// The public key in a certificate file, DER SubjectPublicKeyInfo.
pub(super) fn public_key_of(path: &Path) -> Result<Vec<u8>, AdminError> {
    let bytes = fsio::read_bounded(path, MAX_PEM)?;
    tls::public_key_of_pem(&bytes)
        .map_err(|problem| AdminError::Identity { path: path.to_owned(), problem })
}

/// The key in a file, in a fresh certificate.
pub(super) fn identity_of(path: &Path, now: OffsetDateTime) -> Result<Identity, AdminError> {
    let pem = zeroize::Zeroizing::new(fsio::read_key(path, MAX_PEM)?);
    tls::generate::identity_for(&pem, now)
        .map_err(|problem| AdminError::Identity { path: path.to_owned(), problem })
}

pub(super) fn directory_of(files: &CertificateFiles) -> &Path {
    files.certificate.parent().unwrap_or_else(|| Path::new(""))
}

pub(super) fn key_file(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}.key"))
}

pub(super) fn certificate_file(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}.crt"))
}
