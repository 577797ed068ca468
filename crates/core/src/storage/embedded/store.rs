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

use super::home::EmbeddedHome;
use super::ledger::Ledger;
use super::view::{self, Files, Lease};
use crate::storage::seam::{HomeStore, Store};
use crate::storage::types::{Audit, Caps, View};
use sealane_base::files::StorageError;
use sealane_base::files::jail::Directory;
use sealane_base::files::lock_file;
use sealane_base::fsio::{FsErrorKind, create_directories};
use sealane_base::types::path::KEPT;
use sealane_base::types::{RemotePath, Username};

const HOMES: &str = "homes";
const PARTIALS: &str = "partials";
const LOCK: &str = ".lock";

/// An open data directory.
#[derive(Debug)]
pub struct EmbeddedStore {
    caps: Caps,
    data: Directory,
    partials: Directory,
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
    ) -> Result<Arc<dyn HomeStore>, StorageError> {
        let files = self.files(owner, place, limit)?;
        Ok(Arc::new(EmbeddedHome::new(files, view)?))
    }

    fn audit(&self, owner: &Username, repair: bool) -> Result<Option<Audit>, StorageError> {
        let leases: Vec<_> = self.leases().iter().filter_map(Weak::upgrade).collect();
        let Some(lease) = leases.into_iter().find(|lease| lease.owner == *owner) else {
            return Ok(None);
        };
        let files = lease.files.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
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
        let partials = data.child_or_make(PARTIALS, 0o700)?;
        Ok(Arc::new(Self { caps, data, partials, leases: Mutex::default(), lock }))
    }

    fn leases(&self) -> MutexGuard<'_, Vec<Weak<Lease>>> {
        let mut leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        leases.retain(|lease| lease.strong_count() > 0);
        leases
    }

    fn files(
        &self,
        owner: &Username,
        place: &RemotePath,
        limit: u64,
    ) -> Result<Arc<Files>, StorageError> {
        let lease = self.lease(owner, place)?;
        let mut opened = lease.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(files) = opened.upgrade() {
            files.set_limit(limit);
            return Ok(files);
        }
        let mut root = self.data.child(HOMES)?;
        for name in place.components().skip(1) {
            root = root.child_or_make(name, 0o700)?;
        }
        let is_apart = root.mount()? != self.partials.mount()?;
        let partials = match is_apart {
            true => root.child_or_make(KEPT, 0o700)?,
            false => self.partials.child_or_make(owner.as_str(), 0o700)?,
        };
        let files = Files::open(root, partials, limit, self.caps, Arc::clone(&lease))?;
        let files = Arc::new(files);
        *opened = Arc::downgrade(&files);
        Ok(files)
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
        let lease =
            Arc::new(Lease { owner: owner.clone(), place: place.clone(), files: Mutex::default() });
        leases.push(Arc::downgrade(&lease));
        Ok(lease)
    }

    fn sweep_account(&self, owner: &CStr, older_than: SystemTime) -> Result<u64, StorageError> {
        // Held to the end: nobody begins to count a home whose partials are being removed.
        let leases = self.leases();
        let lease = leases
            .iter()
            .filter_map(Weak::upgrade)
            .find(|lease| lease.owner.as_str().as_bytes() == owner.to_bytes());
        let Some(lease) = lease else {
            let partials = self.partials.child(owner)?;
            return view::sweep(&partials, &Ledger::new(0, 0), older_than);
        };
        let Ok(opened) = lease.files.try_lock() else { return Ok(0) };
        opened.upgrade().map_or(Ok(0), |files| files.sweep(older_than))
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        // Not left to closing: a process that is being started holds a copy of every handle.
        let _ = rustix::fs::flock(&self.lock, FlockOperation::Unlock);
    }
}
