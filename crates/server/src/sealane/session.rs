//! The server's half: greeting, then requests side by side until the peer goes or the server does.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, split};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{Instrument as _, info, warn};

use super::context::{Context, Room};
use super::greeting::{Greeted, greet};
use super::joining;
use super::refusal::Refusal;
use super::requests::Requests;
use super::settings::{Ended, Limits, Sealane, Terms};
use super::small_files::{Arrived, Wanted};
use super::tokens::{Host, Shared, TokenTable};
use super::verbs;
use sealane_base::types::text::REPEATED;
use sealane_core::service::{Connection, Login};
use sealane_protocol::frame::FrameError;
use sealane_protocol::keep_alive::pong;
use sealane_protocol::message::{Get, Tokens};
use sealane_protocol::wire::{
    FrameReader, FrameSender, Hold, Stall, WireError, outbox, write_frames,
};
use sealane_protocol::{ClientMessage, Header, Kind, ServerMessage, Side, Status};

/// How long and how much a client is listened to whose login was refused. It may have sent requests
/// with it, and a connection that is closed with something unread is reset: the refusal could be
/// lost.
const HEAR_OUT: Duration = Duration::from_secs(3);
const HEAR_OUT_BYTES: u64 = 4 << 20;

/// Serves one connection whose peer may have proved nothing yet.
///
/// `connection` says where it comes from, and is told what becomes of it; see [`Terms`] for when it
/// ends. One that has not logged in ends at once when the server shuts down.
///
/// Cancel safety: dropping the future ends the session; uploads under way keep their partials.
///
/// # Errors
/// [`WireError`] if the connection failed or the peer broke the protocol.
pub async fn serve<S>(
    stream: S,
    door: &Sealane,
    connection: &Connection,
    terms: Terms,
) -> Result<Ended, WireError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (read, write) = split(stream);
    let (out, outbox) = outbox();
    let Limits { stall, slowest, .. } = door.limits;
    let pace = Stall { within: stall, slowest };
    // One that is ended from outside writes nothing more, however much is queued.
    let writer = AbortOnDropHandle::new(tokio::spawn(write_frames(write, outbox, pace)));
    let mut reader = FrameReader::new(read, Side::Client, pace);
    let greeting = greet(&mut reader, &out, door, connection, &terms);
    let greeted = tokio::select! {
        greeted = timeout_at(terms.deadline, greeting) => Some(greeted),
        () = terms.drain.cancelled() => None,
    };
    let (mut refused, drain) = (None, terms.drain.clone());
    let result = match greeted {
        None => Ok(Ended::Drained),
        Some(Err(_)) => Err(WireError::Stalled(stall)),
        Some(Ok(Err(error))) => Err(error),
        Some(Ok(Ok(Greeted::Ended))) => {
            refused = Some(reader);
            Ok(Ended::NotLoggedIn)
        }
        Some(Ok(Ok(Greeted::Joined(joiner)))) => {
            joining::serve(joiner, reader, out.clone(), door.limits).await
        }
        Some(Ok(Ok(Greeted::LoggedIn(login, last_id)))) => {
            let Terms { drain, signer, exporter, .. } = terms;
            let login = Arc::<Login>::from(login);
            let requests = Requests::new(door, login.clone(), out.clone(), signer);
            let routes = requests.routes.clone();
            let shared = |own| Host(Shared::new(login.clone(), routes, own));
            let session = Authenticated {
                login: login.clone(),
                reader,
                out: out.clone(),
                limits: door.limits,
                last_id,
                requests,
                host: exporter.map(shared),
                tokens: &door.tokens,
                tasks: JoinSet::new(),
                asked: Instant::now(),
                heard: Instant::now(),
            };
            session.run(drain).await
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

/// A session whose peer has logged in.
struct Authenticated<'a, R> {
    login: Arc<Login>,
    reader: FrameReader<R>,
    out: FrameSender,
    limits: Limits,
    last_id: u32,
    requests: Requests,
    /// What further connections share with this one, if there may be any.
    host: Option<Host>,
    tokens: &'a TokenTable,
    tasks: JoinSet<()>,
    /// When a request came or ended last.
    asked: Instant,
    /// When anything came last.
    heard: Instant,
}

impl<R: AsyncRead + Unpin + Send> Authenticated<'_, R> {
    async fn run(mut self, drain: CancellationToken) -> Result<Ended, WireError> {
        let principal = self.login.principal();
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
                self.out.send(context.refuse(refusal).encode(header.id)).await
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
                let reply = reply.unwrap_or_else(|no| context.refuse(no));
                self.out.send(reply.encode(id)).await?;
            }
            message => {
                let moves = matches!(message.kind(), Kind::Put | Kind::Get);
                let transfer = moves.then(|| self.login.transfer());
                let span = context.span.clone();
                let work = answer(context, message, Box::new((held, transfer)));
                self.tasks.spawn(work.instrument(span));
            }
        }
        Ok(())
    }
}

impl<R> Authenticated<'_, R> {
    fn tokens(&self, request: Tokens) -> Result<ServerMessage, Refusal> {
        let host = self.host.as_ref().ok_or_else(|| Refusal::new(Status::Busy))?;
        verbs::tokens::serve(self.tokens, &host.0, request)
    }
}

/// Runs one request to its end and queues the answer; `hold` is let go of as that is written.
async fn answer(context: Context, message: ClientMessage, hold: Hold) {
    let reply = match verbs::serve(&context, message).await {
        Ok(reply) => reply,
        Err(refusal) if context.cancelled.is_cancelled() => {
            info!(name: REPEATED, "given up");
            (!context.is_over()).then(|| refusal.into_message())
        }
        Err(refusal) => Some(context.refuse(refusal)),
    };
    if let Some(reply) = reply {
        let (out, frame) = (context.out.clone(), reply.encode(context.id));
        // An error says that the session has ended.
        let _ = out.send_holding(frame, Box::new((context, hold))).await;
    }
}
