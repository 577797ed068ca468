//! Further connections to a session, from the client's side.
//!
//! Whether there should be one more is for the pool; how chunks are spread is for `transfer`.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, split};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::answers::{Pending, Shared};
use super::error::SessionError;
use sealane_base::types::Digest;
use sealane_protocol::frame::FrameError;
use sealane_protocol::join::{self, Exporter};
use sealane_protocol::keep_alive::{heard, pong};
use sealane_protocol::message::{Join, Tokens, TokensAre};
use sealane_protocol::transfer::{PooledConnection, Progress};
use sealane_protocol::wire::{FrameReader, FrameSender, WireError, outbox, write_frames};
use sealane_protocol::{ClientMessage, Header, Kind, ServerMessage, Side};

/// A further connection is expendable: it is given up this many times sooner than the session's own
/// connection.
const SOONER: u32 = 3;

/// Opens further connections to a session, and tells how its transfers get on.
#[derive(Clone, Debug)]
pub struct Joiner {
    pub(super) shared: Arc<Shared>,
    pub(super) out: FrameSender,
    pub(super) next_id: Arc<Mutex<u32>>,
    pub(super) silence: Duration,
}

/// A connection that has joined a session. Dropping it ends it.
#[derive(Debug)]
pub struct JoinedConnection {
    reader: JoinHandle<()>,
    writer: JoinHandle<Result<(), WireError>>,
}

impl Joiner {
    /// Waits until the login has succeeded; false if it fails.
    pub(crate) async fn ready(&self) -> bool {
        self.shared.logged_in().await.is_ok()
    }

    /// At most `count` tokens, each of which opens one connection within 30 seconds.
    ///
    /// # Errors
    /// [`SessionError`]; refused with `Busy` if there is no place for another connection.
    pub async fn tokens(&self, count: u8) -> Result<Vec<Digest>, SessionError> {
        match self.ask(ClientMessage::Tokens(Tokens { count })).await? {
            ServerMessage::TokensAre(TokensAre { tokens }) if tokens.len() <= count.into() => {
                Ok(tokens)
            }
            _ => Err(SessionError::Answer(Kind::TokensAre)),
        }
    }

    /// Bytes verified by the transfers of this session, and the size of the largest that is under
    /// way, if one is.
    #[must_use]
    pub fn progress(&self) -> (Progress, Option<u64>) {
        (self.shared.routes.progress(), self.shared.routes.largest())
    }

    /// Joins the session over `stream`, whose other end has proved the same key. `exporters` are
    /// those of the session's own connection and of this one.
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
    ) -> Result<JoinedConnection, SessionError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let silence = self.silence / SOONER;
        let (read, write) = split(stream);
        let (out, outbox) = outbox();
        let writer = tokio::spawn(write_frames(write, outbox, silence));
        let mut reader = FrameReader::new(read, Side::Server, silence);
        // From now on chunks may overtake one another: the server may use the connection before we
        // hear that we have joined.
        self.shared.routes.expect_connections();
        let proof = join::proof(token, exporters.0, exporters.1);
        let message = ClientMessage::Join(Join { token: *token, proof });
        out.send(message.encode(0)).await?;
        joined(&mut reader, silence).await?;
        let lane = self.shared.routes.join(out.clone());
        let reader = tokio::spawn(async move {
            // Whatever it ends with: what was on its way goes over another one.
            let _ = carry(&mut reader, &lane, &out, silence).await;
        });
        Ok(JoinedConnection { reader, writer })
    }

    pub(super) async fn ask(&self, message: ClientMessage) -> Result<ServerMessage, SessionError> {
        let mut pending = self.pending(false).await?;
        pending.send(message).await?;
        pending.message().await
    }

    pub(super) async fn pending(&self, downloads: bool) -> Result<Pending, SessionError> {
        let (shared, out, next_id) = (self.shared.clone(), self.out.clone(), self.next_id.clone());
        match Pending::open(shared, out, next_id, downloads).await {
            Some(pending) => Ok(pending),
            None => Err(self.shared.why().await),
        }
    }
}

impl JoinedConnection {
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

impl Drop for JoinedConnection {
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
    lane: &PooledConnection,
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
    lane: &PooledConnection,
    out: &FrameSender,
) -> Result<(), WireError> {
    match header.kind {
        Kind::Chunk | Kind::Ack => lane.deliver(header, reader).await,
        Kind::Ping => pong(header, reader, out).await,
        Kind::Pong => reader.discard(header.length).await,
        kind => Err(FrameError::State(kind).into()),
    }
}
