//! Which keys a running server uses: those of its files, as soon as they fit together.
//!
//! Certificate and key are two files, and nothing replaces two files in one step. So files that do
//! not fit are not an end: the old pair serves, and they are read again when they change, however
//! soon one change follows another. What keys mean and how they are announced is for `keys`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tracing::{info, warn};

use super::keys::{Current, KeyError, KeyFiles, read};
use super::questions::KeysStatus;
use sealane_base::fsio::Stamp;
use sealane_tls::Identity;

/// How often the files are looked at when nobody connects.
const INTERVAL: Duration = Duration::from_secs(1);

/// The keys of a running server. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Keys(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    files: Option<KeyFiles>,
    state: Mutex<Live>,
}

#[derive(Debug)]
struct Live {
    current: Arc<Current>,
    seen: Seen,
    /// Why the files as they are cannot be used.
    problem: Option<String>,
}

/// Certificate, key and ring, as they were just before they were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    stamps: [Option<Stamp>; 3],
    /// They had just changed: the same stamps may stand for something else now.
    is_young: bool,
}

impl Keys {
    /// One key that never changes.
    ///
    /// # Errors
    /// [`KeyError::Tls`].
    pub fn fixed(identity: Identity) -> Result<Self, KeyError> {
        let current = Arc::new(Current::of(identity, Vec::new(), None)?);
        let seen = Seen { stamps: [None; 3], is_young: false };
        Ok(Self::new(None, Live { current, seen, problem: None }))
    }

    /// The keys that `files` and the ring beside them name.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn load(files: KeyFiles) -> Result<Self, KeyError> {
        // Before they are read: what changes meanwhile is then seen as a change.
        let seen = Seen::now(&files);
        let current = Arc::new(read(&files)?);
        Ok(Self::new(Some(files), Live { current, seen, problem: None }))
    }

    fn new(files: Option<KeyFiles>, live: Live) -> Self {
        Self(Arc::new(Shared { files, state: Mutex::new(live) }))
    }

    /// What is to be used for the next connection: what the files hold, if they changed and fit
    /// together, else what was used before.
    pub(super) fn current(&self) -> Arc<Current> {
        let mut live = self.live();
        if let Some(files) = &self.0.files {
            let now = Seen::now(files);
            if live.seen.is_young || now.stamps != live.seen.stamps {
                live.renew(files, now);
            }
        }
        live.current.clone()
    }

    /// Reads the files again, changed or not.
    pub fn reload(&self) {
        if let Some(files) = &self.0.files {
            self.live().renew(files, Seen::now(files));
        }
    }

    /// Which key is in use, and whether the files hold something else that cannot be used.
    pub(super) fn status(&self) -> KeysStatus {
        let pin = self.current().pin.to_string();
        KeysStatus { pin, problem: self.live().problem.clone() }
    }

    /// Takes changes up when nobody connects.
    pub(super) async fn watch_forever(&self) -> std::convert::Infallible {
        let mut ticks = tokio::time::interval(INTERVAL);
        loop {
            ticks.tick().await;
            self.current();
        }
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Live {
    fn renew(&mut self, files: &KeyFiles, seen: Seen) {
        self.seen = seen;
        match read(files) {
            Ok(read) => {
                let was_wrong = self.problem.take().is_some();
                if !read.is_same_as(&self.current) {
                    info!(pin = %read.pin, epoch = read.epoch, "keys read again");
                    self.current = Arc::new(read);
                } else if was_wrong {
                    info!(pin = %read.pin, "the key files are as they were");
                }
            }
            Err(error) => {
                let problem = error.to_string();
                // Once for each problem, not once a connection.
                if self.problem.as_ref() != Some(&problem) {
                    warn!(error = problem, "changed keys cannot be used yet; the old ones are");
                    self.problem = Some(problem);
                }
            }
        }
    }
}

impl Seen {
    fn now(files: &KeyFiles) -> Self {
        let ring = files.certificate.with_file_name("keys.json");
        let stamps = [&files.certificate, &files.key, &ring].map(|path| Stamp::of(path));
        let now = SystemTime::now();
        Self { stamps, is_young: stamps.iter().flatten().any(|stamp| stamp.is_young(now)) }
    }
}
