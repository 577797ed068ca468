//! Who may write to a name: the newest upload, after the one before it has let go.
//!
//! A client notices a dead link before the server does. So a new upload never finds its name
//! locked: it tells the old one to stop, and waits for it, because both share one partial.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use sealane_base::files::StorageError;
use sealane_base::types::RemotePath;

/// The names of one home that are being written to.
#[derive(Debug, Default)]
pub(super) struct UploadLocks {
    slots: Mutex<HashMap<RemotePath, Slot>>,
    released: Notify,
}

#[derive(Debug, Default)]
struct Slot {
    /// Number of the newest upload that asked.
    latest: u64,
    waiting: usize,
    holder: Option<CancellationToken>,
}

/// An upload that has asked for a name, until it gets it or is dropped.
#[derive(Debug)]
pub(super) struct Asking {
    locks: Arc<UploadLocks>,
    path: RemotePath,
    ticket: u64,
}

impl Asking {
    /// Waits until the one that has the name lets go. Cancel safe.
    ///
    /// [`StorageError::Superseded`] if a newer one asked.
    pub(super) async fn granted(&self) -> Result<UploadLock, StorageError> {
        loop {
            let released = self.locks.released.notified();
            match self.try_take() {
                Err(StorageError::InUse) => released.await,
                outcome => return outcome,
            }
        }
    }

    /// As [`Asking::granted`], without waiting: [`StorageError::InUse`] while another has it.
    pub(super) fn try_take(&self) -> Result<UploadLock, StorageError> {
        let mut slots = self.locks.lock();
        let slot = slots.entry(self.path.clone()).or_default();
        if slot.latest != self.ticket {
            return Err(StorageError::Superseded);
        }
        if slot.holder.is_some() {
            return Err(StorageError::InUse);
        }
        let token = CancellationToken::new();
        slot.holder = Some(token.clone());
        Ok(UploadLock { locks: Arc::clone(&self.locks), path: self.path.clone(), token })
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        let mut slots = self.locks.lock();
        if let Some(slot) = slots.get_mut(&self.path) {
            slot.waiting = slot.waiting.saturating_sub(1);
        }
        UploadLocks::forget_idle(&mut slots, &self.path);
    }
}

impl UploadLocks {
    fn lock(&self) -> MutexGuard<'_, HashMap<RemotePath, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for `path`; its present holder is told to let go.
    pub(super) fn ask(self: &Arc<Self>, path: RemotePath) -> Asking {
        let ticket = {
            let mut slots = self.lock();
            let slot = slots.entry(path.clone()).or_default();
            slot.latest += 1;
            slot.waiting += 1;
            if let Some(holder) = &slot.holder {
                holder.cancel();
            }
            slot.latest
        };
        // Those that waited before this one have lost and need not wait longer.
        self.released.notify_waiters();
        Asking { locks: Arc::clone(self), path, ticket }
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
        self.locks.released.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_newest_wins_and_the_others_hear_of_it() {
        let locks = Arc::new(UploadLocks::default());
        let path = RemotePath::parse("a/b").unwrap();
        let ask = || locks.ask(path.clone());
        let first = ask().granted().await.unwrap();
        let other = locks.ask(RemotePath::parse("a").unwrap()).granted().await.unwrap();
        assert!(first.check().is_ok());
        let second = ask();
        assert!(first.token().is_cancelled());
        let second = tokio::spawn(async move { second.granted().await.map(drop) });
        let third = ask();
        assert!(matches!(second.await.unwrap(), Err(StorageError::Superseded)));
        assert!(matches!(first.check(), Err(StorageError::Superseded)));
        let third = tokio::spawn(async move { third.granted().await.map(drop) });
        tokio::task::yield_now().await;
        assert!(!third.is_finished());
        drop(first);
        third.await.unwrap().unwrap();
        assert!(other.check().is_ok());
        drop(other);
        assert_eq!(locks.while_idle(|| 7), Some(7));
    }

    #[test]
    fn one_that_is_given_up_leaves_nothing() {
        let locks = Arc::new(UploadLocks::default());
        let path = RemotePath::parse("x").unwrap();
        let held = locks.ask(path.clone()).try_take().unwrap();
        assert!(matches!(locks.ask(path).try_take(), Err(StorageError::InUse)));
        assert_eq!(locks.while_idle(|| ()), None);
        drop(held);
        assert_eq!(locks.while_idle(|| ()), Some(()));
    }
}
