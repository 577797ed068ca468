//! Whole-room tests, a module per intent.

#![expect(clippy::disallowed_methods, reason = "tests look at the disk from outside the jail")]

mod audit;
mod batch;
mod depth;
mod faults;
mod gate;
mod growing;
mod holes;
mod jail;
mod local;
mod local_faults;
mod names;
mod quota;
mod room;
mod upload;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

use crate::storage::{EmbeddedStore, HomeStore, Store, Upload, View};
use sealane_base::files::{FileMeta, Sink, SmallFile, Source, StorageError};
use sealane_base::types::{Grant, RemotePath, Username};

/// A data directory with one open home.
struct Fixture {
    store: Arc<EmbeddedStore>,
    home: Arc<dyn HomeStore>,
    data: TempDir,
}

impl Fixture {
    fn new(limit: u64) -> Self {
        Self::within(tempfile::tempdir().unwrap(), limit)
    }

    fn within(data: TempDir, limit: u64) -> Self {
        let store = EmbeddedStore::open(data.path()).unwrap();
        let home = open(&store, "ahpu", "homes/ahpu", limit).unwrap();
        Self { store, home, data }
    }

    /// Closes everything and opens it again, as a restarted server does.
    fn restart(self, limit: u64) -> Self {
        let Self { store, home, data } = self;
        drop((home, store));
        Self::within(data, limit)
    }

    /// Where `path` of the home is on the disk.
    fn disk(&self, path: &str) -> PathBuf {
        self.data.path().join("homes/ahpu").join(path)
    }

    fn partials(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.data.path().join("partials/ahpu")).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn put(&self, name: &str, content: &[u8]) {
        put_small(&self.home, &path(name), content, FileMeta::default()).unwrap();
    }

    fn sink(&self, name: &str, size: u64) -> Result<Arc<dyn Upload>, StorageError> {
        begin_upload(&*self.home, &path(name), Some(size), FileMeta::default())
    }

    fn read(&self, name: &str) -> Vec<u8> {
        let source = self.home.source(&path(name)).unwrap();
        let mut content = vec![0; usize::try_from(source.size()).unwrap()];
        source.read_at(0, &mut content).unwrap();
        source.check_unchanged().unwrap();
        content
    }
}

fn open(
    store: &EmbeddedStore,
    owner: &str,
    place: &str,
    limit: u64,
) -> Result<Arc<dyn HomeStore>, StorageError> {
    store
        .open_home(&Username::parse(owner).unwrap(), &path(place), limit, View::default())?
        .finish()
}

/// Begins an upload, waiting for the one before it.
fn begin_upload(
    home: &dyn HomeStore,
    path: &RemotePath,
    size: Option<u64>,
    meta: FileMeta,
) -> Result<Arc<dyn Upload>, StorageError> {
    let mut lock = home.lock_upload(path)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(lock.acquired())?;
    lock.upload(size, meta)
}

/// Stores one small file.
fn put_small(
    home: &Arc<dyn HomeStore>,
    path: &RemotePath,
    bytes: &[u8],
    meta: FileMeta,
) -> Result<(), StorageError> {
    let file = SmallFile { path: path.clone(), bytes: bytes.to_vec(), meta };
    match home.put_many(std::slice::from_ref(&file)).remove(0) {
        Err(StorageError::InUse) => {
            let mut lock = home.lock_upload(path)?;
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(lock.acquired())?;
            lock.put(&file)
        }
        outcome => outcome,
    }
}

fn path(text: &str) -> RemotePath {
    RemotePath::parse(text).unwrap()
}

fn make_fifo(path: &std::path::Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
}

/// Asserts that `outcome` is the error that matches the pattern.
macro_rules! refused {
    ($outcome:expr, $pattern:pat) => {{
        let outcome = $outcome.map(drop);
        assert!(matches!(outcome, Err($pattern)), "{outcome:?}");
    }};
}
pub(super) use refused;
