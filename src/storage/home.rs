//! What one account may do with its files; whoever holds a [`Home`] can do this and no more.
//!
//! It asks no questions about who is calling: that was settled when the home was opened. Reading
//! and making names are here, what takes them away is in `changes`, uploads are in `home_sink`.

use std::ffi::CStr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::batch::{self, SmallFile};
use super::claims::Claims;
use super::home_sink::HomeSink;
use super::jail::{Directory, EntryKind};
use super::ledger::{Ledger, Usage};
use super::listing::{self, Entry, Page};
use super::source::FileSource;
use super::vault::Lease;
use super::{FileMeta, Sink, StorageError, walk};
use crate::types::RemotePath;

/// How long an upload waits by default for the one it takes over from.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Ending of a partial's name.
pub(super) const PART: &str = ".part";
/// Ending of the name of the note beside it.
pub(super) const NOTE: &str = ".json";

/// An account's files. All methods block and may be called from any thread.
///
/// Links are never followed: in the middle of a path they are [`StorageError::NotDirectory`], at
/// its end [`StorageError::NotRegular`] wherever a file would be opened.
#[derive(Debug)]
pub struct Home {
    pub(super) root: Directory,
    /// Partials and trash of this account: on the same file system, and no path names it.
    pub(super) partials: Directory,
    pub(super) ledger: Arc<Ledger>,
    pub(super) claims: Arc<Claims>,
    /// Held while a name is looked at and changed, so that the ledger follows each change and a count
    /// of the disk falls between two of them.
    names: Mutex<()>,
    pub(super) trash_number: AtomicU64,
    _lease: Arc<Lease>,
}

impl Home {
    /// Clears what a crash left half removed, and counts the rest.
    pub(super) fn open(
        root: Directory,
        partials: Directory,
        limit: u64,
        lease: Arc<Lease>,
    ) -> Result<Self, StorageError> {
        let mut used = walk::count(&root)?;
        for name in partials.names()? {
            let name = name?;
            let Some(facts) = partials.look(&name)? else { continue };
            if facts.kind == EntryKind::Directory {
                let trash = partials.child(&name)?;
                // What cannot be removed goes on counting.
                let unlink = |directory: &Directory, name: &CStr| directory.unlink(name);
                let cleared = walk::clear(&trash, unlink, || ())
                    .and_then(|()| partials.remove_directory(&name));
                if cleared.is_err() {
                    used = used.saturating_add(walk::count(&trash)?);
                }
            } else if name.to_bytes().ends_with(PART.as_bytes()) {
                used = used.saturating_add(facts.size);
            }
        }
        Ok(Self {
            root,
            partials,
            ledger: Ledger::new(used, limit),
            claims: Arc::default(),
            names: Mutex::default(),
            trash_number: AtomicU64::new(0),
            _lease: lease,
        })
    }

    pub(super) fn lock_names(&self) -> MutexGuard<'_, ()> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the account uses, has reserved, and may use.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.ledger.usage()
    }

    /// Opens a file for reading.
    ///
    /// # Errors
    /// [`StorageError::NotFound`], [`StorageError::IsDirectory`], [`StorageError::NotRegular`] or
    /// another [`StorageError`].
    pub fn source(&self, path: &RemotePath) -> Result<FileSource, StorageError> {
        let (directory, name) = match self.root.holder(path) {
            Err(StorageError::Root) => return Err(StorageError::IsDirectory),
            holder => holder?,
        };
        FileSource::new(directory.file(name)?.0)
    }

    /// Begins an upload of `size` bytes to `path`, taking over from one that runs there already:
    /// that one is told through [`HomeSink::cancelled`] and waited for at most `patience`
    /// (usually [`PATIENCE`]).
    ///
    /// The whole size is reserved now. A file that has the name keeps it, and counts, until
    /// [`Sink::commit`].
    ///
    /// # Errors
    /// [`StorageError::Quota`] and [`StorageError::DiskFull`] with the bytes short;
    /// [`StorageError::NotFound`] if the directory is missing; [`StorageError::IsDirectory`],
    /// [`StorageError::NotRegular`] for what has the name; [`StorageError::InUse`] if the other
    /// upload does not end in time, [`StorageError::Superseded`] if a third one came meanwhile.
    pub fn sink(
        self: &Arc<Self>,
        path: &RemotePath,
        size: u64,
        meta: FileMeta,
        patience: Duration,
    ) -> Result<HomeSink, StorageError> {
        HomeSink::begin(self, self.holder(path)?, path, size, meta, patience, true)
    }

    /// Writes small files whole, in any order, and makes them durable together: as [`Home::sink`] and
    /// [`Sink::commit`] in one step for each, holding nothing from before. One result for each.
    ///
    /// A name that something else is being written to is taken over, after the rest.
    ///
    /// # Errors
    /// As [`Home::sink`] and [`Sink::commit`]. Unlike there, a failure keeps no partial.
    pub fn put_many(self: &Arc<Self>, files: &[SmallFile]) -> Vec<Result<(), StorageError>> {
        let mut results: Vec<_> = files.iter().map(|_| Ok(())).collect();
        let (mut numbers, mut sinks, mut busy) = (Vec::new(), Vec::new(), Vec::new());
        let mut last: Option<(RemotePath, Arc<Directory>)> = None;
        for (number, file) in files.iter().enumerate() {
            let parent = file.path.parent().unwrap_or_default();
            let known = last.take().filter(|(path, _)| *path == parent);
            let target = match known {
                Some((_, directory)) => Ok(directory),
                None => self.holder(&file.path),
            };
            // Nobody is waited for while others wait for what is staged here.
            let staged = target.and_then(|target| {
                last = Some((parent, Arc::clone(&target)));
                self.stage(file, target, Duration::ZERO)
            });
            match (staged, results.get_mut(number)) {
                (Ok(sink), _) => {
                    numbers.push(number);
                    sinks.push(sink);
                }
                (Err(StorageError::InUse), _) => busy.push((number, file)),
                (Err(error), Some(result)) => *result = Err(error),
                (Err(_), None) => {}
            }
        }
        let committed = batch::commit(&sinks);
        for ((number, sink), outcome) in numbers.into_iter().zip(&sinks).zip(committed) {
            if outcome.is_err() {
                sink.discard();
            }
            if let Some(result) = results.get_mut(number) {
                *result = outcome;
            }
        }
        drop(sinks);
        for (number, file) in busy {
            if let Some(result) = results.get_mut(number) {
                *result = self.put_alone(file);
            }
        }
        results
    }

    fn put_alone(self: &Arc<Self>, file: &SmallFile) -> Result<(), StorageError> {
        let sink = self.stage(file, self.holder(&file.path)?, PATIENCE)?;
        let outcome = sink.commit();
        if outcome.is_err() {
            sink.discard();
        }
        outcome
    }

    fn stage(
        self: &Arc<Self>,
        file: &SmallFile,
        target: Arc<Directory>,
        patience: Duration,
    ) -> Result<HomeSink, StorageError> {
        let size = u64::try_from(file.bytes.len()).unwrap_or(u64::MAX);
        let sink = HomeSink::begin(self, target, &file.path, size, file.meta, patience, false)?;
        sink.write_at(0, &file.bytes).inspect_err(|_| sink.discard())?;
        Ok(sink)
    }

    /// Opens the directory that holds `path`.
    fn holder(&self, path: &RemotePath) -> Result<Arc<Directory>, StorageError> {
        match self.root.holder(path) {
            Err(StorageError::Root) => Err(StorageError::IsDirectory),
            holder => Ok(Arc::new(holder?.0)),
        }
    }

    /// What `path` is, itself and not what it points to.
    ///
    /// # Errors
    /// [`StorageError::NotFound`], [`StorageError::NotDirectory`] or another [`StorageError`].
    pub fn stat(&self, path: &RemotePath) -> Result<Entry, StorageError> {
        let (facts, name) = match self.root.holder(path) {
            Err(StorageError::Root) => (Some(self.root.facts()?), ""),
            holder => {
                let (directory, name) = holder?;
                (directory.look(name)?, name)
            }
        };
        facts.map(|facts| Entry::new(name, &facts)).ok_or(StorageError::NotFound)
    }

    /// The first `max` entries of a directory whose names come after `after`, by the bytes of
    /// their names. Memory is bounded by `max`; the caller bounds that.
    ///
    /// # Errors
    /// [`StorageError::NotFound`], [`StorageError::NotDirectory`] or another [`StorageError`].
    pub fn list(
        &self,
        path: &RemotePath,
        after: Option<&str>,
        max: usize,
    ) -> Result<Page, StorageError> {
        listing::page(&self.root.descend(path)?, after, max)
    }

    /// Makes a directory and, with `parents`, those above it; with `parents` it may be there.
    ///
    /// # Errors
    /// [`StorageError::Exists`] without `parents`; [`StorageError::NotFound`] if the one above is
    /// missing; [`StorageError::NotDirectory`] if something else is in the way.
    pub fn make_directory(&self, path: &RemotePath, parents: bool) -> Result<(), StorageError> {
        if parents {
            let mut here = self.root.descend(&RemotePath::default())?;
            for name in path.components() {
                here = here.child_or_make(name, 0o777)?;
            }
            return Ok(());
        }
        let (directory, name) = match self.root.holder(path) {
            Err(StorageError::Root) => return Err(StorageError::Exists),
            holder => holder?,
        };
        directory.make(name, 0o777)?;
        directory.sync()
    }

    /// Removes partials that were last written to before `older_than`, unless something is being
    /// uploaded. Gives how many.
    pub(super) fn sweep(&self, older_than: SystemTime) -> Result<u64, StorageError> {
        let sweep_now = || {
            let _names = self.lock_names();
            sweep(&self.partials, &self.ledger, older_than)
        };
        self.claims.while_idle(sweep_now).unwrap_or(Ok(0))
    }
}

/// Removes partials and their notes that were last written to before `older_than`.
pub(super) fn sweep(
    partials: &Directory,
    ledger: &Ledger,
    older_than: SystemTime,
) -> Result<u64, StorageError> {
    let oldest = older_than.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let oldest = i64::try_from(oldest).unwrap_or(i64::MAX);
    let mut swept = 0;
    for name in partials.names()? {
        let name = name?;
        let Ok(text) = name.to_str() else { continue };
        let Some(facts) = partials.look(text)? else { continue };
        if facts.kind != EntryKind::File || facts.modified >= oldest {
            continue;
        }
        if let Some(stem) = text.strip_suffix(PART) {
            partials.unlink(text)?;
            ledger.refund(facts.size);
            swept += 1;
            let _ = partials.unlink(format!("{stem}{NOTE}"));
        }
    }
    Ok(swept)
}
