//! Changing a server's keys over years: prepare, activate, retire, and what to do about a key that
//! is lost or stolen.
//!
//! Each step writes new key files first and the ring last, in one rename: a crash leaves the ring
//! before the step or after it. The running server reads the ring again by itself.

use std::path::{Path, PathBuf};

use time::OffsetDateTime;

use super::key_files::{
    CERTIFICATE_MODE, KEY_MODE, directory_of, generate_named, identity_of, public_key_of,
};
use super::{AdminError, CertificateFiles};
use sealane_base::fsio;
use sealane_base::types::Pin;
use sealane_protocol::keys::statement;
use sealane_tls::Identity;
use sealane_tls::trust::{KeyRing, RingKey, State, Statement};

const SERVER: &str = "server";
const BACKUP: &str = "backup";

/// What a step did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// The key the step was about.
    pub pin: Pin,
    /// The new backup key's file, to be moved to a safe place, if one was made.
    pub new_backup: Option<PathBuf>,
    /// A backup key has signed the announcement, so that clients learn of backups and revocations.
    pub is_signed: bool,
}

/// A ring that nobody else writes to meanwhile.
struct Work<'a> {
    files: &'a CertificateFiles,
    directory: &'a Path,
    ring: KeyRing,
    now: OffsetDateTime,
    _lock: fsio::LockGuard,
}

/// Makes the next key and has the server announce it.
///
/// # Errors
/// [`AdminError::Rotation`] if there is a next key already.
pub fn prepare(
    files: &CertificateFiles,
    backup_key: Option<&Path>,
    now: OffsetDateTime,
) -> Result<Rotated, AdminError> {
    let mut work = Work::begin(files, now)?;
    if let Some(next) = work.ring.in_state(State::Next) {
        return Err(AdminError::Rotation(format!("there is a next key already: {}", next.pin())));
    }
    let pin = work.make(State::Next)?;
    work.end(pin, backup_key, None)
}

/// Puts the next key into use. The old one is shown to clients that know nothing else, until it is
/// retired.
///
/// # Errors
/// [`AdminError::Rotation`] if there is no next key.
pub fn activate(
    files: &CertificateFiles,
    backup_key: Option<&Path>,
    now: OffsetDateTime,
) -> Result<Rotated, AdminError> {
    let mut work = Work::begin(files, now)?;
    let next = work.pin_in(State::Next, "there is no next key: prepare one first")?;
    let old = work.pin_in(State::Active, "there is no key in use")?;
    work.set(&old, State::Retired, true);
    work.set(&next, State::Active, true);
    work.end(next, backup_key, None)
}

/// Ends the overlap: the old key is shown to nobody any more.
///
/// # Errors
/// [`AdminError::Rotation`] if no old key is shown.
pub fn retire(
    files: &CertificateFiles,
    backup_key: Option<&Path>,
    now: OffsetDateTime,
) -> Result<Rotated, AdminError> {
    let mut work = Work::begin(files, now)?;
    let shown = |key: &&RingKey| key.state == State::Retired && key.serves;
    let old = work.ring.keys.iter().find(shown).map(RingKey::pin);
    let old = old.ok_or_else(|| AdminError::Rotation("no old key is shown any more".into()))?;
    work.set(&old, State::Retired, false);
    work.end(old, backup_key, None)
}

/// Declares a stolen key void for ever. If it is the one in use, the backup key takes its place and
/// a new backup is made. The backup key signs: clients believe nobody else.
///
/// # Errors
/// [`AdminError::Rotation`] without the backup key, for an unknown key, or for the backup itself.
pub fn revoke(
    files: &CertificateFiles,
    pin: &Pin,
    backup_key: Option<&Path>,
    now: OffsetDateTime,
) -> Result<Rotated, AdminError> {
    let mut work = Work::begin(files, now)?;
    let backup = work.backup(backup_key)?;
    match work.ring.key(pin).map(|key| key.state) {
        None => Err(AdminError::Rotation(format!("{pin} is no key of this server"))),
        Some(State::Backup) => {
            Err(AdminError::Rotation(format!("{pin} is the backup key, which has to sign")))
        }
        Some(State::Active) => work.fall_back(State::Revoked, backup),
        Some(_) => {
            work.set(pin, State::Revoked, false);
            work.end(*pin, None, Some(&[backup]))
        }
    }
}

/// Goes on with the backup key after the one in use was lost, and makes a new backup.
///
/// # Errors
/// [`AdminError::Rotation`] without the backup key.
pub fn recover(
    files: &CertificateFiles,
    backup_key: Option<&Path>,
    now: OffsetDateTime,
) -> Result<Rotated, AdminError> {
    let work = Work::begin(files, now)?;
    let backup = work.backup(backup_key)?;
    work.fall_back(State::Retired, backup)
}

/// The ring of a server that has never changed its keys.
pub(super) fn first_ring(
    files: &CertificateFiles,
    now: OffsetDateTime,
) -> Result<KeyRing, AdminError> {
    let directory = directory_of(files);
    let since = now.unix_timestamp();
    let name = files.certificate.file_stem().and_then(|name| name.to_str()).unwrap_or(SERVER);
    let mut keys = vec![RingKey {
        public_key: public_key_of(&files.certificate)?,
        state: State::Active,
        serves: true,
        file: Some(name.to_owned()),
        since,
    }];
    match public_key_of(&directory.join(format!("{BACKUP}.crt"))) {
        Ok(public_key) => keys.push(RingKey {
            public_key,
            state: State::Backup,
            serves: false,
            file: Some(BACKUP.to_owned()),
            since,
        }),
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error),
    }
    Ok(KeyRing { epoch: 0, keys, statements: Vec::new() })
}

/// Signs and stores the first ring.
pub(super) fn store_first(files: &CertificateFiles, now: OffsetDateTime) -> Result<(), AdminError> {
    let active = first_ring(files, now)?.in_state(State::Active).map(RingKey::pin);
    let work = Work::begin(files, now)?;
    match active {
        Some(pin) => work.end(pin, None, None).map(drop),
        None => Ok(()),
    }
}

impl<'a> Work<'a> {
    fn begin(files: &'a CertificateFiles, now: OffsetDateTime) -> Result<Self, AdminError> {
        let directory = directory_of(files);
        let _lock = KeyRing::lock(directory)?;
        // A private key may be in what a crash left.
        fsio::remove_temporaries(directory)?;
        let ring = match current_ring(files)? {
            Some(ring) => ring,
            None => first_ring(files, now)?,
        };
        Ok(Self { files, directory, ring, now, _lock })
    }

    fn pin_in(&self, state: State, missing: &str) -> Result<Pin, AdminError> {
        let key = self.ring.in_state(state).map(RingKey::pin);
        key.ok_or_else(|| AdminError::Rotation(missing.to_owned()))
    }

    fn set(&mut self, pin: &Pin, state: State, serves: bool) {
        self.ring.set(pin, state, serves, self.now.unix_timestamp());
    }

    /// Makes a key and its files.
    fn make(&mut self, state: State) -> Result<Pin, AdminError> {
        let name = format!("{}-{:x}", state.as_str(), self.now.unix_timestamp_nanos());
        let pin = generate_named(self.directory, &name, self.now)?;
        let public_key = public_key_of(&self.directory.join(format!("{name}.crt")))?;
        let (since, serves) = (self.now.unix_timestamp(), state == State::Next);
        self.ring.keys.push(RingKey { public_key, state, serves, file: Some(name), since });
        Ok(pin)
    }

    /// The backup key, from `path` or where it was made.
    fn backup(&self, path: Option<&Path>) -> Result<Identity, AdminError> {
        let missing =
            || AdminError::Rotation("the backup key has to sign: name it with --backup-key".into());
        let key = self.ring.in_state(State::Backup).ok_or_else(|| {
            AdminError::Rotation(
                "no backup key is known: keys.json and backup.crt name none".into(),
            )
        })?;
        let beside = key.file.as_ref().map(|name| self.directory.join(format!("{name}.key")));
        let path = path.map(Path::to_owned).or(beside).filter(|path| path.exists());
        let backup = identity_of(&path.ok_or_else(missing)?, self.now)?;
        if backup.pin() == key.pin() {
            return Ok(backup);
        }
        let (given, wanted) = (backup.pin(), key.pin());
        Err(AdminError::Rotation(format!("that is the key {given}, and the backup is {wanted}")))
    }

    /// The backup key takes the place of the one in use, which becomes `old`.
    fn fall_back(mut self, old: State, backup: Identity) -> Result<Rotated, AdminError> {
        let active = self.pin_in(State::Active, "there is no key in use")?;
        let pin = backup.pin();
        let name = format!("active-{:x}", self.now.unix_timestamp_nanos());
        let (certificate, key) = backup.to_pem();
        let at = |extension: &str| self.directory.join(format!("{name}.{extension}"));
        fsio::create_new(&at("key"), key.expose().as_bytes(), KEY_MODE)?;
        fsio::create_new(&at("crt"), certificate.as_bytes(), CERTIFICATE_MODE)?;
        self.set(&active, old, false);
        self.set(&pin, State::Active, true);
        if let Some(key) = self.ring.keys.iter_mut().find(|key| key.pin() == pin) {
            key.file = Some(name);
        }
        let new = self.make(State::Backup)?;
        let file = self.ring.key(&new).and_then(|key| key.file.clone()).unwrap_or_default();
        let path = self.directory.join(format!("{file}.key"));
        let signers = [backup, identity_of(&path, self.now)?];
        let rotated = self.end(pin, None, Some(&signers))?;
        Ok(Rotated { new_backup: Some(path), ..rotated })
    }

    /// Signs what is announced, if a backup key is at hand, and stores the ring.
    fn end(
        mut self,
        pin: Pin,
        backup_key: Option<&Path>,
        signers: Option<&[Identity]>,
    ) -> Result<Rotated, AdminError> {
        self.ring.epoch += 1;
        let list: Vec<_> =
            self.ring.announced().iter().map(|key| (key.state.number(), key.pin())).collect();
        let message = statement(self.ring.epoch, &list);
        let at_hand = match (signers, backup_key) {
            (Some(_), _) => None,
            (None, Some(_)) => Some(self.backup(backup_key)?),
            (None, None) => self.backup(None).ok(),
        };
        let signers = signers.unwrap_or(at_hand.as_slice());
        self.ring.statements = signers
            .iter()
            .filter_map(|one| {
                let signature = one.sign(&message)?;
                Some(Statement { public_key: one.public_key(), signature })
            })
            .collect();
        self.ring.store(self.directory)?;
        let _ = self.files;
        Ok(Rotated { pin, new_backup: None, is_signed: !self.ring.statements.is_empty() })
    }
}

/// The ring beside the certificate, if it is about the certificate's key.
pub(super) fn current_ring(files: &CertificateFiles) -> Result<Option<KeyRing>, AdminError> {
    let Some(mut ring) = KeyRing::load(directory_of(files))? else { return Ok(None) };
    let pin = Pin::of_public_key(&public_key_of(&files.certificate)?);
    match ring.key(&pin).map(|key| key.state) {
        None => Ok(None),
        // Put in the place of a lost key by hand: the ring follows.
        Some(State::Backup) => {
            let since = |ring: &KeyRing| ring.key(&pin).map_or(0, |key| key.since);
            let now = since(&ring);
            if let Some(lost) = ring.in_state(State::Active).map(RingKey::pin) {
                ring.set(&lost, State::Retired, false, now);
            }
            ring.set(&pin, State::Active, true, now);
            let name = files.certificate.file_stem().and_then(|name| name.to_str());
            if let Some(key) = ring.keys.iter_mut().find(|key| key.pin() == pin) {
                key.file = name.map(str::to_owned);
            }
            Ok(Some(ring))
        }
        Some(_) => Ok(Some(ring)),
    }
}
