//! Group commit: many small files are written, then synced together, then named, then their
//! directories are synced, each once.
//!
//! A file is either in all of these steps or out of the batch: what fails, fails alone. It decides
//! nothing about quotas or names; that is for the sinks.

use std::sync::Arc;

use super::jail::Directory;
use super::partial::PartialFile;
use super::{FileMeta, StorageError};
use crate::types::RemotePath;

/// A whole small file.
#[derive(Clone, Debug)]
pub struct SmallFile {
    /// Where it goes.
    pub path: RemotePath,
    /// What it holds.
    pub bytes: Vec<u8>,
    /// Its time and mode.
    pub meta: FileMeta,
}

/// From this many files on, the whole file system is synced once instead of each file.
const TOGETHER: usize = 4;

/// A sink whose commit can be taken apart.
pub trait Staged {
    /// The file, written in full.
    fn partial(&self) -> &PartialFile;

    /// Where its name will be.
    fn directory(&self) -> &Arc<Directory>;

    /// Whether what has the name already is this very file, which gets its mode and time then.
    fn is_present(&self) -> Result<bool, StorageError>;

    /// Checks that it may have its name and gives it its mode and time.
    fn prepare(&self) -> Result<(), StorageError>;

    /// Gives it its name: the one rename.
    fn publish(&self) -> Result<(), StorageError>;

    /// Removes what was written.
    fn give_up(&self);

    /// All steps for one file; those of [`Sink::commit`](super::Sink::commit).
    fn commit_alone(&self) -> Result<(), StorageError> {
        let is_present = self.partial().does_without_room() && self.is_present()?;
        if !is_present {
            self.partial().copy_now()?;
        }
        let mut ended = self.partial().ending()?;
        if is_present {
            self.give_up();
        } else {
            self.prepare()?;
            self.partial().sync()?;
            self.publish()?;
        }
        *ended = true;
        drop(ended);
        self.directory().sync()
    }

    /// Gives it up, unless it has ended: [`Sink::discard`](super::Sink::discard).
    fn discard_alone(&self) {
        if let Ok(mut ended) = self.partial().ending() {
            self.give_up();
            *ended = true;
        }
    }
}

/// Commits all of `files`; one result for each, in their order.
pub fn commit_all<S: Staged>(files: &[S]) -> Vec<Result<(), StorageError>> {
    let mut staged: Vec<_> = files.iter().map(|file| (file, file.prepare())).collect();
    let ready = || files.iter().map(Staged::partial);
    let are_many = staged.iter().filter(|(_, result)| result.is_ok()).count() >= TOGETHER;
    let synced = are_many && ready().next().is_some_and(PartialFile::sync_file_system);
    for (file, result) in &mut staged {
        if result.is_ok() && !synced {
            *result = file.partial().sync();
        }
        if result.is_ok() {
            *result = file.publish();
        }
        if result.is_ok() {
            file.partial().end();
        }
    }
    sync_directories(&mut staged);
    staged.into_iter().map(|(_, result)| result).collect()
}

fn sync_directories<S: Staged>(staged: &mut [(&S, Result<(), StorageError>)]) {
    let mut synced: Vec<&Arc<Directory>> = Vec::new();
    for (file, result) in staged.iter_mut().filter(|(_, result)| result.is_ok()) {
        let directory = file.directory();
        if synced.iter().any(|known| Arc::ptr_eq(known, directory)) {
            continue;
        }
        match directory.sync() {
            Ok(()) => synced.push(directory),
            // Each of its files finds that out for itself.
            Err(error) => *result = Err(error),
        }
    }
}
