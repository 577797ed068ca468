//! The data directory of a server: homes, partials, and the lock that keeps a second server out.
//!
//! ```text
//! DATA/.lock              held as long as the server runs
//! DATA/homes/…            what accounts see
//! DATA/partials/ACCOUNT/  what they do not: partials and trash, on the same file system
//! ```
//!
//! A home that is a mount of its own has them in `.sealane-partials` in itself, which no path can
//! name.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::SystemTime;

use rustix::fs::FlockOperation;

use super::ledger::Ledger;
use super::opening::EmbeddedOpening;
use super::view::{self, Lease};
use crate::storage::seam::{Opening, Store};
use crate::storage::types::{Audit, Caps, View};
use sealane_base::files::StorageError;
use sealane_base::files::jail::Directory;
use sealane_base::files::lock_file;
use sealane_base::fsio::{FsErrorKind, create_directories};
use sealane_base::types::{RemotePath, Username};

const HOMES: &str = "homes";
const PARTIALS: &str = "partials";
const LOCK: &str = ".lock";

/// An open data directory.
#[derive(Debug)]
pub struct EmbeddedStore {
    caps: Caps,
    data: Directory,
    partials: Arc<Directory>,
    leases: Mutex<Vec<Weak<Lease>>>,
    lock: File,
}

impl Store for EmbeddedStore {
    fn open_home(
        &self,
        owner: &Username,
        place: &RemotePath,
        limit: u64,
        view: View,
    ) -> Result<Box<dyn Opening>, StorageError> {
        let lease = self.lease(owner, place)?;
        let (homes, partials) = (self.data.child(HOMES)?, Arc::clone(&self.partials));
        let caps = self.caps;
        Ok(Box::new(EmbeddedOpening { lease, limit, view, caps, homes, partials }))
    }

    fn audit(&self, owner: &Username, repair: bool) -> Result<Option<Audit>, StorageError> {
        let leases: Vec<_> = self.leases().iter().filter_map(Weak::upgrade).collect();
        let Some(lease) = leases.into_iter().find(|lease| lease.owner == *owner) else {
            return Ok(None);
        };
        let files = lease.opened().files.upgrade();
        files.map(|files| files.audit(repair)).transpose()
    }

    fn sweep_partials(&self, older_than: SystemTime) -> Result<u64, StorageError> {
        let mut swept = 0;
        for owner in self.partials.names()? {
            swept += self.sweep_account(&owner?, older_than)?;
        }
        Ok(swept)
    }
}

impl EmbeddedStore {
    /// Opens a data directory and makes what is missing in it, for the owner alone.
    ///
    /// # Errors
    /// [`StorageError::DataDirectory`] if that fails or another server uses it.
    pub fn open(data: &Path) -> Result<Arc<Self>, StorageError> {
        Self::open_with(data, Caps::default())
    }

    /// As [`EmbeddedStore::open`], for accounts that may have what `caps` says.
    ///
    /// # Errors
    /// As [`EmbeddedStore::open`].
    pub fn open_with(data: &Path, caps: Caps) -> Result<Arc<Self>, StorageError> {
        Self::open_locked(data, caps).map_err(|error| StorageError::DataDirectory {
            path: data.to_owned(),
            reason: match error {
                StorageError::InUse => io::Error::other("another server is using it"),
                StorageError::Io(error) => error,
                other => io::Error::other(other),
            },
        })
    }

    fn open_locked(data: &Path, caps: Caps) -> Result<Arc<Self>, StorageError> {
        create_directories(data, 0o700).map_err(|error| match error.kind {
            FsErrorKind::Io(error) => StorageError::from(error),
            other => StorageError::Io(io::Error::other(other)),
        })?;
        let data = Directory::open_root(data)?;
        let (lock, _) = data.private_file(LOCK)?;
        lock_file(&lock)?;
        data.child_or_make(HOMES, 0o700)?;
        let partials = Arc::new(data.child_or_make(PARTIALS, 0o700)?);
        Ok(Arc::new(Self { caps, data, partials, leases: Mutex::default(), lock }))
    }

    fn leases(&self) -> MutexGuard<'_, Vec<Weak<Lease>>> {
        let mut leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        leases.retain(|lease| lease.strong_count() > 0);
        leases
    }

    fn lease(&self, owner: &Username, place: &RemotePath) -> Result<Arc<Lease>, StorageError> {
        let mut names = place.components();
        if names.next() != Some(HOMES) || names.next().is_none() {
            return Err(StorageError::HomeConflict);
        }
        let mut leases = self.leases();
        for lease in leases.iter().filter_map(Weak::upgrade) {
            if lease.owner == *owner && lease.place == *place {
                return Ok(lease);
            }
            let overlap = lease.place.contains(place) || place.contains(&lease.place);
            if overlap || lease.owner == *owner {
                return Err(StorageError::HomeConflict);
            }
        }
        let (owner, place) = (owner.clone(), place.clone());
        let lease = Arc::new(Lease { owner, place, opened: Mutex::default() });
        leases.push(Arc::downgrade(&lease));
        Ok(lease)
    }

    fn sweep_account(&self, owner: &CStr, older_than: SystemTime) -> Result<u64, StorageError> {
        // Held until it is open: nobody begins to count a home whose partials are being removed.
        let leases = self.leases();
        let lease = leases
            .iter()
            .filter_map(Weak::upgrade)
            .find(|lease| lease.owner.as_str().as_bytes() == owner.to_bytes());
        let Some(lease) = lease else {
            let partials = self.partials.child(owner)?;
            return view::sweep(&partials, &Ledger::new(0, 0), older_than);
        };
        // From now on its names are locked, perhaps for long, and no other account's login waits.
        drop(leases);
        let files = lease.opened().files.upgrade();
        files.map_or(Ok(0), |files| files.sweep(older_than))
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        // Not left to closing: a process that is being started holds a copy of every handle.
        let _ = rustix::fs::flock(&self.lock, FlockOperation::Unlock);
    }
}
