//! A regular file being read, from a home or from the user's own machine.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::OnceLock;

use rustix::fs::{Mode, OFlags};

use super::jail::{Directory, Facts};
use super::meta::umask;
use super::{FileMeta, Source, StorageError, Version};
use crate::fsio::disk;

/// An open regular file whose size and times were noted when it was opened.
#[derive(Debug)]
pub struct FileSource {
    file: File,
    opened: Facts,
    meta: FileMeta,
}

/// Which file it is, and which state of it: as long as this is the same, so is what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileIdentity {
    /// Device and inode.
    pub file: (u64, u64),
    /// Size in bytes.
    pub size: u64,
    /// Modification time in nanoseconds since 1970-01-01 UTC.
    pub modified: i64,
    /// When the inode was last changed; programs cannot set it.
    pub changed: i64,
}

impl FileSource {
    /// The identity of the file when it was opened.
    #[must_use]
    pub fn identity(&self) -> FileIdentity {
        let Facts { identity: file, size, modified, changed, .. } = self.opened;
        FileIdentity { file, size, modified, changed }
    }

    /// Opens a file of this machine for its own user: symbolic links are followed, as `cp` does.
    ///
    /// # Errors
    /// [`StorageError::IsDirectory`]; [`StorageError::NotRegular`] for a FIFO, socket or device,
    /// without waiting for its other end; [`StorageError::NotFound`], [`StorageError::Denied`].
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
        let opened = Facts::of(&file)?;
        opened.require_file()?;
        Self::measured((file, opened))
    }

    /// Reads from a regular file of this machine that was just opened. One whose size the system
    /// does not know (in `/proc` and `/sys`, in some FUSE) is read to its end first, to learn it.
    pub(super) fn measured((file, opened): (File, Facts)) -> Result<Self, StorageError> {
        let may_be_wrong = opened.size == 0 || sysfs() == Some(opened.identity.0);
        if !may_be_wrong || (opened.size == 0 && file.read_at(&mut [0], 0)? == 0) {
            return Ok(Self::known((file, opened)));
        }
        spool_as(file, &std::env::temp_dir(), meta_of(&opened))
    }

    /// Reads from `file`, which was just written and tells `meta`.
    pub(super) fn written(file: File, meta: FileMeta) -> Result<Self, StorageError> {
        let opened = Facts::of(&file)?;
        Ok(Self { meta, ..Self::known((file, opened)) })
    }

    /// Reads from a regular file that was just opened.
    #[must_use]
    pub fn known((file, opened): (File, Facts)) -> Self {
        // What is read in one go needs no advice.
        if opened.size > AT_ONCE {
            read_ahead(&file);
        }
        let meta = meta_of(&opened);
        Self { file, opened, meta }
    }
}

fn meta_of(facts: &Facts) -> FileMeta {
    FileMeta { modified: Some(facts.modified), mode: Some(facts.mode) }
}

/// The device of `/sys`, whose files all say that they are as long as a page.
fn sysfs() -> Option<u64> {
    static SYSFS: OnceLock<Option<u64>> = OnceLock::new();
    *SYSFS.get_or_init(|| {
        let here = Facts::from(rustix::fs::stat("/sys/kernel").ok()?);
        let root = Facts::from(rustix::fs::stat("/").ok()?);
        Some(here.identity.0).filter(|device| *device != root.identity.0)
    })
}

/// Bytes of a file that is read in one call.
const AT_ONCE: u64 = 1 << 20;

/// Asks the system to read ahead generously. Advice only: a refusal changes nothing.
fn read_ahead(file: &File) {
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::Sequential);
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    let _ = file;
}

/// Fills `buffer`; a file that is shorter than it was has changed.
pub fn read_exactly(file: &File, offset: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
    file.read_exact_at(buffer, offset).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => StorageError::Changed,
        _ => error.into(),
    })
}

impl Source for FileSource {
    fn size(&self) -> u64 {
        self.opened.size
    }

    fn meta(&self) -> FileMeta {
        self.meta
    }

    fn version(&self) -> Option<Version> {
        Some(self.opened.version())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        read_exactly(&self.file, offset, buffer)
    }

    fn check_unchanged(&self) -> Result<(), StorageError> {
        check_unchanged(&self.file, &self.opened)
    }
}

/// [`StorageError::Changed`] if `file` was written to since it was as `then` says.
pub(super) fn check_unchanged(file: &File, then: &Facts) -> Result<(), StorageError> {
    let now = Facts::of(file)?;
    // Losing its name to a newer version also moves a file's change time, and is no change
    // of what it holds: an old version stays readable to those who have it open.
    let touched = now.changed != then.changed && now.links == then.links;
    if now.size == then.size && now.modified == then.modified && !touched {
        Ok(())
    } else {
        Err(StorageError::Changed)
    }
}

/// Copies `reader` to its end into a nameless file in `directory`, so that its length is known
/// and it can be read again: for standard input.
///
/// # Errors
/// [`StorageError::DiskFull`]; any other [`StorageError`] of reading or writing.
pub fn spool(reader: impl io::Read, directory: &Path) -> Result<FileSource, StorageError> {
    // As a shell would make it here, and with the time of its arrival.
    let meta = FileMeta { modified: None, mode: Some(0o666 & !umask()) };
    spool_as(reader, directory, meta)
}

/// As [`spool`], of a file that tells `meta`.
fn spool_as(
    mut reader: impl io::Read,
    directory: &Path,
    meta: FileMeta,
) -> Result<FileSource, StorageError> {
    let directory = Directory::open_root(directory)?;
    let mut number = 0u32;
    let file = loop {
        let name = format!(".sealane-{}-{number}.spool", std::process::id());
        match directory.new_file(name.as_str()) {
            Ok(file) => {
                directory.unlink(name.as_str())?;
                break file;
            }
            Err(StorageError::Exists) if number < 1000 => number += 1,
            Err(error) => return Err(error),
        }
    };
    disk::spool(&mut reader, &file)?;
    FileSource::written(file, meta)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests change files behind the source's back")]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_that_shrinks_grows_or_is_rewritten_has_changed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f");
        for change in ["shrink", "grow", "rewrite"] {
            fs::write(&path, b"0123456789").unwrap();
            let source = FileSource::open(&path).unwrap();
            let mut buffer = [0; 4];
            source.read_at(3, &mut buffer).unwrap();
            assert_eq!((&buffer, source.size()), (b"3456", 10));
            source.check_unchanged().unwrap();
            let mut options = fs::OpenOptions::new();
            let mut file = options.append(change == "grow").write(true).open(&path).unwrap();
            match change {
                "shrink" => file.set_len(5).unwrap(),
                _ => file.write_all(b"x").unwrap(),
            }
            assert!(matches!(source.check_unchanged(), Err(StorageError::Changed)), "{change}");
            if change == "shrink" {
                let outcome = source.read_at(3, &mut buffer);
                assert!(matches!(outcome, Err(StorageError::Changed)));
            }
        }
    }

    #[test]
    fn a_rewrite_that_sets_the_old_time_again_has_changed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f");
        fs::write(&path, b"0123456789").unwrap();
        let source = FileSource::open(&path).unwrap();
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        let before = file.metadata().unwrap().modified().unwrap();
        file.write_all_at(b"x", 0).unwrap();
        file.set_modified(before).unwrap();
        assert!(matches!(source.check_unchanged(), Err(StorageError::Changed)));
    }

    #[test]
    fn a_replaced_file_is_still_the_one_that_was_opened() {
        let directory = tempfile::tempdir().unwrap();
        let (path, newer) = (directory.path().join("f"), directory.path().join("g"));
        fs::write(&path, b"old").unwrap();
        fs::write(&newer, b"newer").unwrap();
        let source = FileSource::open(&path).unwrap();
        fs::rename(newer, path).unwrap();
        let mut buffer = [0; 3];
        source.read_at(0, &mut buffer).unwrap();
        assert_eq!(&buffer, b"old");
        source.check_unchanged().unwrap();
    }

    #[test]
    fn only_regular_files_are_opened_and_links_of_the_user_are_followed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let fifo = path.join("fifo");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &fifo,
            rustix::fs::FileType::Fifo,
            Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        assert!(matches!(FileSource::open(&fifo), Err(StorageError::NotRegular)));
        let null = FileSource::open(Path::new("/dev/null"));
        assert!(matches!(null, Err(StorageError::NotRegular)));
        assert!(matches!(FileSource::open(path), Err(StorageError::IsDirectory)));
        assert!(matches!(FileSource::open(&path.join("no")), Err(StorageError::NotFound)));
        fs::write(path.join("f"), b"1").unwrap();
        std::os::unix::fs::symlink("f", path.join("link")).unwrap();
        assert_eq!(FileSource::open(&path.join("link")).unwrap().size(), 1);
    }
}
