//! The locks of WebDAV: of each account its own, few, and no longer than they were asked for.
//!
//! They are advice among WebDAV's clients: other protocols do not see them. They live in memory, so
//! a restart forgets them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sealane_base::types::{RemotePath, Username};

/// Most locks of one account.
const MOST: usize = 256;

/// A lock, as one client holds it.
#[derive(Clone, Debug)]
pub(in crate::https) struct Lock {
    /// A URI that names it and nothing else.
    pub(super) token: String,
    /// In the whole home of the account.
    pub(super) path: RemotePath,
    /// It holds for all that is below as well.
    pub(super) is_deep: bool,
    pub(super) is_shared: bool,
    /// What its holder calls itself, as XML.
    pub(super) owner: String,
    pub(super) until: Instant,
}

/// Why there is no lock.
#[derive(Debug)]
pub(super) enum Refused {
    /// Somebody has one that excludes it.
    Conflict,
    TooMany,
}

/// All locks of a door.
#[derive(Debug, Default)]
pub(in crate::https) struct Locks(Mutex<HashMap<Username, Vec<Lock>>>);

impl Locks {
    /// The locks that hold for `path`.
    pub(super) fn covering(&self, account: &Username, path: &RemotePath) -> Vec<Lock> {
        self.of(account, |lock| lock.path == *path || (lock.is_deep && lock.path.contains(path)))
    }

    /// The locks of `path` and of all below.
    pub(super) fn below(&self, account: &Username, path: &RemotePath) -> Vec<Lock> {
        self.of(account, |lock| path.contains(&lock.path))
    }

    pub(super) fn add(&self, account: &Username, lock: Lock) -> Result<(), Refused> {
        let mut locks = self.current();
        let own = locks.entry(account.clone()).or_default();
        let meets = |other: &Lock| {
            let is_above = other.is_deep && other.path.contains(&lock.path);
            let is_below = lock.is_deep && lock.path.contains(&other.path);
            other.path == lock.path || is_above || is_below
        };
        if own.iter().any(|other| meets(other) && !(other.is_shared && lock.is_shared)) {
            return Err(Refused::Conflict);
        }
        if own.len() >= MOST {
            return Err(Refused::TooMany);
        }
        own.push(lock);
        Ok(())
    }

    /// Lets the lock that holds for `path` last for `time` from now on.
    pub(super) fn refresh(
        &self,
        account: &Username,
        path: &RemotePath,
        tokens: &[String],
        time: Duration,
    ) -> Option<Lock> {
        let mut locks = self.current();
        let holds = |lock: &&mut Lock| {
            (lock.path == *path || (lock.is_deep && lock.path.contains(path)))
                && tokens.contains(&lock.token)
        };
        let lock = locks.get_mut(account)?.iter_mut().find(holds)?;
        lock.until = Instant::now() + time;
        Some(lock.clone())
    }

    /// Ends a lock that holds for `path`; says whether there was one.
    pub(super) fn remove(&self, account: &Username, path: &RemotePath, token: &str) -> bool {
        let mut locks = self.current();
        let Some(own) = locks.get_mut(account) else { return false };
        let count = own.len();
        own.retain(|lock| lock.token != token || !lock.path.contains(path));
        own.len() < count
    }

    /// Ends the locks of what is not there any more.
    pub(in crate::https) fn forget(&self, account: &Username, path: &RemotePath) {
        if let Some(own) = self.current().get_mut(account) {
            own.retain(|lock| !path.contains(&lock.path));
        }
    }

    fn of(&self, account: &Username, is_meant: impl Fn(&Lock) -> bool) -> Vec<Lock> {
        let locks = self.current();
        let own = locks.get(account).into_iter().flatten();
        own.filter(|lock| is_meant(lock)).cloned().collect()
    }

    /// The locks whose time is not over.
    fn current(&self) -> MutexGuard<'_, HashMap<Username, Vec<Lock>>> {
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        locks.retain(|_, own| {
            own.retain(|lock| lock.until > now);
            !own.is_empty()
        });
        locks
    }
}
