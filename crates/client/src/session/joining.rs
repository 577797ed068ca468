//! Further connections to a session, from the client's side.
//!
//! Whether there should be one more is for `client`; how chunks are spread is for `transfer`.

use std::sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, split};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::answers::{Pending, Shared};
use super::client::{Client, ClientSettings};
use super::error::SessionError;
use super::verbs;
use sealane_base::types::Digest;
use sealane_protocol::frame::FrameError;
use sealane_protocol::join::{self, Exporter};
use sealane_protocol::keep_alive::{heard, pong};
use sealane_protocol::message::Join;
use sealane_protocol::transfer::{Lane, Progress};
use sealane_protocol::wire::{FrameReader, FrameSender, WireError, outbox, write_frames};
use sealane_protocol::{ClientMessage, Header, Kind, ServerMessage, Side};

/// A lane is expendable: it is given up this many times sooner than the session's own connection.
const SOONER: u32 = 3;

/// A task that runs along with a session; it is told to end when this is dropped.
#[derive(Debug, Default)]
pub(super) struct Companion(StdMutex<Company>);

#[derive(Debug, Default)]
enum Company {
    /// There may be one yet.
    #[default]
    Welcome,
    Here(DropGuard, JoinHandle<()>),
    Unwanted,
}

impl Companion {
    fn lock(&self) -> MutexGuard<'_, Company> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`Client::accompany`].
    pub(super) fn accompany(&self, start: impl FnOnce(CancellationToken) -> JoinHandle<()>) {
        let mut company = self.lock();
        if !matches!(*company, Company::Unwanted) {
            let stop = CancellationToken::new();
            let task = start(stop.clone());
            *company = Company::Here(stop.drop_guard(), task);
        }
    }
}

/// Opens further connections to a session, and tells how its transfers get on.
#[derive(Clone, Debug)]
pub struct LaneControl {
    pub(super) shared: Arc<Shared>,
    pub(super) out: FrameSender,
    pub(super) next_id: Arc<Mutex<u32>>,
    pub(super) settings: ClientSettings,
}

/// A connection that has joined a session. Dropping it ends it.
#[derive(Debug)]
pub struct JoinedLane {
    reader: JoinHandle<()>,
    writer: JoinHandle<Result<(), WireError>>,
}

impl Client {
    /// What opens further connections to this session. It must be gone before [`Client::close`] can end.
    #[must_use]
    pub fn lanes(&self) -> LaneControl {
        self.control.clone()
    }

    /// Lets a task run along with the session, if it is not to stay alone: what `start` gives the token to is told
    /// to end, and waited for, when the session closes.
    pub fn accompany(&self, start: impl FnOnce(CancellationToken) -> JoinHandle<()>) {
        self.companion.accompany(start);
    }

    /// Ends what accompanies the session, which then keeps to its own connection: what comes over that
    /// alone comes in order, as a stream needs it.
    pub async fn stay_alone(&self) {
        let company = std::mem::replace(&mut *self.companion.lock(), Company::Unwanted);
        if let Company::Here(stop, task) = company {
            drop(stop);
            let _ = task.await;
        }
    }
}

impl LaneControl {
    /// At most `count` tokens, each of which opens one connection within 30 seconds.
    ///
    /// # Errors
    /// [`SessionError`]; refused with `Busy` if there is no place for another connection.
    pub async fn tokens(&self, count: u8) -> Result<Vec<Digest>, SessionError> {
        verbs::tokens::ask(self, count).await
    }

    /// Bytes verified by the transfers of this session, and the size of the largest that is under way, if one is.
    #[must_use]
    pub fn progress(&self) -> (Progress, Option<u64>) {
        (self.shared.routes.progress(), self.shared.routes.largest())
    }

    /// Joins the session over `stream`, whose other end has proved the same key. `exporters` are those of the
    /// session's own connection and of this one.
    ///
    /// Cancel safety: dropping the future closes the connection.
    ///
    /// # Errors
    /// [`SessionError::Refused`] with `JoinRefused`; [`SessionError::Connection`].
    pub async fn join<S>(
        &self,
        stream: S,
        token: &Digest,
        exporters: (&Exporter, &Exporter),
    ) -> Result<JoinedLane, SessionError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let silence = self.settings.silence / SOONER;
        let (read, write) = split(stream);
        let (out, outbox) = outbox();
        let writer = tokio::spawn(write_frames(write, outbox, silence));
        let mut reader = FrameReader::new(read, Side::Server, silence);
        // From now on chunks may overtake one another: the server may use the connection before we hear that
        // we have joined.
        self.shared.routes.expect_lanes();
        let proof = join::proof(token, exporters.0, exporters.1);
        let message = ClientMessage::Join(Join { token: *token, proof });
        out.send(message.encode(0)).await?;
        joined(&mut reader, silence).await?;
        let lane = self.shared.routes.join(out.clone());
        let reader = tokio::spawn(async move {
            // Whatever it ends with: what was on its way goes over another one.
            let _ = carry(&mut reader, &lane, &out, silence).await;
        });
        Ok(JoinedLane { reader, writer })
    }

    pub(super) async fn pending(&self, downloads: bool) -> Result<Pending, SessionError> {
        let turn = Arc::clone(&self.next_id).lock_owned().await;
        match Pending::open(self.shared.clone(), self.out.clone(), turn, downloads) {
            Some(pending) => Ok(pending),
            None => Err(self.shared.why().await),
        }
    }
}

impl JoinedLane {
    /// Whether the connection has ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.reader.is_finished()
    }

    /// Closes the connection in order. What was on its way over it goes over another one.
    pub async fn close(mut self) {
        self.reader.abort();
        let _ = (&mut self.reader).await;
        let _ = (&mut self.writer).await;
    }
}

impl Drop for JoinedLane {
    fn drop(&mut self) {
        // The lane and its sender go with the reader, and the writer ends.
        self.reader.abort();
    }
}

async fn joined<R: AsyncRead + Unpin>(
    reader: &mut FrameReader<R>,
    silence: Duration,
) -> Result<(), SessionError> {
    let header = timeout(silence, reader.header()).await;
    let header = header.map_err(|_| WireError::Stalled(silence))??.ok_or(WireError::Closed)?;
    let body = reader.body(&header).await?;
    match ServerMessage::decode(header.kind, &body).map_err(WireError::from)? {
        ServerMessage::Joined(_) => Ok(()),
        ServerMessage::Refused(refused) => Err(SessionError::Refused(refused)),
        other => Err(SessionError::Answer(other.kind())),
    }
}

async fn carry<R: AsyncRead + Unpin>(
    reader: &mut FrameReader<R>,
    lane: &Lane,
    out: &FrameSender,
    silence: Duration,
) -> Result<(), WireError> {
    loop {
        let header = tokio::select! {
            header = heard(reader, out, silence) => header?,
            () = out.closed() => return Err(WireError::Closed),
        };
        let Some(header) = header else { return Ok(()) };
        carried(&header, reader, lane, out).await?;
    }
}

async fn carried<R: AsyncRead + Unpin>(
    header: &Header,
    reader: &mut FrameReader<R>,
    lane: &Lane,
    out: &FrameSender,
) -> Result<(), WireError> {
    match header.kind {
        Kind::Chunk | Kind::Ack => lane.deliver(header, reader).await,
        Kind::Ping => pong(header, reader, out).await,
        Kind::Pong => reader.discard(header.length).await,
        kind => Err(FrameError::State(kind).into()),
    }
}
