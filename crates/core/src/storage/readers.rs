//! Files of a home that are open: their bytes are on the disk, and count, until the last one that
//! reads them has gone, whatever became of their names.

use std::collections::HashMap;
use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::view::Files;
use sealane_base::files::jail::Facts;
use sealane_base::files::{FileMeta, FileSource, Source, StorageError};

/// Device and inode.
type Identity = (u64, u64);

/// Which files are open.
#[derive(Debug, Default)]
pub(super) struct Readers(Mutex<HashMap<Identity, Open>>);

#[derive(Debug, Default)]
struct Open {
    readers: u64,
    /// Bytes that go once nobody reads them: the last name is gone.
    gone: u64,
}

impl Readers {
    fn lock(&self) -> MutexGuard<'_, HashMap<Identity, Open>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A name of the file that `facts` are about is gone. Gives the bytes that went with it now.
    pub(super) fn gone(&self, facts: &Facts) -> u64 {
        match self.lock().get_mut(&facts.identity).filter(|_| facts.links <= 1) {
            Some(open) => {
                open.gone = facts.size;
                0
            }
            None => facts.size,
        }
    }

    /// What `ledger` says at this moment, and how much of that has no name any more.
    pub(super) fn snapshot<T>(&self, ledger: impl FnOnce() -> T) -> (T, u64) {
        let open = self.lock();
        (ledger(), open.values().map(|open| open.gone).sum())
    }
}

/// Keeps the bytes of one file counted, until dropped.
#[derive(Debug)]
pub(super) struct Reading {
    files: Arc<Files>,
    identity: Identity,
}

impl Reading {
    /// To be asked for once the file is open. One that lost its last name just before is not known
    /// here; so the caller looks whether it has one still.
    pub(super) fn begin(files: &Arc<Files>, identity: Identity) -> Self {
        files.readers().lock().entry(identity).or_default().readers += 1;
        Self { files: Arc::clone(files), identity }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let mut all = self.files.readers().lock();
        let Some(open) = all.get_mut(&self.identity) else { return };
        open.readers = open.readers.saturating_sub(1);
        if open.readers == 0 {
            self.files.ledger().refund(open.gone);
            all.remove(&self.identity);
        }
    }
}

/// A file of a home being read: what it takes counts until it is dropped.
#[derive(Debug)]
pub(super) struct CountedSource {
    source: FileSource,
    // Last, so that the file is closed when its bytes go.
    _reading: Reading,
}

impl CountedSource {
    pub(super) fn new((file, facts, reading): (File, Facts, Reading)) -> Self {
        Self { source: FileSource::known((file, facts)), _reading: reading }
    }
}

impl Source for CountedSource {
    fn size(&self) -> u64 {
        self.source.size()
    }

    fn meta(&self) -> FileMeta {
        self.source.meta()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        self.source.read_at(offset, buffer)
    }

    fn check_unchanged(&self) -> Result<(), StorageError> {
        self.source.check_unchanged()
    }
}
