//! A server's own keys: which it has had, which it shows, what its backup key says about them.
//!
//! `keys.json` beside the certificates. It holds no secret; private keys lie in files beside it,
//! and signatures are made and checked by others.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::announced::MAX_ANNOUNCED;
use super::error::TrustError;
use super::state::State;
use sealane_base::fsio::{self, LockGuard};
use sealane_base::types::Pin;

const FILE: &str = "keys.json";
const LOCK: &str = "keys.lock";
const MODE: u32 = 0o644;
const MAX_FILE: u64 = 1 << 20;
const VERSION: u64 = 1;

/// A server's keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRing {
    /// Grows with every change.
    pub epoch: u64,
    /// Every key the server has or had.
    pub keys: Vec<RingKey>,
    /// Signatures of backup keys over what is announced at this epoch.
    pub statements: Vec<Statement>,
}

/// A key of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingKey {
    /// DER SubjectPublicKeyInfo.
    pub public_key: Vec<u8>,
    /// What it is to the server.
    pub state: State,
    /// Shown to clients that ask for it: always the active one, the next one, and a retired one
    /// until the overlap ends.
    pub serves: bool,
    /// Name of its files beside this one, without `.key` and `.crt`; `None` if it lies elsewhere.
    pub file: Option<String>,
    /// When it got its state, in seconds since 1970 UTC.
    pub since: i64,
}

/// A signature by a key that is kept offline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// DER SubjectPublicKeyInfo of the signer.
    pub public_key: Vec<u8>,
    /// The signature.
    pub signature: Vec<u8>,
}

impl RingKey {
    /// The key's pin.
    #[must_use]
    pub fn pin(&self) -> Pin {
        Pin::of_public_key(&self.public_key)
    }
}

impl State {
    /// Its number in an announcement.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Active => 0,
            Self::Next => 1,
            Self::Backup => 2,
            Self::Retired => 3,
            Self::Revoked => 4,
        }
    }

    /// The state with this number in an announcement.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::Active, Self::Next, Self::Backup, Self::Retired, Self::Revoked]
            .into_iter()
            .find(|state| state.number() == number)
    }
}

impl KeyRing {
    /// Reads the ring in `directory`; `None` if there is none.
    ///
    /// # Errors
    /// [`TrustError::File`], [`TrustError::Damaged`], [`TrustError::Newer`].
    pub fn load(directory: &Path) -> Result<Option<Self>, TrustError> {
        let path = directory.join(FILE);
        match fsio::read_bounded(&path, MAX_FILE) {
            Ok(bytes) => read(&path, &bytes).map(Some),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Keeps other writers out of the ring in `directory`.
    ///
    /// # Errors
    /// [`TrustError::File`].
    pub fn lock(directory: &Path) -> Result<LockGuard, TrustError> {
        Ok(fsio::lock_exclusive(&directory.join(LOCK))?)
    }

    /// Replaces the ring in `directory` in one rename. Keys that were retired or revoked longest
    /// ago are left out where there is no room for all.
    ///
    /// # Errors
    /// [`TrustError::File`], [`TrustError::Full`].
    pub fn store(&self, directory: &Path) -> Result<(), TrustError> {
        let mut ring = self.clone();
        loop {
            let mut bytes = serde_json::to_vec_pretty(&ring.to_file()).unwrap_or_default();
            bytes.push(b'\n');
            if bytes.len() as u64 <= MAX_FILE {
                return Ok(fsio::write_atomic(&directory.join(FILE), &bytes, MODE)?);
            }
            if !ring.forget_oldest() {
                return Err(TrustError::Full("bytes of the server's keys", MAX_FILE as usize));
            }
        }
    }

    /// Forgets a part of the keys that are gone, the oldest; false if there are none.
    fn forget_oldest(&mut self) -> bool {
        let is_gone =
            |key: &RingKey| matches!(key.state, State::Retired | State::Revoked) && !key.serves;
        let mut ages: Vec<i64> =
            self.keys.iter().filter(|key| is_gone(key)).map(|key| key.since).collect();
        ages.sort_unstable();
        let Some(last) = ages.get(ages.len() / 16) else { return false };
        self.keys.retain(|key| !is_gone(key) || key.since > *last);
        true
    }

    /// The key in a state; the latest if there are several.
    #[must_use]
    pub fn in_state(&self, state: State) -> Option<&RingKey> {
        self.keys.iter().filter(|key| key.state == state).max_by_key(|key| key.since)
    }

    /// The key with a pin.
    #[must_use]
    pub fn key(&self, pin: &Pin) -> Option<&RingKey> {
        self.keys.iter().find(|key| key.pin() == *pin)
    }

    /// Gives a key a state.
    pub fn set(&mut self, pin: &Pin, state: State, serves: bool, now: i64) {
        if let Some(key) = self.keys.iter_mut().find(|key| key.pin() == *pin) {
            (key.state, key.serves, key.since) = (state, serves, now);
        }
    }

    /// What clients are told: active, next and backup, then the latest of the others.
    #[must_use]
    pub fn announced(&self) -> Vec<&RingKey> {
        let current = [State::Active, State::Next, State::Backup];
        let mut keys: Vec<_> =
            current.into_iter().filter_map(|state| self.in_state(state)).collect();
        let mut gone: Vec<_> = self
            .keys
            .iter()
            .filter(|key| matches!(key.state, State::Retired | State::Revoked))
            .collect();
        gone.sort_by_key(|key| (key.state != State::Revoked, -key.since));
        keys.extend(gone);
        keys.truncate(MAX_ANNOUNCED);
        keys
    }
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u64,
    epoch: u64,
    keys: Vec<Key>,
    statements: Vec<Signed>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Key {
    pin: String,
    public_key: String,
    state: String,
    serves: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    since: i64,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Signed {
    public_key: String,
    signature: String,
}

impl KeyRing {
    fn to_file(&self) -> File {
        let keys = self.keys.iter().map(|key| Key {
            pin: key.pin().to_string(),
            public_key: STANDARD.encode(&key.public_key),
            state: key.state.as_str().to_owned(),
            serves: key.serves,
            file: key.file.clone(),
            since: key.since,
        });
        let statements = self.statements.iter().map(|statement| Signed {
            public_key: STANDARD.encode(&statement.public_key),
            signature: STANDARD.encode(&statement.signature),
        });
        File {
            version: VERSION,
            epoch: self.epoch,
            keys: keys.collect(),
            statements: statements.collect(),
        }
    }
}

fn read(path: &Path, bytes: &[u8]) -> Result<KeyRing, TrustError> {
    let damaged = |why: String| TrustError::Damaged { path: path.to_owned(), why };
    let file: File = serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
    if file.version > VERSION {
        return Err(TrustError::Newer { path: path.to_owned(), version: file.version });
    }
    let decode = |text: &str| STANDARD.decode(text).map_err(|_| damaged("not base64".to_owned()));
    let mut ring = KeyRing { epoch: file.epoch, ..KeyRing::default() };
    for key in file.keys {
        let state =
            (0..=4).filter_map(State::from_number).find(|state| state.as_str() == key.state);
        let state = state.ok_or_else(|| damaged(format!("unknown state '{}'", key.state)))?;
        let is_plain = |name: &String| !name.contains('/') && !name.starts_with('.');
        if !key.file.iter().all(is_plain) {
            return Err(damaged("a file that is not beside it".to_owned()));
        }
        let public_key = decode(&key.public_key)?;
        let (serves, file, since) = (key.serves, key.file, key.since);
        let read = RingKey { public_key, state, serves, file, since };
        if read.pin().to_string() != key.pin {
            return Err(damaged(format!("{} is not the pin of its key", key.pin)));
        }
        ring.keys.push(read);
    }
    for signed in file.statements {
        let (public_key, signature) = (decode(&signed.public_key)?, decode(&signed.signature)?);
        ring.statements.push(Statement { public_key, signature });
    }
    Ok(ring)
}
