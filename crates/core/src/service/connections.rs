//! The table of connections and sessions: what an administrator sees of a running server, and how
//! one is ended.
//!
//! A connection is in the table from its first byte on, and is a session while it holds a
//! [`Login`](super::Login). It knows nothing of requests.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::home::Home;
use crate::accounts::{AccountKey, Principal};
use crate::storage::Usage;
use sealane_base::types::Username;

/// All connections of a server. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub(super) struct Connections {
    entries: Arc<Mutex<BTreeMap<u64, Arc<Entry>>>>,
    last: Arc<AtomicU64>,
}

/// One connection, in the table until it is dropped.
#[derive(Debug)]
pub struct Connection {
    table: Connections,
    pub(super) entry: Arc<Entry>,
}

/// A connection and what became of it.
#[derive(Debug)]
pub(super) struct Entry {
    id: u64,
    pub(super) peer: SocketAddr,
    door: &'static str,
    since: Instant,
    login: Mutex<Option<(Principal, Arc<Home>)>>,
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

/// Counts as a file on the move until it is dropped.
#[derive(Debug)]
pub struct Transfer(Arc<Entry>);

/// One session as an administrator sees it, or a connection that may become one.
#[derive(Clone, Debug)]
pub struct SessionInfo {
    /// Its number, as in the log.
    pub id: u64,
    /// The protocol it speaks.
    pub door: &'static str,
    /// Where it comes from.
    pub peer: SocketAddr,
    /// How long it has lasted.
    pub age: Duration,
    /// The account and what it uses, once logged in; no usage if the store does not tell.
    pub account: Option<(Username, Option<Usage>)>,
    /// The key that logged in, if one did: its comment, or the beginning of its pin.
    pub key: Option<String>,
    /// Files on the move.
    pub transfers: usize,
    /// Its own connection, and those that have joined it.
    pub connections: usize,
}

impl Connections {
    pub(super) fn enter(&self, peer: SocketAddr, door: &'static str) -> Connection {
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let entry = Arc::new(Entry {
            id,
            peer,
            door,
            since: Instant::now(),
            login: Mutex::default(),
            joined: OnceLock::new(),
            transfers: AtomicUsize::new(0),
            end: CancellationToken::new(),
            at_login: Mutex::default(),
        });
        self.lock().insert(id, Arc::clone(&entry));
        Connection { table: self.clone(), entry }
    }

    /// Every session, oldest first, and connections without a login. Connections that have joined a
    /// session are counted there.
    pub(super) fn sessions(&self) -> Vec<SessionInfo> {
        let entries: Vec<_> = self.lock().values().cloned().collect();
        let mut joined: BTreeMap<u64, usize> = BTreeMap::new();
        for session in entries.iter().filter_map(|entry| entry.joined.get()) {
            *joined.entry(*session).or_default() += 1;
        }
        let own = entries.iter().filter(|entry| !entry.has_joined());
        let connections = |entry: &Entry| 1 + joined.get(&entry.id).copied().unwrap_or(0);
        own.map(|entry| SessionInfo { connections: connections(entry), ..entry.info() }).collect()
    }

    /// Ends the sessions that are `meant`, with all that has joined them; gives how many.
    pub(super) fn end(&self, meant: impl Fn(&SessionInfo) -> bool) -> usize {
        let entries: Vec<_> = self.lock().values().cloned().collect();
        let own = entries.iter().filter(|entry| !entry.has_joined());
        own.filter(|entry| meant(&entry.info())).map(|entry| entry.end.cancel()).count()
    }

    /// Ends the sessions whose login is not good any more, and joined connections that may not come
    /// from where they do; gives how many sessions. It blocks as `is_good` does.
    pub(super) fn recheck(&self, is_good: impl Fn(&Principal, IpAddr) -> bool) -> usize {
        let entries: Vec<_> = self.lock().values().cloned().collect();
        let ended = entries.iter().filter(|entry| {
            let principal = entry.login().as_ref().map(|(principal, _)| principal.clone());
            principal.is_some_and(|principal| !is_good(&principal, entry.peer.ip()))
        });
        ended.inspect(|entry| entry.end.cancel()).filter(|entry| !entry.has_joined()).count()
    }

    /// Notes who it is, unless the account has `most` sessions already: false then.
    pub(super) fn log_in(
        &self,
        entry: &Entry,
        principal: &Principal,
        home: &Arc<Home>,
        most: usize,
    ) -> bool {
        // Held to the end: two that log in at the same time are counted one after the other.
        let entries = self.lock();
        let is_theirs = |entry: &&Arc<Entry>| {
            entry.login().as_ref().is_some_and(|it| it.0.name() == principal.name())
        };
        let own = entries.values().filter(|entry| !entry.has_joined());
        if own.filter(is_theirs).count() >= most.max(1) {
            return false;
        }
        entry.note(principal, home);
        drop(entries);
        entry.announce(principal.name());
        true
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Entry>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    /// Its number, as in the log.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.entry.id
    }

    /// Where it comes from.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.entry.peer
    }

    /// Completes when an administrator ends it, or its login is not good any more.
    pub async fn ended(&self) {
        self.entry.end.cancelled().await;
    }

    /// Calls `then` with the account once the connection has logged in or joined a session; drops
    /// it if that never happens.
    pub fn at_login(&self, then: impl FnOnce(&Username) + Send + 'static) {
        *self.entry.at_login() = Some(AtLogin(Box::new(then)));
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.table.lock().remove(&self.entry.id);
    }
}

impl Entry {
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn join(&self, session: u64, principal: &Principal, home: &Arc<Home>) {
        let _ = self.joined.set(session);
        self.note(principal, home);
        self.announce(principal.name());
    }

    pub(super) fn transfer(self: &Arc<Self>) -> Transfer {
        self.transfers.fetch_add(1, Ordering::Relaxed);
        Transfer(Arc::clone(self))
    }

    pub(super) fn end(&self) -> CancellationToken {
        self.end.clone()
    }

    /// The login has ended; the connection may hold another.
    pub(super) fn log_out(&self) {
        *self.login() = None;
    }

    pub(super) fn is_logged_in(&self) -> bool {
        self.login().is_some()
    }

    fn note(&self, principal: &Principal, home: &Arc<Home>) {
        *self.login() = Some((principal.clone(), Arc::clone(home)));
    }

    fn announce(&self, account: &Username) {
        let then = self.at_login().take();
        if let Some(AtLogin(then)) = then {
            then(account);
        }
    }

    fn login(&self) -> MutexGuard<'_, Option<(Principal, Arc<Home>)>> {
        self.login.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn at_login(&self) -> MutexGuard<'_, Option<AtLogin>> {
        self.at_login.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_joined(&self) -> bool {
        self.joined.get().is_some()
    }

    fn info(&self) -> SessionInfo {
        let login = self.login().clone();
        let usage = |home: &Home| home.usage_for_administrator().ok();
        SessionInfo {
            id: self.id,
            door: self.door,
            peer: self.peer,
            age: self.since.elapsed(),
            account: login.as_ref().map(|(who, home)| (who.name().clone(), usage(home))),
            key: login.as_ref().and_then(|(who, _)| who.key()).map(label),
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

impl Drop for Transfer {
    fn drop(&mut self) {
        self.0.transfers.fetch_sub(1, Ordering::Relaxed);
    }
}
