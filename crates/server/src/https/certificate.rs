//! Which certificate the door shows: the server's own, or that of files which are read again when
//! they change.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustls::ServerConfig;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use thiserror::Error;
use tracing::{info, warn};

use crate::keys::KeyFiles;
use sealane_base::fsio::{self, FsError, Stamp};
use sealane_base::types::text::printable;
use sealane_tls::{self as tls, IdentityError};

/// Largest certificate or key file in bytes.
const MAX_PEM: u64 = 256 * 1024;

/// What a client may choose, the best first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Why a certificate cannot be used. Texts name the file.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FsError),
    /// Certificate and key cannot be used.
    #[error("'{}': {problem}", printable(&path.to_string_lossy()))]
    Unusable {
        /// The key's file.
        path: PathBuf,
        /// What is wrong with it.
        problem: IdentityError,
    },
}

/// A certificate of files, as they were when they last fitted together.
#[derive(Debug)]
pub struct Certificates {
    files: KeyFiles,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    certified: Arc<CertifiedKey>,
    seen: [Option<Stamp>; 2],
    is_young: bool,
    problem: Option<String>,
}

/// The TLS configuration that was made last, and from what.
#[derive(Debug, Default)]
pub(super) struct Made(Option<(Source, Arc<ServerConfig>)>);

#[derive(Debug)]
enum Source {
    Sealane(Arc<ServerConfig>),
    Files(Arc<CertifiedKey>),
}

impl Certificates {
    /// Reads certificate, with those that vouch for it, and key.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn load(files: KeyFiles) -> Result<Self, CertificateError> {
        // Before they are read: what changes meanwhile is then seen as a change.
        let (seen, is_young) = look(&files);
        let certified = read(&files)?;
        let state = State { certified, seen, is_young, problem: None };
        Ok(Self { files, state: Mutex::new(state) })
    }

    /// What the files hold, if they changed and fit together, else what was used before.
    fn current(&self) -> Arc<CertifiedKey> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (seen, is_young) = look(&self.files);
        if state.is_young || state.seen != seen {
            (state.seen, state.is_young) = (seen, is_young);
            state.renew(read(&self.files));
        }
        Arc::clone(&state.certified)
    }
}

impl State {
    fn renew(&mut self, outcome: Result<Arc<CertifiedKey>, CertificateError>) {
        match outcome {
            Ok(read) => {
                if read.cert != self.certified.cert {
                    info!("https: certificate read again");
                    self.certified = read;
                }
                self.problem = None;
            }
            Err(error) => {
                let problem = error.to_string();
                // Once for each problem, not once a connection.
                if self.problem.as_ref() != Some(&problem) {
                    warn!(error = problem, "https: a changed certificate cannot be used yet");
                    self.problem = Some(problem);
                }
            }
        }
    }
}

fn look(files: &KeyFiles) -> ([Option<Stamp>; 2], bool) {
    let stamps = [&files.certificate, &files.key].map(|path| Stamp::of(path));
    let now = SystemTime::now();
    (stamps, stamps.iter().flatten().any(|stamp| stamp.is_young(now)))
}

fn read(files: &KeyFiles) -> Result<Arc<CertifiedKey>, CertificateError> {
    let chain = fsio::read_bounded(&files.certificate, MAX_PEM)?;
    let key = zeroize::Zeroizing::new(fsio::read_key(&files.key, MAX_PEM)?);
    tls::certificate_chain(&chain, &key)
        .map_err(|problem| CertificateError::Unusable { path: files.key.clone(), problem })
}

impl Made {
    /// The configuration for the next connection. One is made again only when the key is another
    /// one.
    pub(super) fn configuration(
        &mut self,
        certificates: Option<&Certificates>,
        sealane: &Arc<ServerConfig>,
    ) -> Arc<ServerConfig> {
        let source = match certificates {
            Some(files) => Source::Files(files.current()),
            None => Source::Sealane(Arc::clone(sealane)),
        };
        if let Some((before, config)) = &self.0
            && before.is_same_as(&source)
        {
            return Arc::clone(config);
        }
        match tls::config_without_client_keys(source.resolver(), &PROTOCOLS) {
            Ok(config) => {
                let config = Arc::new(config);
                self.0 = Some((source, Arc::clone(&config)));
                config
            }
            // It offers sealane/1 alone, and so refuses every client of this door.
            Err(error) => {
                warn!(%error, "https: no TLS configuration");
                Arc::clone(sealane)
            }
        }
    }
}

impl Source {
    fn is_same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Sealane(one), Self::Sealane(other)) => Arc::ptr_eq(one, other),
            (Self::Files(one), Self::Files(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    fn resolver(&self) -> Arc<dyn rustls::server::ResolvesServerCert> {
        match self {
            Self::Sealane(config) => Arc::clone(&config.cert_resolver),
            Self::Files(certified) => {
                Arc::new(SingleCertAndKey::from(CertifiedKey::clone(certified)))
            }
        }
    }
}
