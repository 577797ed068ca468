//! A file on its way: what an earlier attempt left, filled up from the network and from the
//! present version, then made ready for its name.
//!
//! Both sinks stand on it, the server's with a ledger and the client's without. It neither names
//! nor removes files.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use rustix::fs::{Mode, Timespec, Timestamps, UTIME_OMIT};

use super::jail::Facts;
use super::source::read_exactly;
use super::{FileMeta, StorageError};

/// A partial file, open for positional reads and writes from any thread.
#[derive(Debug)]
pub(super) struct PartialFile {
    file: File,
    /// Declared size: nothing is ever written beyond it.
    size: u64,
    /// How long the partial was when it was opened, at most `size`.
    resumed: u64,
    /// The file that has the name now, and its length when it was opened.
    present: Option<(File, u64)>,
    /// Set once the file has its name, or is given up: a late write must not reach it.
    ended: RwLock<bool>,
}

impl PartialFile {
    /// Takes over `file`, cutting it to `size`.
    pub(super) fn new(
        file: File,
        size: u64,
        present: Option<(File, Facts)>,
    ) -> Result<Self, StorageError> {
        let length = Facts::of(&file)?.size;
        if length > size {
            file.set_len(size)?;
        }
        Ok(Self {
            file,
            size,
            resumed: length.min(size),
            present: present.map(|(file, facts)| (file, facts.size)),
            ended: RwLock::new(false),
        })
    }

    pub(super) fn held(&self) -> u64 {
        let present = self.present.as_ref().map_or(0, |(_, length)| *length);
        self.resumed.max(present.min(self.size))
    }

    /// How long the partial is now; 0 if the system does not say.
    pub(super) fn length(&self) -> u64 {
        Facts::of(&self.file).map_or(0, |facts| facts.size)
    }

    /// Bytes that were in the partial come from there. The rest comes from the present version
    /// and is written to the partial first, so that what is returned is what is there.
    pub(super) fn read_held(&self, offset: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        let _writing = self.writing()?;
        self.require_inside(offset, buffer.len(), self.held())?;
        let kept = usize::try_from(self.resumed.saturating_sub(offset)).unwrap_or(usize::MAX);
        let (kept, copied) = buffer.split_at_mut(kept.min(buffer.len()));
        read_exactly(&self.file, offset, kept)?;
        let Some((present, _)) = self.present.as_ref().filter(|_| !copied.is_empty()) else {
            return Ok(());
        };
        let offset = offset.max(self.resumed);
        read_exactly(present, offset, copied)?;
        Ok(self.file.write_all_at(copied, offset)?)
    }

    pub(super) fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), StorageError> {
        let _writing = self.writing()?;
        self.require_inside(offset, bytes.len(), self.size)?;
        Ok(self.file.write_all_at(bytes, offset)?)
    }

    /// Gives the file its length, mode and time.
    pub(super) fn finish(&self, mode: u32, modified: Option<i64>) -> Result<(), StorageError> {
        // Even a truncation that changes nothing costs a file system a journal entry.
        if self.length() != self.size {
            self.file.set_len(self.size)?;
        }
        set_meta(&self.file, FileMeta { modified, mode: Some(mode) })
    }

    /// Brings all of it to the disk.
    pub(super) fn sync(&self) -> Result<(), StorageError> {
        self.file.sync_all().map_err(|error| {
            // The system may forget which pages it failed to write, so that a later sync would
            // succeed without them. Nothing of this attempt may be resumed.
            let _ = self.file.set_len(0);
            error.into()
        })
    }

    /// Brings everything on the file system to the disk, if the system can say that it did.
    pub(super) fn sync_file_system(&self) -> bool {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        return rustix::fs::syncfs(&self.file).is_ok();
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        return false;
    }

    /// The file has its name.
    pub(super) fn end(&self) {
        *self.ended.write().unwrap_or_else(PoisonError::into_inner) = true;
    }

    /// Holds off [`PartialFile::ending`]; an error once it is over.
    fn writing(&self) -> Result<RwLockReadGuard<'_, bool>, StorageError> {
        let ended = self.ended.read().unwrap_or_else(PoisonError::into_inner);
        if *ended { Err(over()) } else { Ok(ended) }
    }

    /// Waits for writes that are under way and lets no other begin; set it to true when done.
    pub(super) fn ending(&self) -> Result<RwLockWriteGuard<'_, bool>, StorageError> {
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

/// Gives an open file or directory the permissions and time that `meta` names.
pub(super) fn set_meta(file: impl AsFd, meta: FileMeta) -> Result<(), StorageError> {
    if let Some(mode) = meta.mode {
        rustix::fs::fchmod(&file, Mode::from_raw_mode(mode & 0o777))?;
    }
    if let Some(nanoseconds) = meta.modified {
        rustix::fs::futimens(&file, &times(nanoseconds))?;
    }
    Ok(())
}

fn times(modified: i64) -> Timestamps {
    let second = 1_000_000_000;
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec {
            tv_sec: modified.div_euclid(second),
            tv_nsec: modified.rem_euclid(second),
        },
    }
}

/// The bits that this process takes away from new files.
///
/// It can only be asked for by setting it, which happens once and to the strictest value, so that
/// a file created by another thread in that instant is too private rather than too public.
pub(super) fn umask() -> u32 {
    static UMASK: OnceLock<u32> = OnceLock::new();
    *UMASK.get_or_init(|| {
        let mask = rustix::process::umask(Mode::from_raw_mode(0o077));
        rustix::process::umask(mask);
        mask.as_raw_mode() & 0o777
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &[u8]) -> File {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(content, 0).unwrap();
        file
    }

    fn with_facts(file: File) -> (File, Facts) {
        let facts = Facts::of(&file).unwrap();
        (file, facts)
    }

    #[test]
    fn a_torn_partial_is_filled_up_from_the_present_version() {
        let present = with_facts(file(b"abcdefgh"));
        let partial = PartialFile::new(file(b"012"), 7, Some(present)).unwrap();
        assert_eq!(partial.held(), 7);
        let mut buffer = [0; 4];
        partial.read_held(0, &mut buffer).unwrap();
        assert_eq!(&buffer, b"012d");
        assert_eq!(partial.length(), 4);
        partial.read_held(4, &mut buffer[..3]).unwrap();
        assert_eq!(&buffer[..3], b"efg");
        assert_eq!(partial.length(), 7);
        assert!(partial.read_held(4, &mut buffer).is_err());
    }

    #[test]
    fn what_nobody_holds_cannot_be_read() {
        let present = with_facts(file(b"ab"));
        let partial = PartialFile::new(file(b"0123"), 9, Some(present)).unwrap();
        assert_eq!(partial.held(), 4);
        let mut buffer = [0; 5];
        assert!(partial.read_held(0, &mut buffer).is_err());
        partial.read_held(0, &mut buffer[..4]).unwrap();
        assert_eq!(&buffer[..4], b"0123");
        assert!(partial.read_held(u64::MAX, &mut buffer[..1]).is_err());
    }

    #[test]
    fn nothing_is_written_beyond_the_declared_size_or_after_the_end() {
        let partial = PartialFile::new(file(b"0123456789"), 4, None).unwrap();
        assert_eq!((partial.held(), partial.length()), (4, 4));
        assert!(partial.write_at(1, b"wxyz").is_err());
        assert!(partial.write_at(u64::MAX, b"w").is_err());
        assert_eq!(partial.length(), 4);
        partial.write_at(1, b"xyz").unwrap();
        *partial.ending().unwrap() = true;
        assert!(partial.write_at(0, b"w").is_err());
        let mut buffer = [0; 4];
        assert!(partial.read_held(0, &mut buffer).is_err());
        partial.file.read_exact_at(&mut buffer, 0).unwrap();
        assert_eq!(&buffer, b"0xyz");
    }

    #[test]
    fn times_before_1970_keep_their_order() {
        let before = times(-1).last_modification;
        assert_eq!((before.tv_sec, before.tv_nsec), (-1, 999_999_999));
    }
}
