//! A file on its way: what an earlier attempt left, filled up from the network and from the
//! present version, then made ready for its name.
//!
//! Both sinks stand on it, the server's with a ledger and the client's without. It neither names
//! nor removes files.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::jail::{Directory, Facts};
use super::meta::{self, set_meta};
use super::room::{COPIED, Room, is_zero};
use super::source::{check_unchanged, read_exactly};
use super::{FileMeta, StorageError, Version};
use crate::fsio::disk;

/// Keeps a version of a file that is being replaced.
#[derive(Debug)]
pub struct Replaced(#[expect(dead_code, reason = "held until it is dropped")] Option<Arc<File>>);

/// A partial file, open for positional reads and writes from any thread.
#[derive(Debug)]
pub struct PartialFile {
    file: File,
    /// Nothing is ever written beyond this: the declared size, or no bound.
    size: u64,
    /// No size was declared: the file has the length that was written.
    grows: bool,
    /// How long the partial was when it was opened, at most `size`.
    resumed: u64,
    /// The file that has the name now, and its length when it was opened.
    present: Option<(Arc<File>, Facts)>,
    /// There is no room for a copy of that: nothing is copied until something else must be written,
    /// which asks for the room.
    no_room: RwLock<Option<Room>>,
    /// How much, from the start, is in the partial without having been sent now: settled by whoever
    /// comes first, the first read of what is held or the first write.
    there: OnceLock<u64>,
    /// All of it was written in one call, so it has its length.
    is_whole: AtomicBool,
    /// Set once the file has its name, or is given up: a late write must not reach it.
    ended: RwLock<bool>,
}

impl PartialFile {
    /// Takes over `file`, of which `facts` are known, cutting it to `size`.
    pub fn new(
        file: File,
        facts: &Facts,
        size: u64,
        present: Option<(File, Facts)>,
    ) -> Result<Self, StorageError> {
        let length = facts.size;
        if length > size {
            disk::set_length(&file, size)?;
        }
        Ok(Self {
            file,
            size,
            grows: false,
            resumed: length.min(size),
            present: present.map(|(file, facts)| (Arc::new(file), facts)),
            no_room: RwLock::new(None),
            there: OnceLock::new(),
            is_whole: AtomicBool::new(false),
            ended: RwLock::new(false),
        })
    }

    /// Takes over `file`, emptied, for a file whose size nobody knows yet.
    ///
    /// # Errors
    /// [`StorageError`] if it cannot be emptied.
    pub fn growing(file: File) -> Result<Self, StorageError> {
        disk::set_length(&file, 0)?;
        Ok(Self {
            file,
            size: i64::MAX as u64,
            grows: true,
            resumed: 0,
            present: None,
            no_room: RwLock::new(None),
            there: OnceLock::new(),
            is_whole: AtomicBool::new(false),
            ended: RwLock::new(false),
        })
    }

    /// For an upload of what may be there already, where there is no room for a copy; `room` asks
    /// for it.
    pub fn without_room(mut self, room: Room) -> Self {
        self.resumed = 0;
        Self { no_room: RwLock::new(Some(room)), ..self }
    }

    /// True as long as nothing was found that the present version does not hold, and nothing was
    /// copied.
    pub fn does_without_room(&self) -> bool {
        self.copies_nothing().is_some()
    }

    fn copies_nothing(&self) -> RwLockReadGuard<'_, Option<Room>> {
        self.no_room.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Copies all that is held, now that something else must be written.
    pub fn copy_now(&self) -> Result<(), StorageError> {
        if self.copies_nothing().is_none() {
            return Ok(());
        }
        let mut no_room = self.no_room.write().unwrap_or_else(PoisonError::into_inner);
        let (Some(room), Some((present, facts))) = (no_room.as_ref(), &self.present) else {
            return Ok(());
        };
        (room.0)()?;
        let end = facts.size.min(self.size);
        let mut buffer = vec![0; COPIED];
        let mut offset = 0;
        while offset < end {
            let length = usize::try_from(end - offset).unwrap_or(COPIED).min(COPIED);
            let bytes = buffer.get_mut(..length).unwrap_or_default();
            read_exactly(present, offset, bytes)?;
            self.fill(offset, bytes)?;
            offset += length as u64;
        }
        // What was announced as held is what was copied.
        check_unchanged(present, facts)?;
        self.there.get_or_init(|| end);
        *no_room = None;
        Ok(())
    }

    /// Ends an upload of what is there already: nothing but `meta` is new, and it is all on the
    /// disk. False if the upload turned out to be of something else, or the name is of another file
    /// by now, as `names` says.
    pub fn is_present(
        &self,
        names: impl FnOnce() -> Result<Option<Facts>, StorageError>,
        meta: impl FnOnce(&Facts) -> FileMeta,
    ) -> Result<bool, StorageError> {
        let is_there = self.copies_nothing().is_some();
        let Some((present, facts)) = self.present.as_ref().filter(|_| is_there) else {
            return Ok(false);
        };
        let is_it = names()?.is_some_and(|now| now.identity == facts.identity);
        if !is_it || facts.size != self.size {
            return Ok(false);
        }
        check_unchanged(present, facts)?;
        set_meta(present, meta(facts))?;
        disk::sync(present)?;
        Ok(true)
    }

    /// How many bytes, from the start, can be read with [`PartialFile::read_held`].
    pub fn held(&self) -> u64 {
        self.resumed.max(self.present().min(self.size))
    }

    /// How long the present version is; 0 without one.
    pub fn present(&self) -> u64 {
        self.present.as_ref().map_or(0, |(_, facts)| facts.size)
    }

    /// The present version, which keeps its bytes as long as this is held.
    pub fn replaced(&self) -> Replaced {
        Replaced(self.present.as_ref().map(|(file, _)| Arc::clone(file)))
    }

    /// Fills `buffer` from the present version, which must have as many bytes at `offset`.
    pub fn read_present(&self, offset: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        self.require_inside(offset, buffer.len(), self.present())?;
        match &self.present {
            Some((present, _)) => read_exactly(present, offset, buffer),
            None => Ok(()),
        }
    }

    /// How long the partial is now; 0 if the system does not say.
    pub fn length(&self) -> u64 {
        Facts::of(&self.file).map_or(0, |facts| facts.size)
    }

    /// Which version of a file it is now; `None` if the system does not say.
    pub fn version(&self) -> Option<Version> {
        Facts::of(&self.file).ok().map(|facts| facts.version())
    }

    /// Bytes that were in the partial come from there. The rest comes from the present version
    /// and is written to the partial first, so that what is returned is what is there.
    pub fn read_held(&self, offset: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        let _writing = self.writing()?;
        self.require_inside(offset, buffer.len(), self.held())?;
        if let (Some(_), Some((present, _))) = (&*self.copies_nothing(), &self.present) {
            return read_exactly(present, offset, buffer);
        }
        let there = *self.there.get_or_init(|| self.share());
        let kept = usize::try_from(there.saturating_sub(offset)).unwrap_or(usize::MAX);
        let (kept, copied) = buffer.split_at_mut(kept.min(buffer.len()));
        read_exactly(&self.file, offset, kept)?;
        let Some((present, _)) = self.present.as_ref().filter(|_| !copied.is_empty()) else {
            return Ok(());
        };
        let offset = offset.max(there);
        read_exactly(present, offset, copied)?;
        self.fill(offset, copied)
    }

    /// As [`PartialFile::read_held`], but from `present_offset` of the present version.
    pub fn read_shifted(
        &self,
        offset: u64,
        present_offset: u64,
        buffer: &mut [u8],
    ) -> Result<(), StorageError> {
        if offset < self.resumed {
            return self.read_held(offset, buffer);
        }
        self.read_present(present_offset, buffer)?;
        self.write_at(offset, buffer)
    }

    /// Lets an empty partial share the present version: nothing has to be copied then, and what is
    /// claimed is still read from the file that will be committed. Gives how much is there.
    fn share(&self) -> u64 {
        match &self.present {
            Some((present, _)) if self.resumed == 0 && disk::share(&self.file, present).is_ok() => {
                let length = self.length();
                let cut = length > self.size && disk::set_length(&self.file, self.size).is_err();
                if cut { 0 } else { length.min(self.size) }
            }
            _ => self.resumed,
        }
    }

    /// Writes `bytes`, which must lie within the declared size.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), StorageError> {
        let _writing = self.writing()?;
        self.require_inside(offset, bytes.len(), self.size)?;
        self.copy_now()?;
        self.there.get_or_init(|| self.resumed);
        self.fill(offset, bytes)?;
        // An empty file may have more in its partial.
        if offset == 0 && !bytes.is_empty() && bytes.len() as u64 == self.size {
            self.is_whole.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Writes `bytes`. Of nothing but zeros beyond the end only the last is written: the file is as
    /// long as with all of them then, and those before it are a hole, which takes no room. (A
    /// length could be set instead, but would cut off what another thread writes behind it at that
    /// moment.)
    fn fill(&self, offset: u64, bytes: &[u8]) -> Result<(), StorageError> {
        let is_hole = is_zero(bytes) && offset >= Facts::of(&self.file)?.size;
        let written = if is_hole { bytes.get(bytes.len() - 1..).unwrap_or(bytes) } else { bytes };
        let skipped = (bytes.len() - written.len()) as u64;
        Ok(disk::write_at(&self.file, written, offset + skipped)?)
    }

    /// Gives the file its length, mode and time.
    pub fn finish(&self, mode: u32, modified: Option<i64>) -> Result<(), StorageError> {
        // Even a truncation that changes nothing costs a file system a journal entry.
        let has_length = self.grows || self.is_whole.load(Ordering::Relaxed);
        if !has_length && self.length() != self.size {
            disk::set_length(&self.file, self.size)?;
        }
        set_meta(&self.file, FileMeta { modified, mode: Some(mode) })
    }

    /// Gives the file the group that one made in `directory` would have.
    pub fn inherit_group(&self, directory: &Directory) -> Result<(), StorageError> {
        meta::inherit_group(&self.file, directory)
    }

    /// Brings all of it to the disk.
    pub fn sync(&self) -> Result<(), StorageError> {
        disk::sync(&self.file).map_err(|error| {
            // The system may forget which pages it failed to write, so that a later sync would
            // succeed without them. Nothing of this attempt may be resumed.
            let _ = disk::set_length(&self.file, 0);
            error.into()
        })
    }

    /// Brings everything on the file system to the disk, if the system can say that it did.
    pub fn sync_file_system(&self) -> bool {
        disk::sync_file_system(&self.file).is_ok()
    }

    /// The file has its name.
    pub fn end(&self) {
        *self.ended.write().unwrap_or_else(PoisonError::into_inner) = true;
    }

    /// Holds off [`PartialFile::ending`]; an error once it is over.
    fn writing(&self) -> Result<RwLockReadGuard<'_, bool>, StorageError> {
        let ended = self.ended.read().unwrap_or_else(PoisonError::into_inner);
        if *ended { Err(over()) } else { Ok(ended) }
    }

    /// Waits for writes that are under way and lets no other begin; set it to true when done.
    pub fn ending(&self) -> Result<RwLockWriteGuard<'_, bool>, StorageError> {
        let ended = self.ended.write().unwrap_or_else(PoisonError::into_inner);
        if *ended { Err(over()) } else { Ok(ended) }
    }

    fn require_inside(&self, offset: u64, length: usize, end: u64) -> Result<(), StorageError> {
        let inside = u64::try_from(length)
            .ok()
            .and_then(|length| offset.checked_add(length))
            .is_some_and(|last| last <= end);
        if inside { Ok(()) } else { Err(invalid("a range outside the declared file")) }
    }
}

pub(super) fn invalid(text: &'static str) -> StorageError {
    StorageError::Io(io::Error::new(io::ErrorKind::InvalidInput, text))
}

fn over() -> StorageError {
    invalid("the transfer has ended")
}

/// What has the name now: nothing or a regular file, else an error. A link would be replaced
/// itself and not the file it points to, which nobody expects; so it is refused.
pub fn replaceable(
    directory: &Directory,
    name: impl rustix::path::Arg,
) -> Result<Option<Facts>, StorageError> {
    let present = directory.look(name)?;
    if let Some(facts) = &present {
        facts.require_file()?;
    }
    Ok(present)
}

/// A name for the partial of `target` that says nothing and has no odd characters.
#[must_use]
pub fn partial_stem(target: &[u8], digits: usize) -> String {
    blake3::hash(target).to_hex().chars().take(digits).collect()
}

/// Takes the lock of an open file, which ends when it is closed.
pub fn lock_file(file: &File) -> Result<(), StorageError> {
    match rustix::fs::flock(file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StorageError::InUse),
        outcome => Ok(outcome?),
    }
}

#[cfg(test)]
mod tests;
