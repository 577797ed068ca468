//! A new small file that grows line by line, each durable before the next step is taken.

use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};

use super::disk;
use super::error::{FsError, FsErrorKind};
use super::owner::hand_over;
use super::write::{parent, sync_directory};

/// An open file that is only ever added to.
#[derive(Debug)]
pub struct AppendFile {
    path: PathBuf,
    file: File,
}

impl AppendFile {
    /// Creates `path`, durably, with exactly the permission bits `mode`. Never opens what is there.
    ///
    /// # Errors
    /// [`FsErrorKind::Io`]; [`FsError::is_exists`] if something has that name already.
    pub fn create(path: &Path, mode: u32) -> Result<Self, FsError> {
        let failed = |error| FsError::new("create", path, FsErrorKind::Io(error));
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::APPEND | OFlags::CLOEXEC;
        let handle = disk::open(CWD, path, flags, Mode::RUSR | Mode::WUSR).map_err(failed)?;
        let file = File::from(handle);
        hand_over(&file, parent(path))
            .and_then(|()| disk::set_mode(&file, mode))
            .map_err(failed)
            .and_then(|()| sync_directory(parent(path)))
            // What is not known to last is not left for a later attempt to find.
            .inspect_err(|_| drop(disk::unlink(CWD, path)))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds `bytes`; on return they are durable. A crash may leave a part of them.
    ///
    /// # Errors
    /// [`FsErrorKind::Io`]; a part may then have been added.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), FsError> {
        disk::append(&self.file, bytes)
            .and_then(|()| disk::sync_data(&self.file))
            .map_err(|error| FsError::new("write", &self.path, error))
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests look at what was written")]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_grows_and_never_takes_over_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let mut file = AppendFile::create(&path, 0o600).unwrap();
        file.append(b"a\n").unwrap();
        file.append(b"b\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"a\nb\n");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
        assert!(AppendFile::create(&path, 0o600).unwrap_err().is_exists());
    }
}
