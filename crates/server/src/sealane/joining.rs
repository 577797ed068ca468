//! Further connections to a session, from the server's side: tokens that open them, and what they
//! may say.
//!
//! A token is random, is kept as a hash, opens one connection within [`LIFETIME`], and takes one of
//! the places of its session, of its account and of the server until it has been used or is too
//! old. An account has half of the server's places at most, and where none is free, an unused token
//! of the account that has most gives way. Who presents a token must know the session's own
//! connection too ([`join::proof`]). Such a connection lives as long as its session at most and
//! moves chunks; it cannot ask for anything.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use subtle::ConstantTimeEq as _;
use tokio::io::AsyncRead;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Ended, Limits, Sealane};
use sealane_base::types::text::REPEATED;
use sealane_base::types::{Digest, Username};
use sealane_core::service::{Connection, Login};
use sealane_protocol::frame::FrameError;
use sealane_protocol::join::{self, Exporter};
use sealane_protocol::keep_alive::pong;
use sealane_protocol::message::{Empty, Join, Refused};
use sealane_protocol::transfer::{PooledConnection, Routes};
use sealane_protocol::wire::{FrameReader, FrameSender, WireError};
use sealane_protocol::{ClientMessage, Header, Kind, ServerMessage, Status, limits};

/// How long a token can be used.
pub(super) const LIFETIME: Duration = Duration::from_secs(30);

/// What a session shares with the connections that join it.
#[derive(Debug)]
pub(super) struct Shared {
    login: Arc<Login>,
    routes: Routes,
    exporter: Exporter,
    places: Arc<Semaphore>,
    /// The greatest id of a request so far.
    last_id: AtomicU32,
    over: CancellationToken,
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
    shared: Arc<Shared>,
    until: Instant,
    places: Places,
}

impl Issued {
    fn account(&self) -> &Username {
        self.shared.login.principal().name()
    }
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
pub(super) struct Seat {
    shared: Arc<Shared>,
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
        issued.retain(|_, issued| issued.until > now && !issued.shared.over.is_cancelled());
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
        let (shared, until) = (Arc::clone(shared), now + LIFETIME);
        issued.insert(Digest::of_bytes(&token.0), Issued { shared, until, places });
        true
    }

    /// Takes a token back from a connection with `exporter`; `None` whatever is wrong with it. It
    /// cannot be used again in any case.
    pub(super) fn redeem(&self, join: &Join, exporter: &Exporter, now: Instant) -> Option<Seat> {
        let Issued { shared, until, places } =
            self.issued().remove(&Digest::of_bytes(&join.token.0))?;
        let proof = join::proof(&join.token, &shared.exporter, exporter);
        let is_good =
            bool::from(proof.0.ct_eq(&join.proof.0)) && until > now && !shared.over.is_cancelled();
        is_good.then_some(Seat { shared, _places: places })
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
        *counts.entry(one.account().clone()).or_default() += 1;
    }
    let own = counts.get(newcomer).copied().unwrap_or(0);
    let Some((most, _)) = counts.into_iter().filter(|(_, n)| *n > own).max_by_key(|(_, n)| *n)
    else {
        return;
    };
    let theirs = issued.iter().filter(|(_, one)| *one.account() == most);
    let oldest = theirs.min_by_key(|(_, one)| one.until).map(|(token, _)| *token);
    oldest.iter().for_each(|token| drop(issued.remove(token)));
}

/// Takes the rest of a `JOIN`; `None` if it is refused, which the peer was told and which counts as
/// a failed login of its source.
pub(super) async fn admit<R: AsyncRead + Unpin>(
    header: &Header,
    reader: &mut FrameReader<R>,
    out: &FrameSender,
    door: &Sealane,
    exporter: Option<&Exporter>,
    connection: &Connection,
) -> Result<Option<Seat>, WireError> {
    if header.id != 0 {
        return Err(FrameError::Id(header.id).into());
    }
    let body = zeroize::Zeroizing::new(reader.body(header).await?);
    let ClientMessage::Join(join) = ClientMessage::decode(Kind::Join, &body)? else {
        return Err(FrameError::State(header.kind).into());
    };
    let mut seat = exporter.and_then(|own| door.tokens.redeem(&join, own, Instant::now()));
    if let Some(joining) = &seat
        && !door.service.join(connection, &joining.shared.login).await
    {
        seat = None;
    }
    if seat.is_none() {
        let peer = connection.peer().ip();
        warn!(name: REPEATED, %peer, "a further connection was refused");
        door.service.accounts().join_refused(peer);
        let refused = ServerMessage::Refused(Refused::new(Status::JoinRefused));
        out.send(refused.encode(0)).await?;
    }
    Ok(seat)
}

/// Serves a connection that has joined, until it or its session ends.
pub(super) async fn serve<R: AsyncRead + Unpin>(
    seat: Seat,
    mut reader: FrameReader<R>,
    out: FrameSender,
    limits: Limits,
) -> Result<Ended, WireError> {
    let shared = &seat.shared;
    tracing::Span::current().record("user", shared.login.principal().name().as_str());
    info!(session = shared.login.session(), "joined a session");
    let lane = shared.routes.join(out.clone());
    out.send(ServerMessage::Joined(Empty {}).encode(0)).await?;
    loop {
        let header = tokio::select! {
            header = reader.header() => header?,
            () = shared.over.cancelled() => return Ok(Ended::WithSession),
            () = out.closed() => return Err(WireError::Closed),
            () = sleep(limits.idle) => return Ok(Ended::Idle),
        };
        let Some(header) = header else { return Ok(Ended::ByPeer) };
        let taken = tokio::select! {
            taken = frame(&header, &mut reader, &lane, &out, shared) => taken,
            () = shared.over.cancelled() => return Ok(Ended::WithSession),
        };
        taken?;
    }
}

async fn frame<R: AsyncRead + Unpin>(
    header: &Header,
    reader: &mut FrameReader<R>,
    lane: &PooledConnection,
    out: &FrameSender,
    shared: &Shared,
) -> Result<(), WireError> {
    match header.kind {
        Kind::Chunk | Kind::Ack if header.id <= shared.last_id.load(Ordering::Acquire) => {
            lane.deliver(header, reader).await
        }
        Kind::Ping => pong(header, reader, out).await,
        Kind::Pong => reader.discard(header.length).await,
        kind => Err(FrameError::State(kind).into()),
    }
}
