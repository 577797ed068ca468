//! Who is connected: what an administrator may see of a running server's sessions, and how one is ended.
//!
//! It holds what sessions say about themselves and knows nothing of their requests.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::server::SharedHome;
use crate::accounts::{AccountKey, Principal};
use crate::storage::Usage;
use crate::types::Username;

/// The sessions of a server. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    visits: Arc<Mutex<BTreeMap<u64, Arc<Inner>>>>,
}

/// One connection, as long as it lasts.
#[derive(Debug)]
pub struct Visit {
    registry: Registry,
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    id: u64,
    peer: SocketAddr,
    since: Instant,
    login: Mutex<Option<(Principal, SharedHome)>>,
    /// The session that it has joined, and ends with.
    joined: OnceLock<u64>,
    transfers: AtomicUsize,
    end: CancellationToken,
    at_login: Mutex<Option<AtLogin>>,
}

/// What is to be done at the login.
struct AtLogin(Box<dyn FnOnce(&Username) + Send>);

impl fmt::Debug for AtLogin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("AtLogin")
    }
}

/// A request that moves a file, as long as it is held.
#[derive(Debug)]
pub(super) struct Transfer(Arc<Inner>);

/// One session as an administrator sees it, or a connection that may become one.
#[derive(Clone, Debug)]
pub struct SessionInfo {
    /// Its number, as in the log.
    pub id: u64,
    /// Where it comes from.
    pub peer: SocketAddr,
    /// How long it has lasted.
    pub age: Duration,
    /// The account and what it uses, once logged in.
    pub account: Option<(Username, Usage)>,
    /// The key that logged in, if one did: its comment, or the beginning of its pin.
    pub key: Option<String>,
    /// Files on the move.
    pub transfers: usize,
    /// Its own connection, and those that have joined it.
    pub connections: usize,
}

impl Registry {
    /// Notes a connection until the visit is dropped.
    #[must_use]
    pub fn enter(&self, id: u64, peer: SocketAddr) -> Visit {
        let inner = Arc::new(Inner {
            id,
            peer,
            since: Instant::now(),
            login: Mutex::default(),
            joined: OnceLock::new(),
            transfers: AtomicUsize::new(0),
            end: CancellationToken::new(),
            at_login: Mutex::default(),
        });
        self.visits().insert(id, Arc::clone(&inner));
        Visit { registry: self.clone(), inner }
    }

    /// Every session, oldest first, and whoever has not logged in yet. Connections that have joined one are counted there.
    #[must_use]
    pub fn sessions(&self) -> Vec<SessionInfo> {
        let visits = self.visits();
        let mut lanes: BTreeMap<u64, usize> = BTreeMap::new();
        visits.values().filter_map(|visit| visit.joined.get()).for_each(|session| {
            *lanes.entry(*session).or_default() += 1;
        });
        let own = visits.values().filter(|visit| !visit.is_lane());
        let connections = |visit: &Inner| 1 + lanes.get(&visit.id).copied().unwrap_or(0);
        own.map(|visit| SessionInfo { connections: connections(visit), ..visit.info() }).collect()
    }

    /// Ends the sessions for which `is_meant` says so, with all that has joined them; gives how many. What they were
    /// uploading stays as a partial.
    pub fn end(&self, is_meant: impl Fn(&SessionInfo) -> bool) -> usize {
        let visits: Vec<_> = self.visits().values().cloned().collect();
        let own = visits.iter().filter(|visit| !visit.is_lane());
        let meant = own.filter(|visit| is_meant(&visit.info()));
        meant.map(|visit| visit.end.cancel()).count()
    }

    /// Ends the sessions whose login is not good any more, by what `is_good` says of it and of where it came from,
    /// and further connections that may not come from where they do; gives how many sessions. It blocks as `is_good` does.
    pub fn recheck(&self, is_good: impl Fn(&Principal, IpAddr) -> bool) -> usize {
        let visits: Vec<_> = self.visits().values().cloned().collect();
        let ended = visits.iter().filter(|visit| {
            let principal = visit.login().as_ref().map(|(principal, _)| principal.clone());
            principal.is_some_and(|principal| !is_good(&principal, visit.peer.ip()))
        });
        ended.inspect(|visit| visit.end.cancel()).filter(|visit| !visit.is_lane()).count()
    }

    fn visits(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Inner>>> {
        self.visits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Visit {
    /// Its number, as in the log.
    pub(super) fn id(&self) -> u64 {
        self.inner.id
    }

    /// Where it comes from.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.inner.peer
    }

    /// Completes when an administrator ends it.
    pub async fn ended(&self) {
        self.inner.end.cancelled().await;
    }

    /// Calls `then` with the account once the visitor has logged in or joined a session; drops it if the visitor goes
    /// before.
    pub fn at_login(&self, then: impl FnOnce(&Username) + Send + 'static) {
        *self.inner.at_login() = Some(AtLogin(Box::new(then)));
    }

    /// Notes who it is, unless the account has `most` sessions already: false then.
    pub(super) fn logged_in(&self, principal: &Principal, home: &SharedHome, most: usize) -> bool {
        // Held to the end: two that log in at the same time are counted one after the other.
        let visits = self.registry.visits();
        let is_theirs = |visit: &&Arc<Inner>| {
            visit.login().as_ref().is_some_and(|it| it.0.name() == principal.name())
        };
        if visits.values().filter(|visit| !visit.is_lane()).filter(is_theirs).count() >= most.max(1)
        {
            return false;
        }
        *self.inner.login() = Some((principal.clone(), Arc::clone(home)));
        drop(visits);
        self.is_known(principal.name());
        true
    }

    /// Notes which session it has joined, and whose that is; it is not counted as one.
    pub(super) fn joined(&self, session: u64, principal: &Principal, home: &SharedHome) {
        let _ = self.inner.joined.set(session);
        *self.inner.login() = Some((principal.clone(), Arc::clone(home)));
        self.is_known(principal.name());
    }

    fn is_known(&self, account: &Username) {
        let then = self.inner.at_login().take();
        if let Some(AtLogin(then)) = then {
            then(account);
        }
    }

    pub(super) fn transfer(&self) -> Transfer {
        self.inner.transfers.fetch_add(1, Ordering::Relaxed);
        Transfer(Arc::clone(&self.inner))
    }
}

impl Inner {
    fn login(&self) -> MutexGuard<'_, Option<(Principal, SharedHome)>> {
        self.login.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_lane(&self) -> bool {
        self.joined.get().is_some()
    }

    fn at_login(&self) -> MutexGuard<'_, Option<AtLogin>> {
        self.at_login.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn info(&self) -> SessionInfo {
        let login = self.login();
        let login = login.as_ref();
        SessionInfo {
            id: self.id,
            peer: self.peer,
            age: self.since.elapsed(),
            account: login.map(|(who, home)| (who.name().clone(), home.usage_for_administrator())),
            key: login.and_then(|(who, _)| who.key()).map(label),
            transfers: self.transfers.load(Ordering::Relaxed),
            connections: 1,
        }
    }
}

/// What a key is called: as its owner called it, else by the beginning of its pin.
fn label(key: &AccountKey) -> String {
    match key.comment.as_str() {
        "" => key.pin.to_string().chars().take(8 + "sha256//".len()).collect(),
        comment => comment.to_owned(),
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.registry.visits().remove(&self.inner.id);
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.0.transfers.fetch_sub(1, Ordering::Relaxed);
    }
}
