//! The server's keys as its files name them, and as they are announced to whoever logs in.
//!
//! `tls.certificate` names the key in use; once `keys.json` beside it knows that key, the ring
//! there says which one is. A ring about other keys is left alone. When files are read again,
//! `live` decides.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::ServerConfig;
use thiserror::Error;
use tracing::warn;

use crate::signer::Signer;
use sealane_base::fsio::{self, FsError};
use sealane_base::types::Pin;
use sealane_base::types::text::printable;
use sealane_protocol::keys::{EXPORTER, proof};
use sealane_protocol::message::{AnnouncedKey, KeySignature, Keys as Announcement};
use sealane_tls as tls;
use sealane_tls::trust::{KeyRing, State, TrustError};
use sealane_tls::{Identity, IdentityError, TlsError, TlsStream};

/// Largest certificate or key file in bytes.
const MAX_PEM: u64 = 64 * 1024;

/// The files that name the key in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFiles {
    /// Certificate, PEM.
    pub certificate: PathBuf,
    /// Private key, PEM, mode 0600.
    pub key: PathBuf,
}

/// Why keys cannot be used. Texts name the file.
#[derive(Debug, Error)]
pub enum KeyError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FsError),
    /// Certificate and key cannot be used.
    #[error("'{}': {problem}", printable(&path.to_string_lossy()))]
    Identity {
        /// The key's file.
        path: PathBuf,
        /// What is wrong with it.
        problem: IdentityError,
    },
    /// The ring cannot be used.
    #[error(transparent)]
    Ring(#[from] TrustError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// What is shown and announced now.
#[derive(Debug)]
pub(super) struct Current {
    pub(super) config: Arc<ServerConfig>,
    /// The pin of the key in use.
    pub(super) pin: Pin,
    /// The certificate in use, PEM.
    certificate: String,
    pub(super) epoch: u64,
    /// Every key that is announced, with what proves it if it is here.
    keys: Vec<(AnnouncedKey, Option<Identity>)>,
    statements: Vec<KeySignature>,
    signer: Signer,
}

impl Current {
    /// True if nothing that a client could see differs.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        let keys = |current: &Self| -> Vec<_> {
            current.keys.iter().map(|(key, here)| (key.clone(), here.is_some())).collect()
        };
        (self.pin, self.epoch, &self.certificate) == (other.pin, other.epoch, &other.certificate)
            && self.statements == other.statements
            && keys(self) == keys(other)
    }

    pub(super) fn of(
        active: Identity,
        others: Vec<Identity>,
        ring: Option<&KeyRing>,
    ) -> Result<Self, TlsError> {
        let key = |public_key: Vec<u8>, state: State| AnnouncedKey {
            public_key,
            state: state.number(),
            proof: None,
        };
        let identities = [&active].into_iter().chain(&others).cloned().collect();
        let signer = Signer { keys: identities, now: seconds };
        let mut keys = Vec::new();
        let mut statements = Vec::new();
        let says_so =
            |ring: &&KeyRing| ring.key(&active.pin()).is_some_and(|key| key.state == State::Active);
        match ring.filter(says_so) {
            Some(ring) => {
                for known in ring.announced() {
                    let pin = known.pin();
                    let here = [&active].into_iter().chain(&others).find(|one| one.pin() == pin);
                    keys.push((key(known.public_key.clone(), known.state), here.cloned()));
                }
                statements.extend(ring.statements.iter().map(|statement| KeySignature {
                    public_key: statement.public_key.clone(),
                    signature: statement.signature.clone(),
                }));
            }
            None => keys.push((key(active.public_key(), State::Active), Some(active.clone()))),
        }
        let epoch = ring.map_or(0, |ring| ring.epoch);
        let (pin, (certificate, _)) = (active.pin(), active.to_pem());
        let config = tls::server_config(active, others)?;
        Ok(Self { config, pin, certificate, epoch, keys, statements, signer })
    }

    /// What signs receipts.
    pub(super) fn signer(&self) -> Signer {
        self.signer.clone()
    }

    /// The announcement for one connection.
    pub(super) fn announce<S>(&self, stream: &TlsStream<S>) -> Option<Announcement> {
        let exporter = tls::exporter(stream, EXPORTER).ok()?;
        let keys = self.keys.iter().map(|(key, identity)| {
            let bytes = proof(&exporter, self.epoch, &key.public_key);
            let proof = identity.as_ref().and_then(|identity| identity.sign(&bytes));
            AnnouncedKey { proof, ..key.clone() }
        });
        Some(Announcement {
            epoch: self.epoch,
            keys: keys.collect(),
            statements: Some(self.statements.clone()),
        })
    }
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Reads what `files` and the ring beside them name.
pub(super) fn read(files: &KeyFiles) -> Result<Current, KeyError> {
    let directory = files.certificate.parent().unwrap_or_else(|| Path::new(""));
    let configured = || identity(&files.certificate, &files.key);
    let Some(ring) = KeyRing::load(directory)? else {
        return Ok(Current::of(configured()?, Vec::new(), None)?);
    };
    let named = |name: &str| {
        identity(&directory.join(format!("{name}.crt")), &directory.join(format!("{name}.key")))
    };
    let certificate = fsio::read_bounded(&files.certificate, MAX_PEM)?;
    let pin = tls::pin_of_pem(&certificate)
        .map_err(|problem| KeyError::Identity { path: files.certificate.clone(), problem })?;
    let active = match ring.key(&pin).map(|key| key.state) {
        // The backup key was put in the place of a lost one, or the ring is about other keys.
        None | Some(State::Backup) => {
            return Ok(Current::of(configured()?, Vec::new(), Some(&ring))?);
        }
        Some(State::Active) => configured()?,
        Some(_) => match ring.in_state(State::Active).and_then(|key| key.file.as_deref()) {
            Some(file) => named(file)?,
            None => configured()?,
        },
    };
    let mut others = Vec::new();
    for key in ring.keys.iter().filter(|key| key.serves && key.pin() != active.pin()) {
        match key.file.as_deref().map(named) {
            Some(Ok(other)) if other.pin() == key.pin() => others.push(other),
            Some(Err(error)) => {
                warn!(%error, "a key that is not in use yet, or no more, cannot be read");
            }
            _ => {}
        }
    }
    Ok(Current::of(active, others, Some(&ring))?)
}

fn identity(certificate: &Path, key: &Path) -> Result<Identity, KeyError> {
    let pem = fsio::read_bounded(certificate, MAX_PEM)?;
    let secret = zeroize::Zeroizing::new(fsio::read_key(key, MAX_PEM)?);
    Identity::from_pem(&pem, &secret)
        .map_err(|problem| KeyError::Identity { path: key.to_owned(), problem })
}
