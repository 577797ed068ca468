//! What one login may do with the files of its account; whoever holds a [`Home`] can do this and no more.
//!
//! It asks no questions about who is calling: what the home was opened for is kept by `gate`. Reading
//! and making names are here, what takes them away is in `changes`, uploads are in `home_sink`.

use std::sync::Arc;
use std::time::Duration;

use super::batch::{self, SmallFile};
use super::gate::{Files, Gate, Operation, Pass};
use super::home_sink::HomeSink;
use super::jail::Directory;
use super::ledger::Usage;
use super::listing::{self, Entry, Page, Scan};
use super::meta::set_meta;
use super::room::is_about_room;
use super::source::{FileSource, read_exactly};
use super::{FileMeta, OWNED_FILE, Sink, StorageError};
use crate::fsio::disk;
use crate::types::{Grant, RemotePath};

/// How long an upload waits by default for the one it takes over from.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// An account's files, as far as somebody was granted them. All methods block and may be called from any
/// thread; each is [`StorageError::Forbidden`] to those who were not granted what its [`Operation`] needs.
///
/// Links are never followed: in the middle of a path they are [`StorageError::NotDirectory`], at
/// its end [`StorageError::NotRegular`] wherever a file would be opened.
#[derive(Debug)]
pub struct Home {
    pub(super) gate: Gate,
}

impl Home {
    pub(super) fn new(files: Arc<Files>, grant: Grant) -> Result<Self, StorageError> {
        Ok(Self { gate: Gate::new(files, grant)? })
    }

    /// What the account uses, has reserved, and may use.
    ///
    /// # Errors
    /// [`StorageError::Forbidden`].
    pub fn usage(&self) -> Result<Usage, StorageError> {
        Ok(self.gate.pass(Operation::Usage)?.ledger().usage())
    }

    /// As [`Home::usage`], for the server's administrator: never to be told to whoever holds the home.
    #[must_use]
    pub fn usage_for_administrator(&self) -> Usage {
        self.gate.usage()
    }

    /// Opens a file for reading.
    ///
    /// # Errors
    /// [`StorageError::NotFound`], [`StorageError::IsDirectory`], [`StorageError::NotRegular`] or
    /// another [`StorageError`].
    pub fn source(&self, path: &RemotePath) -> Result<FileSource, StorageError> {
        let pass = self.gate.pass(Operation::Read)?;
        let (directory, name) = match pass.root().holder(path) {
            Err(StorageError::Root) => return Err(StorageError::IsDirectory),
            holder => holder?,
        };
        Ok(FileSource::counted(pass.open(&directory, name)?))
    }

    /// Opens many files, one after another.
    #[must_use]
    pub fn sources(&self) -> Sources<'_> {
        Sources { home: self, last: None }
    }

    /// Begins an upload of `size` bytes to `path`, taking over from one that runs there already:
    /// that one is told through [`HomeSink::cancelled`] and waited for at most `patience`
    /// (usually [`PATIENCE`]).
    ///
    /// The whole size is reserved now; if there is no room, only once something is written that the file which has
    /// the name does not hold: what is there already needs no room. That file keeps its name, and counts, until
    /// [`Sink::commit`].
    ///
    /// # Errors
    /// [`StorageError::Quota`] and [`StorageError::DiskFull`] with the bytes short;
    /// [`StorageError::NotFound`] if the directory is missing; [`StorageError::IsDirectory`],
    /// [`StorageError::NotRegular`] for what has the name; [`StorageError::InUse`] if the other
    /// upload does not end in time, [`StorageError::Superseded`] if a third one came meanwhile.
    pub fn sink(
        &self,
        path: &RemotePath,
        size: u64,
        meta: FileMeta,
        patience: Duration,
    ) -> Result<HomeSink, StorageError> {
        let pass = self.gate.pass(Operation::Upload)?;
        let target = holder(&pass, path)?;
        HomeSink::begin(pass, target, path, size, meta, patience, true)
    }

    /// Writes small files whole, in any order, and makes them durable together: as [`Home::sink`] and
    /// [`Sink::commit`] in one step for each, holding nothing from before. One result for each.
    ///
    /// A name that something else is being written to is taken over, after the rest.
    ///
    /// # Errors
    /// As [`Home::sink`] and [`Sink::commit`]. Unlike there, a failure keeps no partial.
    #[must_use]
    pub fn put_many(&self, files: &[SmallFile]) -> Vec<Result<(), StorageError>> {
        match self.gate.pass(Operation::Upload) {
            Ok(pass) => put_many(&pass, files),
            Err(StorageError::Forbidden) => {
                files.iter().map(|_| Err(StorageError::Forbidden)).collect()
            }
            // The part of the home that was granted is not there any more.
            Err(_) => files.iter().map(|_| Err(StorageError::NotFound)).collect(),
        }
    }

    /// What `path` is, itself and not what it points to.
    ///
    /// # Errors
    /// [`StorageError::NotFound`], [`StorageError::NotDirectory`] or another [`StorageError`].
    pub fn stat(&self, path: &RemotePath) -> Result<Entry, StorageError> {
        let pass = self.gate.pass(Operation::Stat)?;
        let (facts, name) = match pass.root().holder(path) {
            Err(StorageError::Root) => (Some(pass.root().facts()?), ""),
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
        listing::page(&self.gate.pass(Operation::List)?.root().descend(path)?, after, max)
    }

    /// Begins to read a whole directory, in one pass.
    ///
    /// # Errors
    /// As [`Home::list`].
    pub fn scan(&self, path: &RemotePath) -> Result<Scan, StorageError> {
        Scan::new(self.gate.pass(Operation::List)?.root().descend(path)?)
    }

    /// Makes a directory and, with `parents`, those above it; with `parents` it may be there.
    ///
    /// # Errors
    /// [`StorageError::Exists`] without `parents`; [`StorageError::NotFound`] if the one above is
    /// missing; [`StorageError::NotDirectory`] if something else is in the way.
    pub fn make_directory(&self, path: &RemotePath, parents: bool) -> Result<(), StorageError> {
        let pass = self.gate.pass(Operation::MakeDirectory)?;
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
}

/// Opens files of a home. Those of one directory that follow one another are reached through one handle, so it is
/// not to be kept.
#[derive(Debug)]
pub struct Sources<'home> {
    home: &'home Home,
    last: Option<(RemotePath, Arc<Directory>)>,
}

impl Sources<'_> {
    /// As [`Home::source`].
    ///
    /// # Errors
    /// As [`Home::source`].
    pub fn open(&mut self, path: &RemotePath) -> Result<FileSource, StorageError> {
        let pass = self.home.gate.pass(Operation::Read)?;
        let (Some(parent), Some(name)) = (path.parent(), path.name()) else {
            return Err(StorageError::IsDirectory);
        };
        let known = self.last.take().filter(|(known, _)| *known == parent);
        let directory = match known {
            Some((_, directory)) => directory,
            None => holder(&pass, path)?,
        };
        let source = pass.open(&directory, name).map(FileSource::counted);
        self.last = Some((parent, directory));
        source
    }
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
    let (mut numbers, mut sinks, mut busy) = (Vec::new(), Vec::new(), Vec::new());
    let mut last: Option<(RemotePath, Arc<Directory>)> = None;
    for (number, file) in files.iter().enumerate() {
        let parent = file.path.parent().unwrap_or_default();
        let known = last.take().filter(|(path, _)| *path == parent);
        let target = match known {
            Some((_, directory)) => Ok(directory),
            None => holder(pass, &file.path),
        };
        // Nobody is waited for while others wait for what is staged here.
        let staged = target.and_then(|target| {
            last = Some((parent, Arc::clone(&target)));
            stage(pass, file, target, Duration::ZERO)
        });
        match (staged, results.get_mut(number)) {
            (Ok(Some(sink)), _) => {
                numbers.push(number);
                sinks.push(sink);
            }
            (Ok(None), _) => {}
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
            *result = put_alone(pass, file);
        }
    }
    results
}

fn put_alone(pass: &Pass, file: &SmallFile) -> Result<(), StorageError> {
    let Some(sink) = stage(pass, file, holder(pass, &file.path)?, PATIENCE)? else { return Ok(()) };
    let outcome = sink.commit();
    if outcome.is_err() {
        sink.discard();
    }
    outcome
}

/// `None` if there is no room for the file, and it is there already.
fn stage(
    pass: &Pass,
    file: &SmallFile,
    target: Arc<Directory>,
    patience: Duration,
) -> Result<Option<HomeSink>, StorageError> {
    let size = u64::try_from(file.bytes.len()).unwrap_or(u64::MAX);
    let (path, meta, place) = (&file.path, file.meta, Arc::clone(&target));
    let written =
        HomeSink::begin(pass.clone(), place, path, size, meta, patience, false).and_then(|sink| {
            sink.write_at(0, &file.bytes).inspect_err(|_| sink.discard())?;
            Ok(sink)
        });
    match written {
        Err(error) if is_about_room(&error) => {
            if is_there(pass, file, &target).unwrap_or(false) {
                Ok(None)
            } else {
                Err(error)
            }
        }
        written => written.map(Some),
    }
}

/// Whether the name has the very same file already, which gets its time and mode then.
fn is_there(pass: &Pass, file: &SmallFile, target: &Directory) -> Result<bool, StorageError> {
    let (Some(name), false) = (file.path.name(), pass.keeps_apart().is_some()) else {
        return Ok(false);
    };
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

/// Opens the directory that holds `path`.
fn holder(pass: &Pass, path: &RemotePath) -> Result<Arc<Directory>, StorageError> {
    match pass.root().holder(path) {
        Err(StorageError::Root) => Err(StorageError::IsDirectory),
        holder => Ok(Arc::new(holder?.0)),
    }
}
