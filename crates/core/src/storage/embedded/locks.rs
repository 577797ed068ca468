//! Who may write to a name: the newest upload, after the one before it has let go.
//!
//! A client notices a dead link before the server does. So a new upload never finds its name
//! locked: it tells the old one to stop, and waits for it, because both share one partial.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use sealane_base::files::StorageError;
use sealane_base::types::RemotePath;

/// The names of one home that are being written to.
#[derive(Debug, Default)]
pub(super) struct UploadLocks {
    slots: Mutex<HashMap<RemotePath, Slot>>,
    released: Condvar,
}

#[derive(Debug, Default)]
struct Slot {
    /// Number of the newest upload that asked.
    latest: u64,
    waiting: usize,
    holder: Option<CancellationToken>,
}

impl UploadLocks {
    fn lock(&self) -> MutexGuard<'_, HashMap<RemotePath, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes `path` over, waiting at most `takeover` for its present holder to be dropped.
    ///
    /// [`StorageError::InUse`] after that, [`StorageError::Superseded`] if a newer one asked.
    pub(super) fn take(
        self: &Arc<Self>,
        path: &RemotePath,
        takeover: Duration,
    ) -> Result<UploadLock, StorageError> {
        let mut slots = self.lock();
        let slot = slots.entry(path.clone()).or_default();
        slot.latest += 1;
        slot.waiting += 1;
        let ticket = slot.latest;
        if let Some(holder) = &slot.holder {
            holder.cancel();
        }
        // Those that waited before this one have lost and need not wait longer.
        self.released.notify_all();
        let (mut slots, _) = self
            .released
            .wait_timeout_while(slots, takeover, |slots| {
                slots.get(path).is_some_and(|slot| slot.latest == ticket && slot.holder.is_some())
            })
            .unwrap_or_else(PoisonError::into_inner);
        let slot = slots.entry(path.clone()).or_default();
        slot.waiting = slot.waiting.saturating_sub(1);
        if slot.latest != ticket {
            Self::forget_idle(&mut slots, path);
            return Err(StorageError::Superseded);
        }
        if slot.holder.is_some() {
            return Err(StorageError::InUse);
        }
        let token = CancellationToken::new();
        slot.holder = Some(token.clone());
        Ok(UploadLock { locks: Arc::clone(self), path: path.clone(), token })
    }

    /// Runs `work` while nobody holds or waits for any name; `None` if somebody does.
    pub(super) fn while_idle<T>(&self, work: impl FnOnce() -> T) -> Option<T> {
        let slots = self.lock();
        slots.is_empty().then(work)
    }

    /// Runs `work` while nobody holds or waits for `path`; `None` if somebody does.
    pub(super) fn while_nobody_has<T>(
        &self,
        path: &RemotePath,
        work: impl FnOnce() -> T,
    ) -> Option<T> {
        let slots = self.lock();
        (!slots.contains_key(path)).then(work)
    }

    fn forget_idle(slots: &mut HashMap<RemotePath, Slot>, path: &RemotePath) {
        if slots.get(path).is_some_and(|slot| slot.holder.is_none() && slot.waiting == 0) {
            slots.remove(path);
        }
    }
}

/// The right to write to one name, until dropped.
#[derive(Debug)]
pub(super) struct UploadLock {
    locks: Arc<UploadLocks>,
    path: RemotePath,
    token: CancellationToken,
}

impl UploadLock {
    /// Cancelled when a newer upload wants the name.
    pub(super) fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// Nothing, unless a newer upload wants the name.
    pub(super) fn check(&self) -> Result<(), StorageError> {
        if self.token.is_cancelled() { Err(StorageError::Superseded) } else { Ok(()) }
    }
}

impl Drop for UploadLock {
    fn drop(&mut self) {
        let mut slots = self.locks.lock();
        if let Some(slot) = slots.get_mut(&self.path) {
            slot.holder = None;
        }
        UploadLocks::forget_idle(&mut slots, &self.path);
        drop(slots);
        self.locks.released.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_wins_and_the_others_hear_of_it() {
        let locks = Arc::new(UploadLocks::default());
        let path = RemotePath::parse("a/b").unwrap();
        let first = locks.take(&path, Duration::ZERO).unwrap();
        let other = locks.take(&RemotePath::parse("a").unwrap(), Duration::ZERO).unwrap();
        let second = std::thread::spawn({
            let (locks, path) = (Arc::clone(&locks), path.clone());
            move || locks.take(&path, Duration::from_secs(60)).map(drop)
        });
        while !first.token().is_cancelled() {
            std::thread::yield_now();
        }
        let third = std::thread::spawn({
            let (locks, path) = (Arc::clone(&locks), path.clone());
            move || locks.take(&path, Duration::from_secs(60)).map(drop)
        });
        assert!(matches!(second.join().unwrap(), Err(StorageError::Superseded)));
        assert!(matches!(first.check(), Err(StorageError::Superseded)));
        drop(first);
        third.join().unwrap().unwrap();
        assert!(other.check().is_ok());
        drop(other);
        assert_eq!(locks.while_idle(|| 7), Some(7));
    }

    #[test]
    fn one_that_does_not_let_go_is_waited_for_no_longer_than_asked() {
        let locks = Arc::new(UploadLocks::default());
        let path = RemotePath::parse("x").unwrap();
        let held = locks.take(&path, Duration::ZERO).unwrap();
        assert!(matches!(locks.take(&path, Duration::from_millis(5)), Err(StorageError::InUse)));
        assert_eq!(locks.while_idle(|| ()), None);
        drop(held);
        assert_eq!(locks.while_idle(|| ()), Some(()));
    }
}
