//! The server's half: greeting, then requests side by side until the peer goes or the server does.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, split};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, info, warn};

use super::greeting::{Greeted, greet};
use super::keep_alive::pong;
use super::lanes::{self, Desk, Host, Shared};
use super::notary::Notary;
use super::refusal::Refusal;
use super::registry::Visit;
use super::requests::{Context, Requests, Room};
use super::small_files::{Arrived, Wanted};
use crate::accounts::{Authenticator, Exposure, Principal};
use crate::protocol::frame::FrameError;
use crate::protocol::join::Exporter;
use crate::protocol::message::{Get, Keys, Tokens};
use crate::protocol::{ClientMessage, Header, Kind, ServerMessage, Side, Status};
use crate::storage::{Home, Vault};
use crate::types::Pin;
use crate::wire::{
    FrameReader, FrameSender, Memory, SLOWEST, Stall, WireError, outbox, write_frames,
};

/// Time limits of a session. Zero is not "unlimited": it is no time at all.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Time without a request after which a session is closed. With one under way: time without any frame.
    pub idle: Duration,
    /// Time without a byte taken or given in the middle of a frame.
    pub stall: Duration,
    /// Bytes a second in the middle of a frame; whoever is slower for as long as `stall` is given up. At least 1.
    pub slowest: u32,
    /// Sessions of one account at the same time. At least 1.
    pub sessions: usize,
}

impl Default for Limits {
    /// 5 minutes idle, 60 seconds of stall or below 1 KiB/s, 16 sessions an account.
    fn default() -> Self {
        let (idle, stall) = (Duration::from_secs(300), Duration::from_secs(60));
        Self { idle, stall, slowest: SLOWEST, sessions: 16 }
    }
}

/// How long and how much a client is listened to whose login was refused. It may have sent requests with it, and a
/// connection that is closed with something unread is reset: the refusal could be lost.
const HEAR_OUT: Duration = Duration::from_secs(3);
const HEAR_OUT_BYTES: u64 = 4 << 20;

/// What every session of a server shares.
#[derive(Clone, Debug)]
pub struct Service {
    /// Checks logins.
    pub authenticator: Authenticator,
    /// Holds the homes.
    pub vault: Arc<Vault>,
    /// Where the server can be reached from.
    pub exposure: Exposure,
    /// Time limits.
    pub limits: Limits,
    /// Gives out tokens for further connections.
    pub desk: Desk,
    /// For what arrives, in all sessions together.
    pub memory: Memory,
}

/// What a server knows of one connection before anything is said on it.
#[derive(Debug)]
pub struct Terms {
    /// Everything up to the login must happen before.
    pub deadline: Instant,
    /// Once cancelled, new requests are refused and the session ends when those under way have.
    pub drain: CancellationToken,
    /// The server's keys, to be announced to a client that has logged in.
    pub keys: Option<Keys>,
    /// What signs receipts.
    pub notary: Option<Notary>,
    /// The key that the client has proved in the handshake, if it showed one.
    pub client_key: Option<Pin>,
    /// By which TLS names the connection ([`join::EXPORTER`](crate::protocol::join::EXPORTER)); without it
    /// there are no further connections.
    pub exporter: Option<Exporter>,
}

/// How a session ended, when nothing was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The peer closed the connection.
    ByPeer,
    /// The peer was silent for too long.
    Idle,
    /// The login was refused, or the token.
    NotLoggedIn,
    /// The server is shutting down and everything under way has ended.
    Drained,
    /// It had joined a session, which has ended.
    WithSession,
}

/// Serves one connection whose peer may have proved nothing yet.
///
/// `visit` says where it comes from, and hears what becomes of it; see [`Terms`] for when it ends. One
/// that has not logged in ends at once when the server shuts down.
///
/// Cancel safety: dropping the future ends the session; uploads under way keep their partials.
///
/// # Errors
/// [`WireError`] if the connection failed or the peer broke the protocol.
pub async fn serve<S>(
    stream: S,
    service: &Service,
    visit: &Visit,
    terms: Terms,
) -> Result<Ended, WireError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (read, write) = split(stream);
    let (out, outbox) = outbox();
    let Limits { stall, slowest, .. } = service.limits;
    let pace = Stall { within: stall, slowest };
    let writer = tokio::spawn(write_frames(write, outbox, pace));
    let mut reader = FrameReader::new(read, Side::Client, pace);
    let greeting = greet(&mut reader, &out, service, visit, &terms);
    let greeted = tokio::select! {
        greeted = timeout_at(terms.deadline, greeting) => Some(greeted),
        () = terms.drain.cancelled() => None,
    };
    let (mut refused, drain) = (None, terms.drain.clone());
    let result = match greeted {
        None => Ok(Ended::Drained),
        Some(Err(_)) => Err(WireError::Stalled(stall)),
        Some(Ok(Err(error))) => Err(error),
        Some(Ok(Ok(None))) => {
            refused = Some(reader);
            Ok(Ended::NotLoggedIn)
        }
        Some(Ok(Ok(Some(Greeted::Lane(seat))))) => {
            visit.joined(seat.session(), seat.principal(), seat.home());
            lanes::serve(seat, reader, out.clone(), service.limits).await
        }
        Some(Ok(Ok(Some(Greeted::LoggedIn(principal, home, last_id))))) => {
            let Terms { drain, client_key, notary, exporter, .. } = terms;
            let authenticator = service.authenticator.clone();
            let principal = *principal;
            let caller = Arc::new(Caller { authenticator, principal, shown: client_key });
            let signing = notary.map(|it| (caller.principal.name().clone(), it));
            let requests =
                Requests::new(home.clone(), caller.clone(), out.clone(), signing, &service.memory);
            let routes = requests.routes.clone();
            let id = visit.id();
            let shared = |own| Host(Shared::new(id, caller.clone(), home, routes, own));
            let session = Authenticated {
                visit,
                reader,
                out: out.clone(),
                limits: service.limits,
                last_id,
                requests,
                host: exporter.map(shared),
                desk: &service.desk,
                tasks: JoinSet::new(),
                asked: Instant::now(),
                heard: Instant::now(),
            };
            session.run(&caller.principal, drain).await
        }
    };
    drop(out);
    // What was queued still goes out, unless the connection is what failed.
    let written = writer.await;
    if let Some(mut reader) = refused {
        tokio::select! {
            _ = timeout(HEAR_OUT, reader.hear_out(HEAR_OUT_BYTES)) => {}
            () = drain.cancelled() => {}
        }
    }
    match (&result, written) {
        (Ok(_), Ok(Err(error))) => Err(error),
        _ => result,
    }
}

/// Who a session's requests come from.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) authenticator: Authenticator,
    pub(super) principal: Principal,
    /// The key that the connection has proved, whether it logged in or not.
    pub(super) shown: Option<Pin>,
}

/// A session whose peer has logged in.
struct Authenticated<'a, R> {
    visit: &'a Visit,
    reader: FrameReader<R>,
    out: FrameSender,
    limits: Limits,
    last_id: u32,
    requests: Requests,
    /// What further connections share with this one, if there may be any.
    host: Option<Host>,
    desk: &'a Desk,
    tasks: JoinSet<()>,
    /// When a request came or ended last.
    asked: Instant,
    /// When anything came last.
    heard: Instant,
}

impl<R: AsyncRead + Unpin + Send> Authenticated<'_, R> {
    async fn run(
        mut self,
        principal: &Principal,
        drain: CancellationToken,
    ) -> Result<Ended, WireError> {
        let key = principal.key().map(|key| tracing::field::display(key.pin));
        tracing::Span::current().record("user", principal.name().as_str());
        info!(key, "logged in");
        let result = self.requests_until_the_end(&drain).await;
        self.requests.end_all();
        self.host = None;
        while self.tasks.join_next().await.is_some() {}
        result
    }

    async fn requests_until_the_end(
        &mut self,
        drain: &CancellationToken,
    ) -> Result<Ended, WireError> {
        loop {
            if drain.is_cancelled() && self.tasks.is_empty() {
                return Ok(Ended::Drained);
            }
            // A `PING` keeps a request alive that takes long, but no session that asks for nothing.
            let since = if self.tasks.is_empty() { self.asked } else { self.heard };
            let header = tokio::select! {
                header = self.reader.header() => header?,
                Some(ended) = self.tasks.join_next() => {
                    if let Err(error) = ended && error.is_panic() {
                        warn!("a request panicked; the session ends");
                        return Err(WireError::Closed);
                    }
                    self.asked = Instant::now();
                    continue;
                }
                () = drain.cancelled(), if !drain.is_cancelled() => continue,
                () = self.out.closed() => return Err(WireError::Closed),
                () = sleep_until(since + self.limits.idle) => return Ok(Ended::Idle),
            };
            let Some(header) = header else { return Ok(Ended::ByPeer) };
            self.frame(&header, drain.is_cancelled()).await?;
            self.heard = Instant::now();
        }
    }

    async fn frame(&mut self, header: &Header, draining: bool) -> Result<(), WireError> {
        match header.kind {
            kind if kind.is_of_a_transfer() => {
                if header.id > self.last_id {
                    return Err(FrameError::State(header.kind).into());
                }
                self.requests.routes.deliver(header, &mut self.reader).await
            }
            Kind::Ping => pong(header, &mut self.reader, &self.out).await,
            Kind::Pong => self.reader.discard(header.length).await,
            Kind::Cancel => {
                self.requests.cancel(header.id);
                Ok(())
            }
            _ => self.request(header, draining).await,
        }
    }

    async fn request(&mut self, header: &Header, draining: bool) -> Result<(), WireError> {
        if header.id <= self.last_id {
            return Err(FrameError::Id(header.id).into());
        }
        self.last_id = header.id;
        if let Some(Host(shared)) = &self.host {
            shared.asked(header.id);
        }
        self.asked = Instant::now();
        // Held until the small file is stored, so that only so many are in memory.
        let room = match header.kind {
            Kind::PutSmall => Some(self.requests.memory_for(header.length).await),
            _ => None,
        };
        let body = self.reader.body(header).await?;
        let message = ClientMessage::decode(header.kind, &body)?;
        drop(body);
        match self.requests.admit(&message, draining) {
            Err(refusal) => {
                let context = self.requests.context(header.id, &message);
                self.out.send(refuse(&context, refusal).encode(header.id)).await
            }
            Ok(held) => self.begin(header.id, message, held, room.flatten()).await,
        }
    }

    /// Sets to work on a request that was admitted; `held` and `room` are its until it is answered.
    async fn begin(
        &mut self,
        id: u32,
        message: ClientMessage,
        held: Vec<OwnedSemaphorePermit>,
        room: Option<Room>,
    ) -> Result<(), WireError> {
        let context = self.requests.context(id, &message);
        match message {
            ClientMessage::PutSmall(request, bytes) => {
                let arrived = Arrived { context, request, bytes, held: (held, room) };
                if let Some(work) = self.requests.small_files.store(arrived) {
                    self.tasks.spawn(work.in_current_span());
                }
            }
            ClientMessage::Get(Get { path, small: Some(true), .. }) => {
                let wanted = Wanted { context, path, held };
                if let Some(work) = self.requests.small_files.send(wanted) {
                    self.tasks.spawn(work.in_current_span());
                }
            }
            ClientMessage::Tokens(request) => {
                let reply = self.tokens(request);
                let reply = reply.unwrap_or_else(|no| refuse(&context, no));
                self.out.send(reply.encode(id)).await?;
            }
            message => {
                let moves = matches!(message.kind(), Kind::Put | Kind::Get);
                let transfer = moves.then(|| self.visit.transfer());
                let span = context.span.clone();
                let work = async move {
                    let _held = (held, transfer);
                    answer(context, message).await;
                };
                self.tasks.spawn(work.instrument(span));
            }
        }
        Ok(())
    }
}

impl<R> Authenticated<'_, R> {
    fn tokens(&self, request: Tokens) -> Result<ServerMessage, Refusal> {
        let host = self.host.as_ref().ok_or_else(|| Refusal::new(Status::Busy))?;
        super::verbs::tokens::serve(self.desk, &host.0, request)
    }
}

/// Runs one request to its end and queues the answer.
async fn answer(context: Context, message: ClientMessage) {
    let reply = match super::verbs::serve(&context, message).await {
        Ok(reply) => reply,
        Err(refusal) if context.cancelled.is_cancelled() => {
            info!("given up");
            (!context.is_over()).then(|| refusal.into_message())
        }
        Err(refusal) => Some(refuse(&context, refusal)),
    };
    if let Some(reply) = reply {
        // The session may have ended meanwhile: then nobody waits for this answer.
        let _ = context.out.send(reply.encode(context.id)).await;
    }
}

/// Writes a refusal to the log and gives what the peer may know of it.
pub(super) fn refuse(context: &Context, refusal: Refusal) -> ServerMessage {
    let (status, internal) = (refusal.status(), refusal.internal.as_deref());
    context.span.in_scope(|| match internal {
        Some(internal) => warn!(?status, internal, "refused"),
        None => info!(?status, "refused"),
    });
    refusal.into_message()
}

/// The home of a session's account.
pub(super) type SharedHome = Arc<Home>;
