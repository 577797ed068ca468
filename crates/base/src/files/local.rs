//! Files on the user's own machine: downloads, and standard input of unknown length.
//!
//! The destination is the user's own choice, so links in its directories are followed; only the
//! last component is handled with care.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use super::batch::Staged;
use super::jail::{Directory, Facts};
use super::meta::umask;
use super::partial::PartialFile;
use super::partial::{lock_file, partial_stem, replaceable};
use super::room::{Room, require_space};
use super::{FileMeta, Sink, StorageError};
use crate::types::path::KEPT;

/// A file being downloaded. Its partial, `.sealane-HASH.part`, lies beside the destination and
/// is locked, so that two processes never fill the same one.
#[derive(Debug)]
pub struct LocalSink {
    partial: PartialFile,
    directory: Arc<Directory>,
    name: OsString,
    part: String,
    meta: FileMeta,
    preserve: bool,
    /// What has the name, for one that is committed at once.
    replaces: Option<Option<Facts>>,
}

impl LocalSink {
    /// Begins a download of `size` bytes to `path`.
    ///
    /// With `preserve` the file gets the time and permissions in `meta`. Else it keeps the
    /// permissions of the file it replaces; a new one has those in `meta`, or 0666, less the umask,
    /// as `scp` does it.
    ///
    /// # Errors
    /// [`StorageError::IsDirectory`] if the destination is one or ends in a slash;
    /// [`StorageError::NotRegular`] if it is a link (a rename would replace the link and not the
    /// file it points to: name that file instead), FIFO, socket or device;
    /// [`StorageError::InUse`] if another process downloads to it; [`StorageError::NotFound`] if
    /// its directory is missing; [`StorageError::DiskFull`] with the bytes short.
    pub fn create(
        path: &Path,
        size: u64,
        meta: FileMeta,
        preserve: bool,
    ) -> Result<Self, StorageError> {
        let (directory, name) = directory_and_name(path)?;
        Self::begin(Arc::new(directory), name.to_owned(), size, meta, preserve, true)
    }

    /// As [`LocalSink::create`], to `name` in an open directory. `resume`: whether what is there
    /// may be held. What is written and committed at once holds nothing, and finds out for itself
    /// whether there is space.
    pub fn begin(
        directory: Arc<Directory>,
        name: OsString,
        size: u64,
        meta: FileMeta,
        preserve: bool,
        resume: bool,
    ) -> Result<Self, StorageError> {
        let part = part_of(&name);
        let present = replaceable(&directory, &name)?;
        let held = if resume && present.is_some() { directory.file(&name).ok() } else { None };
        let left = directory.look(part.as_str())?.map_or(0, |facts| facts.size);
        let space = match resume {
            true => require_space(&directory, size.saturating_sub(left)),
            false => Ok(()),
        };
        // Perhaps it is here already, and no room is needed.
        let may_be_here = space.is_err() && held.is_some();
        if !may_be_here {
            space?;
        }
        let (file, facts) = lock_partial(&directory, &part)?;
        let mut partial = PartialFile::new(file, &facts, size, held)?;
        if may_be_here {
            let directory = Arc::clone(&directory);
            partial = partial.without_room(Room(Box::new(move || require_space(&directory, size))));
        }
        let meta = meta.told(preserve);
        let replaces = (!resume).then_some(present);
        Ok(Self { partial, directory, name, part, meta, preserve, replaces })
    }

    /// Whether there is anything at or beside `path` that a download could hold.
    #[must_use]
    pub fn would_hold(path: &Path) -> bool {
        directory_and_name(path).is_ok_and(|(directory, name)| holds(&directory, name))
    }

    /// The permissions it ends with, where `present` has its name.
    fn mode(&self, present: Option<&Facts>) -> u32 {
        match (self.meta.mode, present) {
            (Some(mode), _) if self.preserve => mode,
            (_, Some(present)) => present.mode,
            (mode, None) => mode.unwrap_or(0o666) & !umask(),
        }
    }
}

impl Sink for LocalSink {
    fn held(&self) -> u64 {
        self.partial.held()
    }

    fn read_held(&self, offset: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        self.partial.read_held(offset, buffer)
    }

    fn read_shifted(
        &self,
        offset: u64,
        present_offset: u64,
        buffer: &mut [u8],
    ) -> Result<(), StorageError> {
        self.partial.read_shifted(offset, present_offset, buffer)
    }

    fn present(&self) -> u64 {
        self.partial.present()
    }

    fn read_present(&self, offset: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        self.partial.read_present(offset, buffer)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), StorageError> {
        self.partial.write_at(offset, bytes)
    }

    fn commit(&self) -> Result<(), StorageError> {
        self.commit_alone()
    }

    fn discard(&self) {
        self.discard_alone();
    }
}

impl Staged for LocalSink {
    fn partial(&self) -> &PartialFile {
        &self.partial
    }

    fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    fn is_present(&self) -> Result<bool, StorageError> {
        let look = || replaceable(&self.directory, self.name.as_os_str());
        let meta = |present: &Facts| FileMeta {
            mode: Some(self.mode(Some(present))).filter(|mode| *mode != present.mode),
            ..self.meta
        };
        self.partial.is_present(look, meta)
    }

    fn prepare(&self) -> Result<(), StorageError> {
        let present = match self.replaces {
            Some(seen) => seen,
            None => replaceable(&self.directory, self.name.as_os_str())?,
        };
        self.partial.finish(self.mode(present.as_ref()), self.meta.modified)
    }

    fn publish(&self) -> Result<(), StorageError> {
        let name = self.name.as_os_str();
        replaceable(&self.directory, name)?;
        self.directory.rename(self.part.as_str(), &self.directory, name, true)
    }

    fn give_up(&self) {
        let _ = self.directory.unlink(self.part.as_str());
    }
}

impl Drop for LocalSink {
    fn drop(&mut self) {
        if self.partial.ending().is_ok() && self.partial.length() == 0 {
            self.give_up();
        }
    }
}

/// The directory of `path` and the name in it.
fn directory_and_name(path: &Path) -> Result<(Directory, &OsStr), StorageError> {
    let name = path.file_name().filter(|_| !path.as_os_str().as_bytes().ends_with(b"/"));
    let name = name.ok_or(StorageError::IsDirectory)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    Ok((Directory::open_root(parent.unwrap_or(Path::new(".")))?, name))
}

const PART_START: &str = ".sealane-";
const PART_END: &str = ".part";

/// What the partial of `name` is called.
fn part_of(name: &OsStr) -> String {
    format!("{PART_START}{}{PART_END}", partial_stem(name.as_bytes(), 16))
}

/// Whether a partial may have this name, or partials of a home: such names are no part of a tree.
pub(super) fn is_partial(name: &[u8]) -> bool {
    let is_part = name.starts_with(PART_START.as_bytes()) && name.ends_with(PART_END.as_bytes());
    is_part || name == KEPT.as_bytes()
}

/// Whether there is anything at or beside `name` that a download could hold.
pub(super) fn holds(directory: &Directory, name: &OsStr) -> bool {
    let is_file = |facts: Result<Option<Facts>, StorageError>| {
        facts.ok().flatten().is_some_and(|facts| facts.size > 0)
    };
    is_file(directory.look(part_of(name).as_str())) || is_file(directory.look(name))
}

/// Opens and locks the partial, and makes sure that it still has its name: whoever had it locked
/// before may have given it its final one.
fn lock_partial(directory: &Directory, part: &str) -> Result<(File, Facts), StorageError> {
    const ATTEMPTS: usize = 16;
    for _ in 0..ATTEMPTS {
        let (file, facts) = directory.private_file(part)?;
        lock_file(&file)?;
        match directory.look(part)? {
            Some(now) if now.identity == facts.identity => return Ok((file, now)),
            _ => {}
        }
    }
    Err(StorageError::InUse)
}
