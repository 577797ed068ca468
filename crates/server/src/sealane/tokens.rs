//! Tokens that open further connections to a session, and the limits of those.
//!
//! A token is random, is kept as a hash, opens one connection within [`LIFETIME`], and takes one of
//! the places of its session, of its account and of the server until it has been used or is too
//! old. An account has half of the server's places at most, and where none is free, an unused token
//! of the account that has most gives way. Who presents a token must know the session's own
//! connection too ([`join::proof`]).

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use subtle::ConstantTimeEq as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use sealane_base::types::{Digest, Username};
use sealane_core::service::Login;
use sealane_protocol::join::{self, Exporter};
use sealane_protocol::limits;
use sealane_protocol::message::Join;
use sealane_protocol::transfer::Routes;

/// How long a token can be used.
pub(super) const LIFETIME: Duration = Duration::from_secs(30);

/// What a session shares with the connections that join it.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) login: Arc<Login>,
    pub(super) routes: Routes,
    exporter: Exporter,
    places: Arc<Semaphore>,
    /// The greatest id of a request so far.
    pub(super) last_id: AtomicU32,
    pub(super) over: CancellationToken,
}

impl Shared {
    pub(super) fn new(login: Arc<Login>, routes: Routes, exporter: Exporter) -> Arc<Self> {
        let places = Arc::new(Semaphore::new(limits::CONNECTIONS - 1));
        let (last_id, over) = (AtomicU32::new(0), CancellationToken::new());
        Arc::new(Self { login, routes, exporter, places, last_id, over })
    }

    pub(super) fn asked(&self, id: u32) {
        self.last_id.store(id, Ordering::Release);
    }

    /// Ends every connection that has joined.
    pub(super) fn end(&self) {
        self.over.cancel();
    }
}

/// A session, as its own connection holds it: whatever way that ends, the others end too.
#[derive(Debug)]
pub(super) struct Host(pub(super) Arc<Shared>);

impl Drop for Host {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Where tokens are given out and taken back. Cloning shares it.
#[derive(Clone, Debug)]
pub struct TokenTable {
    issued: Arc<Mutex<HashMap<Digest, Issued>>>,
    places: Arc<Semaphore>,
    accounts: Arc<Mutex<HashMap<Username, usize>>>,
    most_each: usize,
}

#[derive(Debug)]
struct Issued {
    /// A token keeps no session alive.
    shared: Weak<Shared>,
    account: Username,
    until: Instant,
    places: Places,
}

/// Of its session and of the server, and of its account.
type Places = ([OwnedSemaphorePermit; 2], Share);

/// One of the places that an account has; free again when dropped.
#[derive(Debug)]
struct Share {
    accounts: Arc<Mutex<HashMap<Username, usize>>>,
    account: Username,
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = accounts.get_mut(&self.account) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                accounts.remove(&self.account);
            }
        }
    }
}

/// A connection that may join: what it shares, and its places.
#[derive(Debug)]
pub(super) struct Joiner {
    pub(super) shared: Arc<Shared>,
    _places: Places,
}

impl TokenTable {
    /// A table for at most `connections` further connections, to all sessions together.
    #[must_use]
    pub fn new(connections: usize) -> Self {
        let places = Arc::new(Semaphore::new(connections));
        let most_each = connections.div_ceil(2);
        Self { issued: Arc::default(), places, accounts: Arc::default(), most_each }
    }

    /// Lets `token` open a connection to a session; `false` if there is no place for one.
    pub(super) fn issue(&self, shared: &Arc<Shared>, token: &Digest, now: Instant) -> bool {
        let mut issued = self.issued();
        issued.retain(|_, issued| issued.until > now && issued.shared.strong_count() > 0);
        let account = shared.login.principal().name();
        let take = |places: &Arc<Semaphore>| Arc::clone(places).try_acquire_owned().ok();
        let (Some(share), Some(own)) = (self.share(account), take(&shared.places)) else {
            return false;
        };
        let servers = take(&self.places).or_else(|| {
            make_room(&mut issued, account);
            take(&self.places)
        });
        let Some(servers) = servers else { return false };
        let places = ([own, servers], share);
        let (account, until) = (account.clone(), now + LIFETIME);
        let token = Digest::of_bytes(&token.0);
        issued.insert(token, Issued { shared: Arc::downgrade(shared), account, until, places });
        true
    }

    /// Takes a token back from a connection with `exporter`; `None` whatever is wrong with it. It
    /// cannot be used again in any case.
    pub(super) fn redeem(&self, join: &Join, exporter: &Exporter, now: Instant) -> Option<Joiner> {
        let Issued { shared, until, places, .. } =
            self.issued().remove(&Digest::of_bytes(&join.token.0))?;
        let shared = shared.upgrade()?;
        let proof = join::proof(&join.token, &shared.exporter, exporter);
        let is_good =
            bool::from(proof.0.ct_eq(&join.proof.0)) && until > now && !shared.over.is_cancelled();
        is_good.then_some(Joiner { shared, _places: places })
    }

    fn share(&self, account: &Username) -> Option<Share> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if accounts.get(account).is_some_and(|count| *count >= self.most_each) {
            return None;
        }
        *accounts.entry(account.clone()).or_default() += 1;
        Some(Share { accounts: Arc::clone(&self.accounts), account: account.clone() })
    }

    fn issued(&self) -> MutexGuard<'_, HashMap<Digest, Issued>> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Drops the oldest unused token of the account that has most, if it has more than `newcomer`.
fn make_room(issued: &mut HashMap<Digest, Issued>, newcomer: &Username) {
    let mut counts: HashMap<Username, usize> = HashMap::new();
    for one in issued.values() {
        *counts.entry(one.account.clone()).or_default() += 1;
    }
    let own = counts.get(newcomer).copied().unwrap_or(0);
    let Some((most, _)) = counts.into_iter().filter(|(_, n)| *n > own).max_by_key(|(_, n)| *n)
    else {
        return;
    };
    let theirs = issued.iter().filter(|(_, one)| one.account == most);
    let oldest = theirs.min_by_key(|(_, one)| one.until).map(|(token, _)| *token);
    oldest.iter().for_each(|token| drop(issued.remove(token)));
}
