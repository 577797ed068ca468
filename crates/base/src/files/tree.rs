//! Trees of the user's own machine: what is in one, reading its files, filling one.
//!
//! A [`Tree`] is a handle to a directory that the user named; everything below it is reached one
//! component at a time and never through a link. So a server can make the client write nothing
//! outside, whatever it lists and whatever links lie in the destination. What is to be done with
//! a tree is decided in `client`.

use std::ffi::CString;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::batch::{self, SmallFile};
use super::jail::{Directory, EntryKind, Facts};
use super::local::{self, LocalSink};
use super::meta::set_meta;
use super::source::FileSource;
use super::{FileMeta, OWNED_DIRECTORY, Sink, StorageError};
use crate::types::RemotePath;
use crate::types::path::PathError;

/// A directory of this machine with all below it.
#[derive(Debug)]
pub struct Tree {
    root: Directory,
    /// The directory used last: files of one directory mostly come one after another.
    last: Mutex<Option<(RemotePath, Arc<Directory>)>>,
}

/// One name in a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeEntry {
    /// Relative to the tree.
    pub path: RemotePath,
    /// File, directory, or something that is never opened.
    pub kind: EntryKind,
    /// Size in bytes; 0 unless it is a file.
    pub size: u64,
    /// Modification time in nanoseconds since 1970-01-01 UTC.
    pub modified: i64,
    /// Permission bits, `0o777` at most.
    pub mode: u32,
}

/// A part of a tree that cannot be walked.
#[derive(Debug)]
pub enum Unwalked {
    /// The directory could not be read, or is none any more.
    Directory(RemotePath, StorageError),
    /// The name (made printable) breaks a rule for paths.
    Name(String, PathError),
}

/// All that was found in a tree.
#[derive(Debug, Default)]
pub struct Walked {
    /// In order of their paths, so that a directory comes before what it holds.
    pub entries: Vec<TreeEntry>,
    /// What is missing in `entries`.
    pub missing: Vec<Unwalked>,
}

impl Tree {
    /// Opens the directory `path`, which the user named: links in it are followed.
    ///
    /// # Errors
    /// [`StorageError::NotFound`], [`StorageError::NotDirectory`] or another [`StorageError`].
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        Ok(Self::at(Directory::open_root(path)?))
    }

    fn at(root: Directory) -> Self {
        Self { root, last: Mutex::default() }
    }

    /// Opens the directory `name` in this one; a link is refused.
    ///
    /// # Errors
    /// As [`Tree::open`].
    pub fn child(&self, name: &str) -> Result<Self, StorageError> {
        Ok(Self::at(self.root.child(name)?))
    }

    /// Everything below, without what `excluded` says yes to (asked with the path, be it one that
    /// cannot be sent, and whether it is a directory) and without partials of downloads. What goes
    /// away meanwhile is left out.
    ///
    /// Memory: what it returns. Each directory is read with no other one open.
    pub fn walk(&self, excluded: &dyn Fn(&str, bool) -> bool) -> Walked {
        let mut walked = Walked::default();
        let mut ahead = vec![RemotePath::default()];
        while let Some(here) = ahead.pop() {
            if let Err(error) = self.read(&here, excluded, &mut ahead, &mut walked) {
                walked.missing.push(Unwalked::Directory(here, error));
            }
        }
        walked.entries.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        walked
    }

    fn read(
        &self,
        here: &RemotePath,
        excluded: &dyn Fn(&str, bool) -> bool,
        ahead: &mut Vec<RemotePath>,
        walked: &mut Walked,
    ) -> Result<(), StorageError> {
        let directory = match self.root.descend(here) {
            Err(StorageError::NotFound) if !here.is_root() => return Ok(()),
            directory => directory?,
        };
        for name in directory.names()? {
            let name = name?;
            if local::is_partial(name.to_bytes()) {
                continue;
            }
            let path = match name.to_str() {
                Ok(name) => here.join(name),
                Err(_) => Err(PathError::NotUtf8),
            };
            let Some(facts) = directory.look(&name)? else { continue };
            let is_directory = facts.kind == EntryKind::Directory;
            let shown = match here.is_root() {
                true => name.to_string_lossy().into_owned(),
                false => format!("{here}/{}", name.to_string_lossy()),
            };
            if excluded(&shown, is_directory) {
                continue;
            }
            let path = match path {
                Ok(path) => path,
                Err(error) => {
                    walked.missing.push(Unwalked::Name(shown, error));
                    continue;
                }
            };
            if is_directory {
                ahead.push(path.clone());
            }
            walked.entries.push(TreeEntry::new(path, &facts));
        }
        Ok(())
    }

    /// The names in the directory itself, made printable, without partials of downloads.
    ///
    /// # Errors
    /// [`StorageError`] of reading it.
    pub fn names(&self) -> Result<Vec<String>, StorageError> {
        let shown = |name: CString| {
            let is_ours = !local::is_partial(name.to_bytes());
            is_ours.then(|| name.to_string_lossy().into_owned())
        };
        self.root.names()?.filter_map(|name| name.map(shown).transpose()).collect()
    }

    /// Opens a file for reading; a link is refused.
    ///
    /// # Errors
    /// [`StorageError::NotFound`], [`StorageError::NotRegular`] for a link, and others of opening
    /// it.
    pub fn source(&self, path: &RemotePath) -> Result<FileSource, StorageError> {
        let (directory, name) = self.holder(path)?;
        FileSource::measured(directory.file(name)?)
    }

    /// Begins to receive a file, as [`LocalSink::create`]; its directory must be there.
    ///
    /// # Errors
    /// As [`LocalSink::create`]; [`StorageError::NotDirectory`] if a component is a link.
    pub fn sink(
        &self,
        path: &RemotePath,
        size: u64,
        meta: FileMeta,
        preserve: bool,
    ) -> Result<LocalSink, StorageError> {
        self.begin(path, size, meta, preserve, true)
    }

    fn begin(
        &self,
        path: &RemotePath,
        size: u64,
        meta: FileMeta,
        preserve: bool,
        resume: bool,
    ) -> Result<LocalSink, StorageError> {
        let (directory, name) = self.holder(path)?;
        if local::is_partial(name.as_bytes()) {
            return Err(StorageError::Reserved);
        }
        LocalSink::begin(directory, name.into(), size, meta, preserve, resume)
    }

    /// Writes small files whole, in any order, and makes them durable together; their directories
    /// must be there. One result for each.
    ///
    /// # Errors
    /// As [`Tree::sink`] and [`Sink::commit`].
    pub fn put_many(&self, files: &[SmallFile], preserve: bool) -> Vec<Result<(), StorageError>> {
        let staged: Vec<_> = files.iter().map(|file| self.stage(file, preserve)).collect();
        let mut sinks = Vec::new();
        let mut results = Vec::new();
        for outcome in staged {
            results.push(outcome.map(|sink| sinks.push(sink)));
        }
        let mut committed = batch::commit_all(&sinks).into_iter();
        for result in results.iter_mut().filter(|result| result.is_ok()) {
            if let Some(outcome) = committed.next() {
                *result = outcome;
            }
        }
        results
    }

    fn stage(&self, file: &SmallFile, preserve: bool) -> Result<LocalSink, StorageError> {
        let size = u64::try_from(file.bytes.len()).unwrap_or(u64::MAX);
        let sink = self.begin(&file.path, size, file.meta, preserve, false)?;
        sink.write_at(0, &file.bytes)?;
        Ok(sink)
    }

    /// Whether there is anything at or beside `path` that a download could hold.
    #[must_use]
    pub fn would_hold(&self, path: &RemotePath) -> bool {
        self.holder(path).is_ok_and(|(directory, name)| local::holds(&directory, name.as_ref()))
    }

    /// What `path` is, itself and not what it points to; `None` if nothing has that name.
    ///
    /// # Errors
    /// [`StorageError::NotDirectory`] or another [`StorageError`].
    pub fn look(&self, path: &RemotePath) -> Result<Option<TreeEntry>, StorageError> {
        let (directory, name) = self.holder(path)?;
        Ok(directory.look(name)?.map(|facts| TreeEntry::new(path.clone(), &facts)))
    }

    /// What the directory itself is, by the empty path.
    ///
    /// # Errors
    /// [`StorageError`] of asking the system.
    pub fn top(&self) -> Result<TreeEntry, StorageError> {
        Ok(TreeEntry::new(RemotePath::default(), &self.root.facts()?))
    }

    /// Whether the file system takes names that differ by case only for the same. Tries it out with
    /// a file of its own.
    ///
    /// # Errors
    /// [`StorageError`] if it cannot be tried.
    pub fn folds_names(&self) -> Result<bool, StorageError> {
        const NAMES: [&str; 2] = [".sealane-case.part", ".SEALANE-CASE.part"];
        let [name, other] = NAMES;
        let (_, facts) = self.root.private_file(name)?;
        let same = self.root.look(other);
        self.root.unlink(name)?;
        Ok(same?.is_some_and(|same| same.identity == facts.identity))
    }

    /// Makes a directory with `mode` less the umask, which its owner can fill in any case; it may
    /// be there.
    ///
    /// # Errors
    /// [`StorageError::NotDirectory`] if something else has the name, a link for instance;
    /// [`StorageError::NotFound`] if the directory above is missing.
    pub fn make_directory(&self, path: &RemotePath, mode: u32) -> Result<(), StorageError> {
        let (directory, name) = self.holder(path)?;
        directory.child_or_make(name, mode & 0o777 | OWNED_DIRECTORY).map(drop)
    }

    /// Gives a file or directory the time and permissions that `meta` names. The set-id and sticky
    /// bits of directories stay.
    ///
    /// # Errors
    /// [`StorageError::NotRegular`] for anything else; any other [`StorageError`].
    pub fn set_meta(&self, path: &RemotePath, meta: FileMeta) -> Result<(), StorageError> {
        if path.is_root() {
            return set_meta(&self.root, meta);
        }
        let (directory, name) = self.holder(path)?;
        match set_meta_in(&directory, name, meta) {
            Err(StorageError::Denied) => {
                directory.give_access(name)?;
                set_meta_in(&directory, name, meta)
            }
            outcome => outcome,
        }
    }

    /// Removes a name: an empty directory, or whatever else it is; links are not followed.
    ///
    /// # Errors
    /// [`StorageError::NotEmpty`] or another [`StorageError`].
    pub fn remove(&self, path: &RemotePath) -> Result<(), StorageError> {
        let (directory, name) = self.holder(path)?;
        let facts = directory.look(name)?.ok_or(StorageError::NotFound)?;
        match facts.kind {
            EntryKind::Directory => directory.remove_directory(name),
            _ => directory.unlink(name),
        }
    }

    /// The directory that `path` is in, opened, and its name there.
    pub fn holder<'path>(
        &self,
        path: &'path RemotePath,
    ) -> Result<(Arc<Directory>, &'path str), StorageError> {
        let (Some(parent), Some(name)) = (path.parent(), path.name()) else {
            return Err(StorageError::Root);
        };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, directory)) = last.as_ref()
            && *known == parent
        {
            return Ok((Arc::clone(directory), name));
        }
        let directory = Arc::new(self.root.descend(&parent)?);
        *last = Some((parent, Arc::clone(&directory)));
        Ok((directory, name))
    }
}

impl TreeEntry {
    fn new(path: RemotePath, facts: &Facts) -> Self {
        let Facts { kind, size, modified, mode, .. } = *facts;
        Self { path, kind, size, modified, mode }
    }
}

fn set_meta_in(directory: &Directory, name: &str, meta: FileMeta) -> Result<(), StorageError> {
    match directory.file(name) {
        Err(StorageError::IsDirectory) => set_meta(directory.child(name)?, meta),
        file => set_meta(file?.0, meta),
    }
}

/// Makes the directory `path`, which the user named, if it is missing, as [`Tree::make_directory`];
/// those above must be there.
///
/// # Errors
/// [`StorageError::NotFound`], [`StorageError::NotDirectory`] or another [`StorageError`].
pub fn make_directory(path: &Path, mode: u32) -> Result<(), StorageError> {
    let trimmed = path.components().as_path();
    let parent = trimmed.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = Directory::open_root(parent.unwrap_or(Path::new(".")))?;
    let Some(name) = trimmed.file_name() else { return Directory::open_root(path).map(drop) };
    match parent.make_durably(name, mode & 0o777 | OWNED_DIRECTORY) {
        Err(StorageError::Exists) => Directory::open_root(path).map(drop),
        outcome => outcome,
    }
}
