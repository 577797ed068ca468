//! The embedded store's homes: files of this machine, below a directory handle.
//!
//! Reading and making names are here, what takes them away is in `changes`, uploads are in
//! `upload`.

use std::sync::Arc;

use super::changes;
use super::listing;
use super::locks;
use super::partials;
use super::source::CountedSource;
use super::upload::{Destination, EmbeddedLock, EmbeddedUpload};
use super::view::{Files, Pass, Seen};
use crate::storage::seam::{Acquired, HomeStore, Scan, Upload, UploadLock};
use crate::storage::types::{Entry, Page, Partial, Usage, View};
use sealane_base::files::jail::Directory;
use sealane_base::files::{
    FileMeta, OWNED_FILE, Sink, SmallFile, Source, StorageError, commit_all, is_about_room,
    read_exactly, set_meta,
};
use sealane_base::fsio::disk;
use sealane_base::types::RemotePath;

/// A home of the embedded store, as one login sees it.
#[derive(Debug)]
pub(super) struct EmbeddedHome {
    seen: Seen,
}

impl EmbeddedHome {
    pub(super) fn new(files: Arc<Files>, view: View) -> Result<Self, StorageError> {
        Ok(Self { seen: Seen::new(files, view)? })
    }
}

impl HomeStore for EmbeddedHome {
    fn usage(&self) -> Result<Usage, StorageError> {
        Ok(self.seen.usage())
    }

    fn stat(&self, path: &RemotePath) -> Result<Entry, StorageError> {
        let pass = self.seen.pass()?;
        let (facts, name) = match pass.root().holder(path) {
            Err(StorageError::Root) => (Some(pass.root().facts()?), ""),
            holder => {
                let (directory, name) = holder?;
                (directory.look(name)?, name)
            }
        };
        facts.map(|facts| Entry::new(name, &facts)).ok_or(StorageError::NotFound)
    }

    fn list(
        &self,
        path: &RemotePath,
        after: Option<&str>,
        max: usize,
    ) -> Result<Page, StorageError> {
        listing::page(&self.seen.pass()?.root().descend(path)?, after, max)
    }

    fn scan(&self, path: &RemotePath) -> Result<Box<dyn Scan>, StorageError> {
        Ok(Box::new(listing::DirectoryScan::new(self.seen.pass()?.root().descend(path)?)?))
    }

    fn source(&self, path: &RemotePath) -> Result<Arc<dyn Source>, StorageError> {
        let pass = self.seen.pass()?;
        let directory = holder(&pass, path)?;
        open(&pass, &directory, path)
    }

    fn sources(&self, paths: &[RemotePath]) -> Vec<Result<Arc<dyn Source>, StorageError>> {
        let mut holders = Holders::default();
        let open_next = |path: &RemotePath| {
            let pass = self.seen.pass()?;
            open(&pass, &*holders.of(&pass, path)?, path)
        };
        paths.iter().map(open_next).collect()
    }

    fn lock_upload(&self, path: &RemotePath) -> Result<Box<dyn UploadLock>, StorageError> {
        let pass = self.seen.pass()?;
        let target = holder(&pass, path)?;
        let to = Destination::new(pass, target, path)?;
        let asking = to.ask();
        Ok(Box::new(EmbeddedLock { to, asking, lock: None }))
    }

    fn put_many(&self, files: &[SmallFile]) -> Vec<Result<(), StorageError>> {
        match self.seen.pass() {
            Ok(pass) => put_many(&pass, files),
            // The part of the home that is seen is not there any more.
            Err(_) => files.iter().map(|_| Err(StorageError::NotFound)).collect(),
        }
    }

    fn make_directory(&self, path: &RemotePath, parents: bool) -> Result<(), StorageError> {
        let pass = self.seen.pass()?;
        if parents {
            let mut here = pass.root().descend(&RemotePath::default())?;
            for name in path.components() {
                here = match here.child(name) {
                    Err(StorageError::NotFound) => made(&pass, &here, name)?,
                    there => there?,
                };
            }
            return Ok(());
        }
        let (directory, name) = match pass.root().holder(path) {
            Err(StorageError::Root) => return Err(StorageError::Exists),
            holder => holder?,
        };
        pass.make_directory(&directory, name)
    }

    fn remove(&self, path: &RemotePath, recursive: bool) -> Result<(), StorageError> {
        changes::remove(&self.seen.pass()?, path, recursive)
    }

    fn rename(
        &self,
        from: &RemotePath,
        to: &RemotePath,
        replace: bool,
    ) -> Result<(), StorageError> {
        changes::rename(&self.seen.pass()?, from, to, replace)
    }

    fn set_meta(&self, path: &RemotePath, meta: FileMeta) -> Result<(), StorageError> {
        changes::set_metadata(&self.seen.pass()?, path, meta)
    }

    fn partials(
        &self,
        after: Option<&str>,
        max: usize,
    ) -> Result<(Vec<Partial>, bool), StorageError> {
        partials::list(&self.seen.pass()?, after, max)
    }

    fn discard_partial(&self, id: &str) -> Result<(), StorageError> {
        partials::discard(&self.seen.pass()?, id)
    }
}

fn open(
    pass: &Pass,
    directory: &Directory,
    path: &RemotePath,
) -> Result<Arc<dyn Source>, StorageError> {
    let name = path.name().ok_or(StorageError::IsDirectory)?;
    Ok(Arc::new(CountedSource::new(pass.open(directory, name)?)))
}

/// A directory in `here` that was missing; somebody else may make it meanwhile.
fn made(pass: &Pass, here: &Directory, name: &str) -> Result<Directory, StorageError> {
    match pass.make_directory(here, name) {
        Ok(()) | Err(StorageError::Exists) => {}
        Err(error) => return Err(error),
    }
    here.child(name)
}

fn put_many(pass: &Pass, files: &[SmallFile]) -> Vec<Result<(), StorageError>> {
    let mut results: Vec<_> = files.iter().map(|_| Ok(())).collect();
    let (mut staged, mut sinks) = (Vec::new(), Vec::new());
    let mut holders = Holders::default();
    for (file, result) in files.iter().zip(&mut results) {
        let target = holders.of(pass, &file.path);
        let to = target.and_then(|target| Destination::new(pass.clone(), target, &file.path));
        match to.and_then(|to| stage(file, to.ask().try_take()?, to)) {
            Ok(Some(sink)) => {
                staged.push(result);
                sinks.push(sink);
            }
            Ok(None) => {}
            Err(error) => *result = Err(error),
        }
    }
    let committed = commit_all(&sinks);
    for ((result, sink), outcome) in staged.into_iter().zip(&sinks).zip(committed) {
        *result = outcome.inspect_err(|_| sink.discard());
    }
    results
}

impl UploadLock for EmbeddedLock {
    fn acquired(&mut self) -> Acquired<'_> {
        Box::pin(async {
            if self.lock.is_none() {
                self.lock = Some(self.asking.granted().await?);
            }
            Ok(())
        })
    }

    fn upload(
        self: Box<Self>,
        size: Option<u64>,
        meta: FileMeta,
    ) -> Result<Arc<dyn Upload>, StorageError> {
        let Self { to, lock, .. } = *self;
        let lock = lock.ok_or(StorageError::InUse)?;
        Ok(Arc::new(EmbeddedUpload::begin(to, lock, size, meta, true)?))
    }

    fn put(self: Box<Self>, file: &SmallFile) -> Result<(), StorageError> {
        let Self { to, lock, .. } = *self;
        match stage(file, lock.ok_or(StorageError::InUse)?, to)? {
            Some(sink) => sink.commit().inspect_err(|_| sink.discard()),
            None => Ok(()),
        }
    }
}

/// `None` if there is no room for the file, and it is there already.
fn stage(
    file: &SmallFile,
    lock: locks::UploadLock,
    to: Destination,
) -> Result<Option<EmbeddedUpload>, StorageError> {
    let size = u64::try_from(file.bytes.len()).unwrap_or(u64::MAX);
    let begun = EmbeddedUpload::begin(to.clone(), lock, Some(size), file.meta, false);
    let written = begun.and_then(|sink| {
        sink.write_at(0, &file.bytes).inspect_err(|_| sink.discard())?;
        Ok(sink)
    });
    match written {
        Err(error) if is_about_room(&error) => {
            if is_there(&to, file).unwrap_or(false) {
                Ok(None)
            } else {
                Err(error)
            }
        }
        written => written.map(Some),
    }
}

/// Whether the name has the very same file already, which gets its time and mode then.
fn is_there(to: &Destination, file: &SmallFile) -> Result<bool, StorageError> {
    let Destination { pass, target, name, .. } = to;
    if pass.keeps_apart().is_some() {
        return Ok(false);
    }
    let _names = pass.lock_names();
    let (present, facts) = target.file(name)?;
    let mut bytes = vec![0; file.bytes.len()];
    if facts.size != bytes.len() as u64 {
        return Ok(false);
    }
    read_exactly(&present, 0, &mut bytes)?;
    if bytes != file.bytes {
        return Ok(false);
    }
    let mode = file.meta.mode.map(|mode| mode | OWNED_FILE);
    set_meta(&present, FileMeta { mode, ..file.meta })?;
    disk::sync(&present)?;
    target.sync()?;
    Ok(true)
}

/// The directory that was opened last, for paths that follow one another. It is opened anew for
/// each call of the store: a directory may get another name between two.
#[derive(Default)]
struct Holders(Option<(RemotePath, Arc<Directory>)>);

impl Holders {
    fn of(&mut self, pass: &Pass, path: &RemotePath) -> Result<Arc<Directory>, StorageError> {
        let parent = path.parent().unwrap_or_default();
        let directory = match self.0.take().filter(|(known, _)| *known == parent) {
            Some((_, directory)) => directory,
            None => holder(pass, path)?,
        };
        self.0 = Some((parent, Arc::clone(&directory)));
        Ok(directory)
    }
}

/// Opens the directory that holds `path`.
fn holder(pass: &Pass, path: &RemotePath) -> Result<Arc<Directory>, StorageError> {
    match pass.root().holder(path) {
        Err(StorageError::Root) => Err(StorageError::IsDirectory),
        holder => Ok(Arc::new(holder?.0)),
    }
}
