//! A log file: lines are added to it, and it is opened anew once its name stands for another file.
//!
//! Nothing is synced: a log that is lost with the power is lost. When to open anew, the caller
//! decides.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags};

use super::disk;
use super::error::{FsError, FsErrorKind};

/// Name of a log file until it has its own.
const NEW: &str = ".log-new";

/// An open log file.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: File,
    /// Where a new one is made that may not be written to by its name.
    nursery: Option<PathBuf>,
}

impl LogFile {
    /// Opens `path` to add to it; makes it, for its owner to write and its group to read, if there
    /// is none. Where the process may later not write by that name, a new one is made in `nursery`,
    /// a directory on the same file system, and linked to its place.
    ///
    /// # Errors
    /// [`FsErrorKind::Io`], or [`FsErrorKind::NotRegular`] for a link, a device or a pipe.
    pub fn open(path: &Path, nursery: Option<&Path>) -> Result<Self, FsError> {
        let file = open(path, OFlags::CREATE)?;
        Ok(Self { path: path.to_owned(), file, nursery: nursery.map(Path::to_owned) })
    }

    /// Opens the file that has the name now; if that fails, the one it has stays in use.
    ///
    /// # Errors
    /// As [`LogFile::open`].
    pub fn reopen(&mut self) -> Result<(), FsError> {
        self.file = match &self.nursery {
            None => open(&self.path, OFlags::CREATE)?,
            // Not to be created by its name: it would be there and could not be written to.
            Some(nursery) => match open(&self.path, OFlags::empty()) {
                Err(error) if error.is_not_found() => self.make_in(nursery)?,
                opened => opened?,
            },
        };
        Ok(())
    }

    /// A new file that gets the name it is to have, unless something has it.
    fn make_in(&self, nursery: &Path) -> Result<File, FsError> {
        let made = nursery.join(NEW);
        // One that an earlier attempt left.
        let _ = disk::unlink(CWD, &made);
        let file = open(&made, OFlags::CREATE)?;
        let linked = disk::link(CWD, &made, CWD, &self.path);
        let _ = disk::unlink(CWD, &made);
        linked.map_err(|error| FsError::new("make", &self.path, error))?;
        Ok(file)
    }

    /// Adds `bytes`.
    ///
    /// # Errors
    /// What the system says; a part of them may have been added.
    pub fn append(&self, bytes: &[u8]) -> io::Result<()> {
        disk::append(&self.file, bytes)
    }
}

fn open(path: &Path, more: OFlags) -> Result<File, FsError> {
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CLOEXEC | more;
    // NONBLOCK: a pipe of that name must not be waited for.
    let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP;
    let handle = match disk::open(CWD, path, flags, mode) {
        Ok(handle) => handle,
        Err(error) if is_no_file(&error) => {
            return Err(FsError::new("open", path, FsErrorKind::NotRegular));
        }
        Err(error) => return Err(FsError::new("open", path, error)),
    };
    let stat = rustix::fs::fstat(&handle).map_err(|error| FsError::new("open", path, error))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(FsError::new("open", path, FsErrorKind::NotRegular));
    }
    Ok(File::from(handle))
}

/// What NOFOLLOW says of a link, and NONBLOCK of a pipe that has no reader.
fn is_no_file(error: &io::Error) -> bool {
    let said = rustix::io::Errno::from_io_error(error);
    matches!(said, Some(rustix::io::Errno::LOOP | rustix::io::Errno::NXIO))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests look at what was written")]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_where_it_ended_and_follows_its_name_when_told() {
        let dir = tempfile::tempdir().unwrap();
        let (path, old) = (dir.path().join("log"), dir.path().join("log.1"));
        LogFile::open(&path, None).unwrap().append(b"a\n").unwrap();
        let mut log = LogFile::open(&path, None).unwrap();
        log.append(b"b\n").unwrap();
        std::fs::rename(&path, &old).unwrap();
        log.append(b"c\n").unwrap();
        log.reopen().unwrap();
        log.append(b"d\n").unwrap();
        assert_eq!(std::fs::read(&old).unwrap(), b"a\nb\nc\n");
        assert_eq!(std::fs::read(&path).unwrap(), b"d\n");
    }

    #[test]
    fn what_is_no_file_is_refused_and_the_old_one_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (path, fifo) = (dir.path().join("log"), dir.path().join("fifo"));
        rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let mut log = LogFile::open(&path, None).unwrap();
        for other in [&fifo, Path::new("/dev/null")] {
            let error = LogFile::open(other, None).unwrap_err();
            assert!(matches!(error.kind, FsErrorKind::NotRegular), "{error}");
        }
        let old = dir.path().join("old");
        std::fs::rename(&path, &old).unwrap();
        std::os::unix::fs::symlink(&old, &path).unwrap();
        assert!(matches!(log.reopen().unwrap_err().kind, FsErrorKind::NotRegular));
        log.append(b"still\n").unwrap();
        assert_eq!(std::fs::read(&old).unwrap(), b"still\n");
    }

    #[test]
    fn a_new_one_is_made_elsewhere_and_gets_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let (path, old) = (dir.path().join("log"), dir.path().join("log.1"));
        let nursery = dir.path().join("nursery");
        std::fs::create_dir(&nursery).unwrap();
        std::fs::write(nursery.join(NEW), b"left over").unwrap();
        let mut log = LogFile::open(&path, Some(&nursery)).unwrap();
        log.reopen().unwrap();
        log.append(b"a\n").unwrap();
        std::fs::rename(&path, &old).unwrap();
        log.reopen().unwrap();
        log.append(b"b\n").unwrap();
        assert_eq!(std::fs::read(&old).unwrap(), b"a\n");
        assert_eq!(std::fs::read(&path).unwrap(), b"b\n");
        assert_eq!(std::fs::read_dir(&nursery).unwrap().count(), 0);
    }
}
