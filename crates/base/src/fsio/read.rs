//! Reading small files without being made to wait or to swallow more than expected.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{FileType, Mode, OFlags};
use zeroize::Zeroizing;

use super::error::{FsError, FsErrorKind};

/// Bytes of a long file that are read at once.
const PIECE: usize = 64 * 1024;
/// Permission bits that let the group or others read or write.
const OTHERS: u32 = 0o066;
/// The one of them that a key of root's may have.
const GROUP_READS: u32 = 0o040;
/// As coarse as any file system keeps its times.
const YOUNG: Duration = Duration::from_secs(3);

/// Reads a whole regular file of at most `max_bytes` bytes. Symbolic links are followed; a FIFO or
/// device is refused without waiting for it.
///
/// # Errors
/// [`FsErrorKind::TooLarge`], [`FsErrorKind::NotRegular`], [`FsErrorKind::Io`].
pub fn read_bounded(path: &Path, max_bytes: u64) -> Result<Vec<u8>, FsError> {
    let (file, _) = open_regular(path, OFlags::empty())?;
    read_to_limit(file, path, max_bytes)
}

/// As [`read_bounded`], but a symbolic link is refused as [`FsErrorKind::NotRegular`]: for
/// directories whose entries must be what they seem.
///
/// # Errors
/// As [`read_bounded`].
pub fn read_bounded_no_follow(path: &Path, max_bytes: u64) -> Result<Vec<u8>, FsError> {
    let (file, _) = open_regular(path, OFlags::NOFOLLOW)?;
    read_to_limit(file, path, max_bytes)
}

/// As [`read_bounded`], for secrets: a file whose mode lets the group or others read or write is
/// refused. [`FsError::hint`] then has the remedy.
///
/// # Errors
/// [`FsErrorKind::NotPrivate`], and those of [`read_bounded`].
pub fn read_private(path: &Path, max_bytes: u64) -> Result<Vec<u8>, FsError> {
    let (file, mode) = open_regular(path, OFlags::empty())?;
    if mode & OTHERS != 0 {
        return Err(FsError::new("use", path, FsErrorKind::NotPrivate { mode }));
    }
    read_to_limit(file, path, max_bytes)
}

/// As [`read_private`], for private keys: one that belongs to root may be readable by its group, as
/// with PostgreSQL, if that is not root's own. So root keeps a key that several services of one
/// group may use, and none of them may change.
///
/// # Errors
/// As [`read_private`].
pub fn read_key(path: &Path, max_bytes: u64) -> Result<Vec<u8>, FsError> {
    let (file, mode) = open_regular(path, OFlags::empty())?;
    let stat = rustix::fs::fstat(&file).map_err(|error| FsError::new("read", path, error))?;
    if !is_private_key(mode, stat.st_uid, stat.st_gid) {
        return Err(FsError::new("use", path, FsErrorKind::NotPrivate { mode }));
    }
    read_to_limit(file, path, max_bytes)
}

fn is_private_key(mode: u32, owner: u32, group: u32) -> bool {
    let allowed = if owner == 0 && group != 0 { GROUP_READS } else { 0 };
    mode & OTHERS & !allowed == 0
}

/// Hands a regular file of any length to `take`, piece by piece; links are followed. False if it is
/// something else, which is not touched.
///
/// # Errors
/// [`FsErrorKind::Io`].
pub fn read_in_pieces(path: &Path, take: &mut dyn FnMut(&[u8])) -> Result<bool, FsError> {
    let mut file = match open_regular(path, OFlags::empty()) {
        Ok((file, _)) => file,
        Err(FsError { kind: FsErrorKind::NotRegular, .. }) => return Ok(false),
        Err(error) => return Err(error),
    };
    let mut buffer = Zeroizing::new(vec![0; PIECE]);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(true),
            Ok(count) => take(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(FsError::new("read", path, error)),
        }
    }
}

/// The first line in `path`, with its end: of a file, or of what a pipe, terminal or other stream
/// gives, which is waited for. No more than `max_bytes` bytes are read, of a stream none behind the
/// line.
///
/// # Errors
/// [`FsErrorKind::NotPrivate`] if `private` and it is a file that the group or others may read or
/// write; [`FsErrorKind::NotRegular`] for a directory, [`FsErrorKind::TooLarge`],
/// [`FsErrorKind::Io`].
pub fn read_line(
    path: &Path,
    max_bytes: u64,
    private: bool,
) -> Result<Zeroizing<Vec<u8>>, FsError> {
    let failed = |error: rustix::io::Errno| FsError::new("read", path, error);
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY;
    let handle = rustix::fs::open(path, flags, Mode::empty()).map_err(failed)?;
    let stat = rustix::fs::fstat(&handle).map_err(failed)?;
    let mode = stat.st_mode & 0o7777;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Err(FsError::new("read", path, FsErrorKind::NotRegular)),
        // A stream belongs to those who hold its ends.
        FileType::RegularFile if private && mode & OTHERS != 0 => {
            Err(FsError::new("use", path, FsErrorKind::NotPrivate { mode }))
        }
        _ => line_of(&handle, max_bytes)
            .map_err(failed)?
            .ok_or_else(|| FsError::new("read", path, FsErrorKind::TooLarge { limit: max_bytes })),
    }
}

/// The first line that `stream` gives, byte by byte, so that what follows is left to others; `None`
/// if it is longer than `max_bytes`.
///
/// # Errors
/// What the system says.
pub fn line_of(
    stream: impl AsFd,
    max_bytes: u64,
) -> Result<Option<Zeroizing<Vec<u8>>>, rustix::io::Errno> {
    let limit = usize::try_from(max_bytes).unwrap_or(usize::MAX);
    // All of it at once: a vector that grows leaves copies behind.
    let mut line = Zeroizing::new(Vec::with_capacity(limit.saturating_add(1)));
    let mut byte = Zeroizing::new([0; 1]);
    loop {
        match rustix::io::read(&stream, byte.as_mut_slice()) {
            Ok(0) => return Ok(Some(line)),
            Ok(_) if line.len() >= limit => return Ok(None),
            Ok(_) => line.extend_from_slice(byte.as_slice()),
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error),
        }
        if line.ends_with(b"\n") {
            return Ok(Some(line));
        }
    }
}

/// What changes when a file is replaced, written to, or gets another mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// The stamp of the file at `path` now; `None` if there is none.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        let metadata = path.metadata().ok()?;
        Some(Self {
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    /// True if the file changed so shortly before `now` that another change could leave the same
    /// stamp.
    #[must_use]
    pub fn is_young(&self, now: SystemTime) -> bool {
        let seconds = u64::try_from(self.changed.0).unwrap_or(0);
        let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        // A change that lies ahead is one too: the clock may have been set.
        now.duration_since(changed).is_ok_and(|age| age < YOUNG) || now < changed
    }
}

/// The names in a directory, sorted by bytes, hidden ones included.
///
/// # Errors
/// [`FsErrorKind::Io`].
pub fn list_names(directory: &Path) -> Result<Vec<OsString>, FsError> {
    let failed = |error| FsError::new("list", directory, FsErrorKind::Io(error));
    let mut names = std::fs::read_dir(directory)
        .map_err(failed)?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed)?;
    names.sort_unstable();
    Ok(names)
}

/// Opens a regular file for reading; also returns its permission bits.
fn open_regular(path: &Path, more: OFlags) -> Result<(File, u32), FsError> {
    // Without NONBLOCK, opening a FIFO waits until somebody writes to it.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY | more;
    let handle = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(handle) => handle,
        // LOOP is what NOFOLLOW says of a link, NXIO what a socket says.
        Err(rustix::io::Errno::LOOP | rustix::io::Errno::NXIO) => {
            return Err(FsError::new("read", path, FsErrorKind::NotRegular));
        }
        Err(error) => return Err(FsError::new("read", path, error)),
    };
    let stat = rustix::fs::fstat(&handle).map_err(|error| FsError::new("read", path, error))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(FsError::new("read", path, FsErrorKind::NotRegular));
    }
    Ok((File::from(handle), stat.st_mode & 0o7777))
}

fn read_to_limit(file: File, path: &Path, max_bytes: u64) -> Result<Vec<u8>, FsError> {
    // The size is not asked for: what counts is what can be read, also of a file that grows.
    let mut bytes = Vec::new();
    file.take(max_bytes.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| FsError::new("read", path, error))?;
    if bytes.len() as u64 > max_bytes {
        return Err(FsError::new("read", path, FsErrorKind::TooLarge { limit: max_bytes }));
    }
    Ok(bytes)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests lay out the files they read")]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn the_limit_is_exact() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, b"12345").unwrap();
        assert_eq!(read_bounded(&path, 5).unwrap(), b"12345");
        let error = read_bounded(&path, 4).unwrap_err();
        assert!(error.to_string().ends_with("it is larger than 4 bytes"), "{error}");
        assert!(read_bounded(&dir.path().join("none"), 4).unwrap_err().is_not_found());
    }

    #[test]
    fn what_is_not_a_file_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::RUSR, 0).unwrap();
        let socket = dir.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for path in [&fifo, &socket, dir.path()] {
            let error = read_bounded(path, 9).unwrap_err();
            assert!(matches!(error.kind, FsErrorKind::NotRegular), "{error}");
        }
    }

    #[test]
    fn links_are_followed_only_where_said() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("f"), dir.path().join("l"));
        fs::write(&file, b"x").unwrap();
        symlink(&file, &link).unwrap();
        assert_eq!(read_bounded(&link, 9).unwrap(), b"x");
        assert_eq!(read_bounded_no_follow(&file, 9).unwrap(), b"x");
        let error = read_bounded_no_follow(&link, 9).unwrap_err();
        assert!(matches!(error.kind, FsErrorKind::NotRegular), "{error}");
    }

    #[test]
    fn a_secret_that_others_may_touch_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        fs::write(&path, b"k").unwrap();
        for (mode, good) in
            [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o620, false)]
        {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let outcome = read_private(&path, 9);
            assert_eq!(outcome.is_ok(), good, "{mode:o}");
            assert_eq!(outcome.is_err_and(|error| error.hint().is_some()), !good, "{mode:o}");
        }
    }

    #[test]
    fn the_group_reads_a_key_of_roots_and_nothing_else() {
        for (mode, roots, ours) in [
            (0o600, true, true),
            (0o400, true, true),
            (0o640, true, false),
            (0o440, true, false),
            (0o660, false, false),
            (0o620, false, false),
            (0o644, false, false),
            (0o604, false, false),
        ] {
            assert_eq!(is_private_key(mode, 0, 500), roots, "{mode:o}");
            assert_eq!(is_private_key(mode, 1000, 500), ours, "{mode:o}");
            assert_eq!(is_private_key(mode, 0, 0), ours, "{mode:o}");
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        fs::write(&path, b"k").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(read_key(&path, 9).unwrap_err().hint().is_some());
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&path, Some(0), Some(54321)).unwrap();
            assert_eq!(read_key(&path, 9).unwrap(), b"k");
            std::os::unix::fs::chown(&path, Some(12345), Some(54321)).unwrap();
            assert!(read_key(&path, 9).is_err());
        } else {
            println!("skipped: only root can give files away");
        }
        assert!(read_private(&path, 9).is_err());
    }

    #[test]
    fn names_come_sorted() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b", "a", ".c"] {
            fs::write(dir.path().join(name), b"").unwrap();
        }
        assert_eq!(list_names(dir.path()).unwrap(), [".c", "a", "b"]);
    }

    #[test]
    fn a_file_that_has_just_changed_is_young() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, b"x").unwrap();
        let (stamp, now) = (Stamp::of(&path).unwrap(), SystemTime::now());
        assert!(stamp.is_young(now) && !stamp.is_young(now + YOUNG + Duration::from_secs(1)));
        // A clock that was set back makes nothing old.
        assert!(stamp.is_young(now - Duration::from_secs(3600)));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_ne!(Stamp::of(&path), Some(stamp));
        assert_eq!(Stamp::of(&dir.path().join("none")), None);
    }
}
