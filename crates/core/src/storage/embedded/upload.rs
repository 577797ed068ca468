//! An upload into a home: reserved when it begins, counted exactly when it ends, whichever way.

use std::any::Any;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::ledger::Reservation;
use super::locks::{Asking, UploadLock};
use super::names::{NOTE, PART, stem_of};
use super::view::{Pass, Reading};
use crate::storage::seam::Upload;
use sealane_base::files::Staged;
use sealane_base::files::jail::{Directory, Facts};
use sealane_base::files::{FileMeta, OWNED_FILE, Sink, StorageError, Version};
use sealane_base::files::{PartialFile, umask};
use sealane_base::files::{Room, is_about_room, replaceable, require_space};
use sealane_base::fsio::disk;
use sealane_base::types::RemotePath;

/// Where an upload goes.
#[derive(Clone, Debug)]
pub(super) struct Destination {
    pub(super) pass: Pass,
    /// The directory that holds it.
    pub(super) target: Arc<Directory>,
    pub(super) name: String,
    /// Its path in the whole home.
    whole: RemotePath,
}

impl Destination {
    /// `target` holds `path`. Fails if no upload to there can succeed.
    pub(super) fn new(
        pass: Pass,
        target: Arc<Directory>,
        path: &RemotePath,
    ) -> Result<Self, StorageError> {
        let name = path.name().ok_or(StorageError::IsDirectory)?.to_owned();
        pass.require_same_mount(&target)?;
        replaceable(&target, &name)?;
        let whole = pass.whole(path)?;
        Ok(Self { pass, target, name, whole })
    }

    /// Asks for the right to write there.
    pub(super) fn ask(&self) -> Asking {
        self.pass.locks().ask(self.whole.clone())
    }
}

/// The right to write to a [`Destination`], or the wait for it: see [`storage::UploadLock`].
///
/// [`storage::UploadLock`]: crate::storage::UploadLock
#[derive(Debug)]
pub(super) struct EmbeddedLock {
    pub(super) to: Destination,
    pub(super) asking: Asking,
    pub(super) lock: Option<UploadLock>,
}

/// An upload into a home of the embedded store: see [`Upload`].
#[derive(Debug)]
pub(super) struct EmbeddedUpload {
    partial: PartialFile,
    /// Where it will be, as a handle: a directory renamed meanwhile is still the same one.
    target: Arc<Directory>,
    name: String,
    stem: String,
    meta: FileMeta,
    /// Its size is not known yet.
    grows: bool,
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
    lock: UploadLock,
}

impl EmbeddedUpload {
    /// Without a `size` it begins empty, and its reservation grows. `resume`: whether what is there
    /// may be held, and what is received may be kept.
    pub(super) fn begin(
        to: Destination,
        lock: UploadLock,
        declared: Option<u64>,
        meta: FileMeta,
        resume: bool,
    ) -> Result<Self, StorageError> {
        let size = declared.unwrap_or(0);
        let Destination { pass, target, name, whole } = to;
        let name = name.as_str();
        let replaced = replaceable(&target, name)?;
        let apart = pass.keeps_apart().map(str::to_owned);
        let stem = stem_of(&whole, apart.as_deref());
        let part = format!("{stem}{PART}");
        // A present version that cannot, or may not, be read is not held, and can still be
        // replaced.
        let may_hold = resume && declared.is_some() && apart.is_none();
        let present = if may_hold { pass.open(&target, name).ok() } else { None };
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
        let mut partial = match declared {
            Some(size) => PartialFile::new(file, &facts, size, present)?,
            None => PartialFile::growing(file)?,
        };
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
            grows: declared.is_none(),
            is_noted: resume || is_there,
            replaces: (!resume).then_some(replaced),
            reservation,
            reading: Mutex::new(reading),
            pass,
            lock,
        };
        if resume {
            sink.leave_note(&whole, size, apart);
        }
        Ok(sink)
    }

    fn reservation(&self) -> MutexGuard<'_, Option<Reservation>> {
        self.reservation.lock().unwrap_or_else(PoisonError::into_inner)
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

    fn take_reservation(&self) -> Option<Reservation> {
        self.reservation().take()
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

impl Sink for EmbeddedUpload {
    fn held(&self) -> u64 {
        self.partial.held()
    }

    fn read_held(&self, offset: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        self.lock.check()?;
        self.partial.read_held(offset, buffer)
    }

    fn read_shifted(&self, offset: u64, place: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        self.lock.check()?;
        self.partial.read_shifted(offset, place, buffer)
    }

    fn present(&self) -> u64 {
        self.partial.present()
    }

    fn read_present(&self, offset: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        self.lock.check()?;
        self.partial.read_present(offset, buffer)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), StorageError> {
        self.lock.check()?;
        if self.grows
            && let Some(reservation) = self.reservation().as_mut()
        {
            reservation.grow(offset.saturating_add(bytes.len() as u64))?;
        }
        self.partial.write_at(offset, bytes)
    }

    fn commit(&self) -> Result<(), StorageError> {
        self.commit_alone()
    }

    fn discard(&self) {
        self.discard_alone();
    }
}

impl Upload for EmbeddedUpload {
    fn superseded(&self) -> CancellationToken {
        self.lock.token().clone()
    }

    fn replaced(&self) -> Box<dyn Any + Send> {
        Box::new(self.partial.replaced())
    }

    fn version(&self) -> Option<Version> {
        self.partial.version()
    }
}

impl Staged for EmbeddedUpload {
    fn partial(&self) -> &PartialFile {
        &self.partial
    }

    fn directory(&self) -> &Arc<Directory> {
        &self.target
    }

    fn is_present(&self) -> Result<bool, StorageError> {
        self.lock.check()?;
        let _names = self.pass.lock_names();
        let look = || replaceable(&self.target, &self.name);
        let meta = |present: &Facts| FileMeta { mode: Some(self.mode(Some(present))), ..self.meta };
        self.partial.is_present(look, meta)
    }

    fn prepare(&self) -> Result<(), StorageError> {
        self.lock.check()?;
        let present = match self.replaces {
            Some(seen) => seen,
            None => replaceable(&self.target, &self.name)?,
        };
        self.partial.inherit_group(&self.target)?;
        self.partial.finish(self.mode(present.as_ref()), self.meta.modified)
    }

    fn publish(&self) -> Result<(), StorageError> {
        let _names = self.pass.lock_names();
        self.lock.check()?;
        // Once more: it took a while to come here.
        let replaced = replaceable(&self.target, &self.name)?;
        let part = self.part_name();
        self.pass.partials().rename(part.as_str(), &self.target, self.name.as_str(), true)?;
        drop(self.reading.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(mut reservation) = self.take_reservation() {
            if self.grows {
                reservation.shrink(self.partial.length());
            }
            reservation.convert(replaced.map(|facts| self.pass.gone(&facts)));
        }
        self.remove_note();
        Ok(())
    }

    fn give_up(&self) {
        self.release(true);
    }
}

impl Drop for EmbeddedUpload {
    fn drop(&mut self) {
        self.release(false);
    }
}

/// Reserves what an upload of `size` bytes may need, whose partial has `there` bytes if there is
/// one. With `resume` it may leave a partial, and is not begun in vain; what is written at once
/// finds out for itself.
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
        reservation.as_mut().map_or(Ok(()), |reservation| reservation.reserve_whole(size))
    }))
}
