//! Where known servers are kept, and what may be done to them.

use std::path::{Path, PathBuf};

use super::announced::Announced;
use super::error::TrustError;
use super::file::{self, DamagedEntry};
use super::name::{HostPort, ServerName};
use super::server::{KnownServer, MAX_SERVERS};
use super::state::{Source, State};
use sealane_base::fsio;
use sealane_base::types::{Pin, PinSet, Username};

const FILE: &str = "known_servers.json";
const LOCK: &str = "known_servers.lock";
const MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;
/// Largest file in bytes, written and read: `MAX_SERVERS` with as many keys as are kept of each
/// fit.
pub const MAX_FILE: u64 = 16 << 20;

/// The file of known servers. Everything blocks.
#[derive(Clone, Debug)]
pub struct Store {
    directory: Option<PathBuf>,
}

/// What the file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownServers {
    pub(super) servers: Vec<KnownServer>,
    /// Kept as they are in the file.
    pub(super) damaged: Vec<DamagedEntry>,
}

impl Store {
    /// The store in `directory`, which is made (0700) when something is stored; without one, it is
    /// empty and stays so.
    #[must_use]
    pub fn new(directory: Option<PathBuf>) -> Self {
        Self { directory }
    }

    /// Everything known. No file is an empty one; one that others may read or write, that is
    /// damaged or written by a later program, is never taken for empty. A damaged entry is no
    /// reason to give up the others: see [`KnownServers::find`].
    ///
    /// # Errors
    /// [`TrustError::File`], [`TrustError::Damaged`], [`TrustError::Newer`].
    pub fn load(&self) -> Result<KnownServers, TrustError> {
        let Some(directory) = &self.directory else { return Ok(KnownServers::default()) };
        let path = directory.join(FILE);
        match fsio::read_private(&path, MAX_FILE) {
            Ok(bytes) => {
                let (servers, damaged) = file::read(&path, &bytes)?;
                Ok(KnownServers { servers, damaged })
            }
            Err(error) if error.is_not_found() => Ok(KnownServers::default()),
            Err(error) => Err(error.into()),
        }
    }

    /// Applies `change` while no other process can, and stores the result if it is another one.
    ///
    /// # Errors
    /// Those of [`Store::load`] and of `change`; the file is as it was then.
    pub fn update<T>(
        &self,
        change: impl FnOnce(&mut KnownServers) -> Result<T, TrustError>,
    ) -> Result<T, TrustError> {
        let directory = self.directory.as_ref().ok_or(TrustError::NoPlace)?;
        fsio::create_directories(directory, DIRECTORY_MODE)?;
        let _lock = fsio::lock_exclusive(&directory.join(LOCK))?;
        let path = directory.join(FILE);
        fsio::remove_temporaries_of(&path)?;
        let before = self.load()?;
        let mut after = before.clone();
        let result = change(&mut after)?;
        if after == before {
            // The change may be one that failed half way, and is in place without being durable.
            fsio::sync_directory(directory)?;
        } else {
            let bytes = file::write(&after.servers, &after.damaged);
            if bytes.len() as u64 > MAX_FILE {
                return Err(TrustError::Full("bytes of known servers", MAX_FILE as usize));
            }
            fsio::write_atomic(&path, &bytes, MODE)?;
        }
        Ok(result)
    }
}

impl KnownServers {
    /// All of them, in the order they were added.
    pub fn iter(&self) -> impl Iterator<Item = &KnownServer> {
        self.servers.iter()
    }

    /// Entries that cannot be read.
    #[must_use]
    pub fn damaged(&self) -> &[DamagedEntry] {
        &self.damaged
    }

    /// The server at `place`, if it is known.
    ///
    /// # Errors
    /// [`TrustError::DamagedEntry`] if it may be known, by an entry that cannot be read: it must
    /// not be taken for a stranger then.
    pub fn find(&self, host_port: &HostPort) -> Result<Option<&KnownServer>, TrustError> {
        let is_its = |entry: &&DamagedEntry| entry.host_port.as_ref() == Some(host_port);
        let known = self.at(host_port);
        let nameless = || self.damaged.iter().find(|entry| entry.host_port.is_none());
        match self.damaged.iter().find(is_its).or_else(|| known.map_or_else(nameless, |_| None)) {
            Some(entry) => Err(entry.error()),
            None => Ok(known),
        }
    }

    /// True if the key was revoked, for whatever server.
    #[must_use]
    pub fn is_revoked(&self, pin: &Pin) -> bool {
        self.servers.iter().any(|server| server.has_revoked(pin))
            || self.damaged.iter().any(|entry| entry.has_revoked(pin))
    }

    /// Forgets every entry that cannot be read; says how many.
    pub fn remove_damaged(&mut self) -> usize {
        std::mem::take(&mut self.damaged).len()
    }

    /// The server at `place`; what is damaged is not looked at.
    #[must_use]
    pub fn at(&self, host_port: &HostPort) -> Option<&KnownServer> {
        self.servers.iter().find(|server| server.host_port == *host_port)
    }

    /// The server with this name.
    #[must_use]
    pub fn named(&self, name: &ServerName) -> Option<&KnownServer> {
        self.servers.iter().find(|server| server.names().any(|one| one == name))
    }

    /// The server with this name, if there is one.
    ///
    /// # Errors
    /// [`TrustError::DamagedEntry`] if the name is that of an entry that cannot be read.
    pub fn find_named(&self, name: &ServerName) -> Result<Option<&KnownServer>, TrustError> {
        match self.damaged.iter().find(|entry| entry.name.as_ref() == Some(name)) {
            Some(entry) => Err(entry.error()),
            None => Ok(self.named(name)),
        }
    }

    /// Adds a server by its keys, the first of which is in use. One that is known with these keys
    /// stays as it is.
    ///
    /// # Errors
    /// [`TrustError::Differs`] if it is known with others, [`TrustError::Full`],
    /// [`TrustError::Revoked`], [`TrustError::DamagedEntry`].
    pub fn add(
        &mut self,
        host_port: &HostPort,
        pins: &PinSet,
        source: Source,
        now: i64,
    ) -> Result<(), TrustError> {
        if let Some(pin) = pins.iter().find(|pin| self.is_revoked(pin)) {
            return Err(TrustError::Revoked(host_port.to_string(), *pin));
        }
        match self.find(host_port)? {
            Some(known) if known.holds_all(pins) => Ok(()),
            Some(_) => Err(TrustError::Differs(host_port.to_string())),
            None => self.push(KnownServer::new(host_port.clone(), pins, source, now)?),
        }
    }

    /// Gives the server at `place` a name besides those it has, and the account that the name
    /// stands for.
    ///
    /// # Errors
    /// [`TrustError::Unknown`], [`TrustError::NameTaken`], [`TrustError::Full`].
    pub fn set_name(
        &mut self,
        host_port: &HostPort,
        name: ServerName,
        user: Option<Username>,
    ) -> Result<(), TrustError> {
        self.find_named(&name)?;
        if let Some(other) = self.named(&name).filter(|other| other.host_port != *host_port) {
            return Err(TrustError::NameTaken(name, other.host_port.to_string()));
        }
        self.at_mut(host_port)?.call(name, user)
    }

    /// Replaces a key that is accepted by another, on the user's word.
    ///
    /// # Errors
    /// [`TrustError::Unknown`], [`TrustError::NoKey`], [`TrustError::Revoked`].
    pub fn replace(
        &mut self,
        host_port: &HostPort,
        old: &Pin,
        new: Pin,
        now: i64,
    ) -> Result<(), TrustError> {
        if self.is_revoked(&new) {
            return Err(TrustError::Revoked(host_port.to_string(), new));
        }
        self.at_mut(host_port)?.replace(old, new, now)
    }

    /// Forgets a server.
    ///
    /// # Errors
    /// [`TrustError::Unknown`].
    pub fn remove(&mut self, host_port: &HostPort) -> Result<(), TrustError> {
        let before = self.servers.len() + self.damaged.len();
        self.servers.retain(|server| server.host_port != *host_port);
        self.damaged.retain(|entry| entry.host_port.as_ref() != Some(host_port));
        if self.servers.len() + self.damaged.len() == before {
            return Err(TrustError::Unknown(host_port.to_string()));
        }
        Ok(())
    }

    /// Notes that a server proved itself with `pin`. Says nothing about one that is not known.
    pub fn seen(&mut self, host_port: &HostPort, pin: &Pin, now: i64) {
        if let Ok(server) = self.at_mut(host_port) {
            server.seen(pin, now);
        }
    }

    /// Learns what a server announced on a connection that it proved with `used`; see
    /// [`KnownServer::learn`].
    ///
    /// # Errors
    /// [`TrustError::Unknown`], [`TrustError::NotLearned`].
    pub fn learn(
        &mut self,
        host_port: &HostPort,
        used: &Pin,
        announced: &Announced,
        now: i64,
    ) -> Result<Vec<Pin>, TrustError> {
        let mut announced = announced.clone();
        // What was revoked anywhere is learned as nothing, whatever this server says of it.
        for key in &mut announced.keys {
            if self.is_revoked(&key.pin) && key.state != Some(State::Revoked) {
                key.state = None;
            }
        }
        Ok(self.at_mut(host_port)?.learn(used, &announced, now)?)
    }

    /// The file's form, for another machine. What is damaged stays here.
    #[must_use]
    pub fn export(&self) -> Vec<u8> {
        file::write(&self.servers, &[])
    }

    /// Takes over what [`KnownServers::export`] gave on another machine, all or nothing, and says
    /// how many servers were new. Servers that are known already must hold every key that
    /// is to be accepted, and keep the states they have.
    ///
    /// # Errors
    /// [`TrustError::Damaged`], [`TrustError::DamagedEntry`], [`TrustError::Newer`],
    /// [`TrustError::Differs`], [`TrustError::NameTaken`], [`TrustError::Revoked`],
    /// [`TrustError::Full`].
    pub fn import(&mut self, path: &Path, bytes: &[u8]) -> Result<usize, TrustError> {
        let mut added = 0;
        let (servers, damaged) = file::read(path, bytes)?;
        if let Some(entry) = damaged.first() {
            return Err(TrustError::Damaged { path: path.to_owned(), why: entry.why.clone() });
        }
        for server in servers {
            let accepted = server.keys.iter().filter(|key| key.state.is_accepted());
            if let Some(key) = accepted.into_iter().find(|key| self.is_revoked(&key.pin)) {
                return Err(TrustError::Revoked(server.host_port.to_string(), key.pin));
            }
            let Some(known) = self.find(&server.host_port)? else {
                for name in server.names() {
                    if let Some(other) = self.named(name) {
                        return Err(TrustError::NameTaken(
                            name.clone(),
                            other.host_port.to_string(),
                        ));
                    }
                }
                self.push(server)?;
                added += 1;
                continue;
            };
            let agrees = server.keys.iter().all(|key| match known.key(&key.pin) {
                Some(ours) => ours.state.is_accepted() == key.state.is_accepted(),
                None => key.state == State::Retired,
            });
            if !agrees {
                return Err(TrustError::Differs(server.host_port.to_string()));
            }
        }
        Ok(added)
    }

    pub(super) fn at_mut(&mut self, host_port: &HostPort) -> Result<&mut KnownServer, TrustError> {
        self.find(host_port)?;
        let found = self.servers.iter_mut().find(|server| server.host_port == *host_port);
        found.ok_or_else(|| TrustError::Unknown(host_port.to_string()))
    }

    fn push(&mut self, server: KnownServer) -> Result<(), TrustError> {
        if self.servers.len() >= MAX_SERVERS {
            return Err(TrustError::Full("servers", MAX_SERVERS));
        }
        self.servers.push(server);
        Ok(())
    }
}
