//! An upload into a home: reserved when it begins, counted exactly when it ends, whichever way.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::batch::Staged;
use super::claims::Claim;
use super::gate::{NOTE, PART, Pass};
use super::jail::{Directory, Facts};
use super::ledger::Reservation;
use super::meta::umask;
use super::partial::{PartialFile, Replaced};
use super::readers::Reading;
use super::room::{Room, is_about_room, require_space};
use super::{FileMeta, OWNED_FILE, Sink, StorageError};
use crate::fsio::disk;
use crate::types::RemotePath;

/// A file being uploaded into a [`Home`](super::Home).
///
/// Permissions become those of its [`FileMeta`], else those of the file it replaces, else 0644
/// less the umask; the owner can always read and write it.
#[derive(Debug)]
pub struct HomeSink {
    partial: PartialFile,
    /// Where it will be, as a handle: a directory renamed meanwhile is still the same one.
    target: Arc<Directory>,
    name: String,
    stem: String,
    meta: FileMeta,
    /// There is, or may be, a note beside the partial.
    is_noted: bool,
    /// What has the name, for one that is committed at once.
    replaces: Option<Option<Facts>>,
    /// `None` once converted or given up.
    reservation: Arc<Mutex<Option<Reservation>>>,
    /// Keeps the present version counted; until this upload replaces it.
    reading: Mutex<Option<Reading>>,
    pass: Pass,
    // Last, so that the next upload to this name begins when all of this one is gone.
    claim: Claim,
}

impl HomeSink {
    /// `target` holds `path`. `resume`: whether what is there may be held, and what is received may be kept.
    pub(super) fn begin(
        pass: Pass,
        target: Arc<Directory>,
        path: &RemotePath,
        size: u64,
        meta: FileMeta,
        patience: Duration,
        resume: bool,
    ) -> Result<Self, StorageError> {
        let name = path.name().ok_or(StorageError::IsDirectory)?;
        // What cannot succeed takes nothing over.
        pass.require_same_mount(&target)?;
        let replaced = replaceable(&target, name)?;
        let whole = pass.whole(path)?;
        let claim = pass.claims().take(&whole, patience)?;
        let apart = pass.keeps_apart();
        let stem = stem_of(&whole, apart.as_deref());
        let part = format!("{stem}{PART}");
        // A present version that cannot, or may not, be read is not held, and can still be replaced.
        let present = if resume && apart.is_none() { pass.open(&target, name).ok() } else { None };
        let (is_there, room, mut reservation) = {
            // Whoever counts the disk sees a partial either as used or as reserved.
            let _names = pass.lock_names();
            let there = pass.partials().look(part.as_str())?;
            let left = there.map_or(0, |facts| facts.size);
            let room = reserve(&pass, &stem, size, there.map(|facts| facts.size), resume);
            match room {
                // Perhaps it is there already, and no room is needed.
                Err(error) if present.is_some() && is_about_room(&error) => {
                    (there.is_some(), false, pass.ledger().reserve_nothing(&stem, left))
                }
                room => (there.is_some(), true, room?),
            }
        };
        let (file, facts) = pass.partials().private_file(part.as_str())?;
        let (present, reading) = present.map(|(file, facts, it)| ((file, facts), it)).unzip();
        let mut partial = PartialFile::new(file, &facts, size, present)?;
        reservation.shrink(size);
        let reservation = Arc::new(Mutex::new(Some(reservation)));
        if !room {
            partial = partial.without_room(asking(&pass, &reservation, size));
        }
        let name = name.to_owned();
        let sink = Self {
            partial,
            target,
            name,
            stem,
            meta,
            is_noted: resume || is_there,
            replaces: (!resume).then_some(replaced),
            reservation,
            reading: Mutex::new(reading),
            pass,
            claim,
        };
        if resume {
            sink.leave_note(&whole, size, apart);
        }
        Ok(sink)
    }

    /// Cancelled when a newer upload to the same name waits for this one to be dropped.
    #[must_use]
    pub fn cancelled(&self) -> CancellationToken {
        self.claim.token().clone()
    }

    /// The version that has the name now. Who keeps it keeps what it takes on disk; who drops it last frees that,
    /// which for a large one takes a while.
    #[must_use]
    pub fn replaced(&self) -> Replaced {
        self.partial.replaced()
    }

    /// Writes down what the partial is of, for people who look at it. Nothing reads it back to
    /// decide anything, so a failure does not matter.
    fn leave_note(&self, whole: &RemotePath, size: u64, key: Option<String>) {
        let note = serde_json::json!({ "path": whole.as_str(), "size": size, "key": key });
        let note = note.to_string();
        let _ = self.pass.partials().unlink(self.note_name().as_str());
        if let Ok(file) = self.pass.partials().new_file(self.note_name().as_str()) {
            let _ = disk::append(&file, note.as_bytes());
        }
    }

    fn remove_note(&self) {
        if self.is_noted {
            let _ = self.pass.partials().unlink(self.note_name().as_str());
        }
    }

    fn part_name(&self) -> String {
        format!("{}{PART}", self.stem)
    }

    fn note_name(&self) -> String {
        format!("{}{NOTE}", self.stem)
    }

    /// The permissions it ends with, where `present` has its name.
    fn mode(&self, present: Option<&Facts>) -> u32 {
        let mode = self.meta.mode.or(present.map(|facts| facts.mode));
        OWNED_FILE | mode.unwrap_or(0o644 & !umask())
    }

    /// Ends an upload of what has the name already.
    fn keep_present(&self) -> Result<bool, StorageError> {
        if !self.partial.does_without_room() {
            return Ok(false);
        }
        self.claim.check()?;
        let names = self.pass.lock_names();
        let look = || replaceable(&self.target, &self.name);
        let meta = |present: &Facts| FileMeta { mode: Some(self.mode(Some(present))), ..self.meta };
        if !self.partial.is_present(look, meta)? {
            return Ok(false);
        }
        drop(names);
        let mut ended = self.partial.ending()?;
        self.release(true);
        *ended = true;
        drop(ended);
        self.target.sync()?;
        Ok(true)
    }

    fn take_reservation(&self) -> Option<Reservation> {
        self.reservation.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Removes the partial if told to or if it is empty and helps nobody, and leaves the ledger
    /// with what is still on disk.
    fn release(&self, remove: bool) {
        let Some(reservation) = self.take_reservation() else { return };
        let length = self.partial.length();
        if (remove || length == 0) && self.pass.partials().unlink(self.part_name().as_str()).is_ok()
        {
            self.remove_note();
            reservation.keep(0);
        } else {
            reservation.keep(length);
        }
    }
}

impl Sink for HomeSink {
    fn held(&self) -> u64 {
        self.partial.held()
    }

    fn read_held(&self, offset: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        self.claim.check()?;
        self.partial.read_held(offset, buffer)
    }

    fn read_shifted(&self, offset: u64, place: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        self.claim.check()?;
        self.partial.read_shifted(offset, place, buffer)
    }

    fn present(&self) -> u64 {
        self.partial.present()
    }

    fn read_present(&self, offset: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        self.claim.check()?;
        self.partial.read_present(offset, buffer)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), StorageError> {
        self.claim.check()?;
        self.partial.write_at(offset, bytes)
    }

    fn commit(&self) -> Result<(), StorageError> {
        if self.keep_present()? {
            return Ok(());
        }
        self.partial.copy_now()?;
        self.commit_alone()
    }

    fn discard(&self) {
        if let Ok(mut ended) = self.partial.ending() {
            self.release(true);
            *ended = true;
        }
    }
}

impl Staged for HomeSink {
    fn partial(&self) -> &PartialFile {
        &self.partial
    }

    fn directory(&self) -> &Arc<Directory> {
        &self.target
    }

    fn prepare(&self) -> Result<(), StorageError> {
        self.claim.check()?;
        let present = match self.replaces {
            Some(seen) => seen,
            None => replaceable(&self.target, &self.name)?,
        };
        self.partial.inherit_group(&self.target)?;
        self.partial.finish(self.mode(present.as_ref()), self.meta.modified)
    }

    fn publish(&self) -> Result<(), StorageError> {
        let _names = self.pass.lock_names();
        self.claim.check()?;
        // Once more: it took a while to come here.
        let replaced = replaceable(&self.target, &self.name)?;
        let part = self.part_name();
        self.pass.partials().rename(part.as_str(), &self.target, self.name.as_str(), true)?;
        drop(self.reading.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(reservation) = self.take_reservation() {
            reservation.convert(replaced.map(|facts| self.pass.gone(&facts)));
        }
        self.remove_note();
        Ok(())
    }
}

impl Drop for HomeSink {
    fn drop(&mut self) {
        self.release(false);
    }
}

/// Reserves what an upload of `size` bytes may need, whose partial has `there` bytes if there is one. With `resume`
/// it may leave a partial, and is not begun in vain; what is written at once finds out for itself.
fn reserve(
    pass: &Pass,
    stem: &str,
    size: u64,
    there: Option<u64>,
    resume: bool,
) -> Result<Reservation, StorageError> {
    if resume && there.is_none() {
        pass.require_place_for_partial()?;
    }
    let left = there.unwrap_or(0);
    if resume {
        require_space(pass.partials(), size.saturating_sub(left))?;
    }
    pass.ledger().reserve(stem, size, left)
}

/// Reserves the rest of `size` bytes for an upload that could do without so far.
fn asking(pass: &Pass, reservation: &Arc<Mutex<Option<Reservation>>>, size: u64) -> Room {
    let (pass, reservation) = (pass.clone(), Arc::clone(reservation));
    Room(Box::new(move || {
        pass.require_place_for_partial()?;
        require_space(pass.partials(), size)?;
        let mut reservation = reservation.lock().unwrap_or_else(PoisonError::into_inner);
        reservation.as_mut().map_or(Ok(()), |reservation| reservation.grow(size))
    }))
}

/// What has the name now: nothing or a regular file, else an error. A link would be replaced
/// itself and not the file it points to, which nobody expects; so it is refused.
pub(super) fn replaceable(
    directory: &Directory,
    name: impl rustix::path::Arg,
) -> Result<Option<Facts>, StorageError> {
    let present = directory.look(name)?;
    if let Some(facts) = &present {
        facts.require_file()?;
    }
    Ok(present)
}

/// The name of the partial of an upload to `whole`; with `apart`, one that only that key comes back to.
pub(super) fn stem_of(whole: &RemotePath, apart: Option<&str>) -> String {
    match apart {
        None => partial_stem(whole.as_str().as_bytes(), 32),
        // No path has a NUL.
        Some(key) => partial_stem(format!("{}\0{key}", whole.as_str()).as_bytes(), 32),
    }
}

/// A name for the partial of `target` that says nothing and has no odd characters.
pub(super) fn partial_stem(target: &[u8], digits: usize) -> String {
    blake3::hash(target).to_hex().chars().take(digits).collect()
}
