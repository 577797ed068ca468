//! Locks between processes: `flock` on a file that exists for nothing else.
//!
//! The lock belongs to the open file, so it also excludes other threads of this process, and the
//! system releases it when a process dies. The file stays behind; removing it would let two holders
//! in.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FlockOperation, Mode, OFlags, flock};
use rustix::io::{Errno, retry_on_intr};

use super::disk;
use super::error::{FsError, FsErrorKind};
use super::owner::hand_over;
use super::read::read_bounded;
use super::write::parent;
use crate::types::text::printable;

/// Holds a lock until it is dropped.
#[derive(Debug)]
#[must_use = "the lock is released when the guard is dropped"]
pub struct LockGuard {
    _file: OwnedFd,
}

/// How long [`lock_exclusive`] waits.
pub const LOCK_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two attempts. Holders write one small file.
const PAUSE: Duration = Duration::from_millis(2);
/// Most that is read of what the system tells about locks, in bytes.
const MAX_PROC: u64 = 1024 * 1024;

/// Takes the lock, waiting at most [`LOCK_TIMEOUT`] while somebody else holds it. Creates the file
/// (0600) if missing.
///
/// # Errors
/// [`FsErrorKind::Locked`] after that, naming the holder; [`FsErrorKind::Io`].
pub fn lock_exclusive(path: &Path) -> Result<LockGuard, FsError> {
    lock_within(path, LOCK_TIMEOUT)
}

/// As [`lock_exclusive`], waiting at most `timeout`.
///
/// # Errors
/// As [`lock_exclusive`].
pub fn lock_within(path: &Path, timeout: Duration) -> Result<LockGuard, FsError> {
    let failed = |error: Errno| FsError::new("lock", path, error);
    let file = open(path)?;
    let since = Instant::now();
    loop {
        match retry_on_intr(|| flock(&file, FlockOperation::NonBlockingLockExclusive)) {
            Ok(()) => return Ok(LockGuard { _file: file }),
            // There is no flock that gives up by itself.
            Err(Errno::WOULDBLOCK) if since.elapsed() < timeout => std::thread::sleep(PAUSE),
            Err(Errno::WOULDBLOCK) => {
                let holder = holder(&file).unwrap_or_else(|| "another process".to_owned());
                return Err(FsError::new("lock", path, FsErrorKind::Locked { holder }));
            }
            Err(error) => return Err(failed(error)),
        }
    }
}

/// Takes the lock if nobody holds it. Creates the file (0600) if missing.
///
/// # Errors
/// [`FsErrorKind::Locked`] if somebody holds it, [`FsErrorKind::Io`] otherwise.
pub fn try_lock_exclusive(path: &Path) -> Result<LockGuard, FsError> {
    lock_within(path, Duration::ZERO)
}

fn open(path: &Path) -> Result<OwnedFd, FsError> {
    let failed = |error: Errno| FsError::new("lock", path, error);
    let flags =
        OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Err(Errno::NOENT) => {}
        opened => return opened.map_err(failed),
    }
    let new = flags | OFlags::CREATE | OFlags::EXCL;
    match disk::open(CWD, path, new, Mode::RUSR | Mode::WUSR) {
        Ok(made) => {
            // Only what was made just now: what was there may be a link to anything.
            let given = hand_over(&made, parent(path));
            given.map_err(|error| FsError::new("lock", path, error))?;
            Ok(made)
        }
        // Another one made it first.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            rustix::fs::open(path, flags, Mode::empty()).map_err(failed)
        }
        Err(error) => Err(FsError::new("lock", path, error)),
    }
}

/// The process that holds the lock, as Linux tells it.
fn holder(file: &OwnedFd) -> Option<String> {
    let stat = rustix::fs::fstat(file).ok()?;
    let (major, minor) = (rustix::fs::major(stat.st_dev), rustix::fs::minor(stat.st_dev));
    let place = format!("{major:02x}:{minor:02x}:{}", stat.st_ino);
    let read = |path: &str| {
        Some(String::from_utf8_lossy(&read_bounded(Path::new(path), MAX_PROC).ok()?).into_owned())
    };
    let locks = read("/proc/locks")?;
    let process = locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [_, "FLOCK", _, _, process, at, ..] if *at == place => process.parse::<u32>().ok(),
            _ => None,
        }
    })?;
    let name = read(&format!("/proc/{process}/comm"))?;
    Some(format!("process {process} ({})", printable(name.trim_end())))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn one_holder_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".lock");
        let guard = lock_exclusive(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let error = try_lock_exclusive(&path).unwrap_err();
        assert!(matches!(error.kind, FsErrorKind::Locked { .. }), "{error}");
        let text = error.to_string();
        let own = format!("it is in use by process {} (", std::process::id());
        assert!(text.contains(&own) || text.ends_with("another process"), "{text}");
        let waited = lock_within(&path, Duration::from_millis(20)).unwrap_err();
        assert!(matches!(waited.kind, FsErrorKind::Locked { .. }) && waited.hint().is_some());
        drop(guard);
        let _guard = try_lock_exclusive(&path).unwrap();
    }

    #[test]
    fn waiting_ends_when_the_holder_lets_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".lock");
        let guard = lock_exclusive(&path).unwrap();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| lock_exclusive(&path).map(drop));
            drop(guard);
            waiter.join().unwrap().unwrap();
        });
    }

    #[test]
    fn a_link_in_place_of_the_lock_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (path, target) = (dir.path().join(".lock"), dir.path().join("elsewhere"));
        std::os::unix::fs::symlink(&target, &path).unwrap();
        assert!(lock_exclusive(&path).is_err());
        assert!(!target.exists());
    }
}
