//! Writing small files so that a crash at any point leaves the old content or the new one.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};

use super::disk;
use super::error::{FsError, FsErrorKind};
use super::owner::hand_over;
use super::read::list_names;

const TEMPORARY_PREFIX: &str = ".sealane-";
const TEMPORARY_SUFFIX: &str = ".tmp";

/// Replaces or creates `path` with `bytes` and exactly the permission bits `mode`, in one rename.
/// On return the new content is durable. A symbolic link at `path` is replaced, not followed.
///
/// # Errors
/// [`FsErrorKind::Io`]. If "cannot write", the old content is untouched and no temporary file left;
/// if "cannot sync", the new content is in place but may not survive a crash.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FsError> {
    let temporary = Temporary::write(path, bytes, mode)?;
    temporary.rename_to(path)?;
    sync_directory(parent(path))
}

/// Creates `path` with `bytes` and exactly the permission bits `mode`, durable on return. Never
/// overwrites, and never shows a half-written file.
///
/// # Errors
/// [`FsErrorKind::Io`], with nothing made; [`FsError::is_exists`] if something has that name
/// already.
pub fn create_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FsError> {
    let temporary = Temporary::write(path, bytes, mode)?;
    // A link, unlike a rename, fails if the name is taken; the temporary name goes on drop.
    disk::link(CWD, &temporary.path, CWD, path)
        .map_err(|error| FsError::new("create", path, error))?;
    drop(temporary);
    // What is not known to last is not left for a later attempt to find.
    sync_directory(parent(path)).inspect_err(|_| drop(disk::unlink(CWD, path)))
}

/// Creates one directory with exactly the permission bits `mode`, durable on return.
///
/// # Errors
/// [`FsErrorKind::Io`], with nothing made; [`FsError::is_exists`] if something has that name
/// already.
pub fn create_directory(path: &Path, mode: u32) -> Result<(), FsError> {
    let failed = |error| FsError::new("create", path, FsErrorKind::Io(error));
    // Made for the owner alone first, so that it is never more open than `mode`.
    disk::make_directory(CWD, path, Mode::RWXU.as_raw_mode()).map_err(failed)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
        .map_err(std::io::Error::from)
        .and_then(|made| hand_over(&made, parent(path)).and_then(|()| disk::set_mode(&made, mode)))
        .map_err(failed)
        .and_then(|()| sync_directory(parent(path)))
        // One that may not last would be taken by a later attempt for one that does.
        .inspect_err(|_| drop(disk::remove_directory(CWD, path)))
}

/// Creates `path` and what is missing above it, each with exactly the permission bits `mode`; what
/// is there stays as it is.
///
/// # Errors
/// [`FsErrorKind::Io`].
pub fn create_directories(path: &Path, mode: u32) -> Result<(), FsError> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(above) = path.parent().filter(|above| !above.as_os_str().is_empty()) {
        create_directories(above, mode)?;
    }
    match create_directory(path, mode) {
        Err(error) if error.is_exists() && path.is_dir() => Ok(()),
        outcome => outcome,
    }
}

/// Removes a file; it stays removed after a crash.
///
/// # Errors
/// [`FsErrorKind::Io`]; [`FsError::is_not_found`] if there is none.
pub fn remove_durably(path: &Path) -> Result<(), FsError> {
    disk::unlink(CWD, path).map_err(|error| FsError::new("remove", path, error))?;
    sync_directory(parent(path))
}

/// Removes what crashed writers left in `directory`. Only for a caller that holds the lock which
/// every writer in that directory takes: it cannot tell an old temporary file from one in use.
///
/// # Errors
/// [`FsErrorKind::Io`].
pub fn remove_temporaries(directory: &Path) -> Result<(), FsError> {
    remove_matching(directory, is_temporary)
}

fn remove_matching(directory: &Path, is_old: impl Fn(&OsStr) -> bool) -> Result<(), FsError> {
    for name in list_names(directory)?.iter().filter(|name| is_old(name)) {
        let path = directory.join(name);
        disk::unlink(CWD, &path).map_err(|error| FsError::new("remove", &path, error))?;
    }
    Ok(())
}

/// As [`remove_temporaries`], of one file only: for a caller that holds the lock which every writer
/// of that file takes.
///
/// # Errors
/// [`FsErrorKind::Io`].
pub fn remove_temporaries_of(path: &Path) -> Result<(), FsError> {
    let start = temporary_start(path);
    remove_matching(parent(path), |name| {
        is_temporary(name) && name.as_encoded_bytes().starts_with(start.as_bytes())
    })
}

/// Makes the names in a directory durable.
///
/// # Errors
/// [`FsErrorKind::Io`].
pub fn sync_directory(directory: &Path) -> Result<(), FsError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(directory, flags, Mode::empty())
        .map_err(std::io::Error::from)
        .and_then(disk::sync_directory)
        .map_err(|error| FsError::new("sync", directory, error))
}

/// A synced file under a temporary name in the directory of its target; removed when dropped.
struct Temporary {
    path: PathBuf,
    is_renamed: bool,
}

impl Temporary {
    fn write(target: &Path, bytes: &[u8], mode: u32) -> Result<Self, FsError> {
        let failed = |error| FsError::new("write", target, FsErrorKind::Io(error));
        let path = parent(target).join(temporary_name(target).map_err(failed)?);
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = disk::open(CWD, &path, flags, Mode::RUSR | Mode::WUSR).map_err(failed)?;
        let temporary = Self { path, is_renamed: false };
        let file = File::from(handle);
        disk::append(&file, bytes)
            .and_then(|()| hand_over(&file, parent(target)))
            .and_then(|()| disk::set_mode(&file, mode))
            .and_then(|()| disk::sync(&file))
            .map_err(failed)?;
        Ok(temporary)
    }

    fn rename_to(mut self, target: &Path) -> Result<(), FsError> {
        disk::rename(CWD, &self.path, CWD, target)
            .map_err(|error| FsError::new("write", target, error))?;
        self.is_renamed = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.is_renamed {
            // Nothing more can be done about a failure here: the name is ignored and swept later.
            let _ = disk::unlink(CWD, &self.path);
        }
    }
}

fn temporary_name(target: &Path) -> Result<String, std::io::Error> {
    let random = getrandom::u64().map_err(std::io::Error::from)?;
    Ok(format!("{}{random:016x}{TEMPORARY_SUFFIX}", temporary_start(target)))
}

/// How the names of temporary files for one target begin: with a digest, as its own name may be too
/// long.
fn temporary_start(target: &Path) -> String {
    let name = target.file_name().unwrap_or_default();
    let digest = blake3::hash(name.as_encoded_bytes()).to_hex();
    format!("{TEMPORARY_PREFIX}{}-", digest.get(..8).unwrap_or_default())
}

fn is_temporary(name: &OsStr) -> bool {
    name.to_str()
        .is_some_and(|name| name.starts_with(TEMPORARY_PREFIX) && name.ends_with(TEMPORARY_SUFFIX))
}

pub(super) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests look at what was written")]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode_of(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn writing_replaces_content_and_mode_and_leaves_no_other_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, b"a longer old content").unwrap();
        write_atomic(&path, b"new", 0o600).unwrap();
        assert_eq!((fs::read(&path).unwrap().as_slice(), mode_of(&path)), (&b"new"[..], 0o600));
        write_atomic(&path, b"new", 0o644).unwrap();
        assert_eq!(mode_of(&path), 0o644);
        assert_eq!(list_names(dir.path()).unwrap(), ["f"]);
    }

    #[test]
    fn a_failed_write_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        // A directory with an entry cannot be renamed over: the last step fails.
        let path = dir.path().join("d");
        fs::create_dir_all(path.join("inside")).unwrap();
        let error = write_atomic(&path, b"new", 0o600).unwrap_err();
        assert!(error.to_string().contains("cannot write"), "{error}");
        assert_eq!(list_names(dir.path()).unwrap(), ["d"]);
    }

    #[test]
    fn a_link_is_replaced_and_its_target_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (path, target) = (dir.path().join("l"), dir.path().join("t"));
        fs::write(&target, b"target").unwrap();
        std::os::unix::fs::symlink(&target, &path).unwrap();
        write_atomic(&path, b"new", 0o600).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"target");
        assert!(path.symlink_metadata().unwrap().is_file());
    }

    #[test]
    fn creating_never_overwrites() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        create_new(&path, b"first", 0o600).unwrap();
        assert!(create_new(&path, b"second", 0o600).unwrap_err().is_exists());
        assert_eq!((fs::read(&path).unwrap().as_slice(), mode_of(&path)), (&b"first"[..], 0o600));
        assert_eq!(list_names(dir.path()).unwrap(), ["f"]);
        assert!(create_directory(&path, 0o700).unwrap_err().is_exists());
        create_directory(&dir.path().join("d"), 0o2770).unwrap();
        assert_eq!(mode_of(&dir.path().join("d")), 0o2770);
    }

    #[test]
    fn removal_and_sweep_take_what_they_name_only() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["keep", ".keep.tmp", ".sealane-0123456789abcdef.tmp"] {
            fs::write(dir.path().join(name), b"").unwrap();
        }
        remove_temporaries(dir.path()).unwrap();
        assert_eq!(list_names(dir.path()).unwrap(), [".keep.tmp", "keep"]);
        remove_durably(&dir.path().join("keep")).unwrap();
        assert!(remove_durably(&dir.path().join("keep")).unwrap_err().is_not_found());
    }
}
