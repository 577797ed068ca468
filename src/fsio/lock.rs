//! Locks between processes: `flock` on a file that exists for nothing else.
//!
//! The lock belongs to the open file, so it also excludes other threads of this process, and the
//! system releases it when a process dies. The file stays behind; removing it would let two holders in.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

use super::error::{FsError, FsErrorKind};

/// Holds a lock until it is dropped.
#[derive(Debug)]
#[must_use = "the lock is released when the guard is dropped"]
pub struct LockGuard {
    _file: OwnedFd,
}

/// Takes the lock, waiting as long as somebody else holds it. Creates the file (0600) if missing.
///
/// # Errors
/// [`FsErrorKind::Io`].
pub fn lock_exclusive(path: &Path) -> Result<LockGuard, FsError> {
    lock(path, FlockOperation::LockExclusive)
}

/// Takes the lock if nobody holds it. Creates the file (0600) if missing.
///
/// # Errors
/// [`FsErrorKind::Locked`] if somebody holds it, [`FsErrorKind::Io`] otherwise.
pub fn try_lock_exclusive(path: &Path) -> Result<LockGuard, FsError> {
    lock(path, FlockOperation::NonBlockingLockExclusive)
}

fn lock(path: &Path, operation: FlockOperation) -> Result<LockGuard, FsError> {
    let failed = |error: Errno| FsError::new("lock", path, error);
    let flags = OFlags::RDWR
        | OFlags::CREATE
        | OFlags::CLOEXEC
        | OFlags::NOFOLLOW
        | OFlags::NONBLOCK
        | OFlags::NOCTTY;
    let file = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR).map_err(failed)?;
    match retry_on_intr(|| rustix::fs::flock(&file, operation)) {
        Ok(()) => Ok(LockGuard { _file: file }),
        Err(Errno::WOULDBLOCK) => Err(FsError::new("lock", path, FsErrorKind::Locked)),
        Err(error) => Err(failed(error)),
    }
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
        assert!(error.is_locked());
        assert!(error.to_string().ends_with("it is in use by another process"));
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
