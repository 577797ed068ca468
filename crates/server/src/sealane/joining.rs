//! Further connections to a session, from the server's side: how they join and what they may say.
//!
//! Such a connection lives as long as its session at most and moves chunks; it cannot ask for
//! anything. Who may join is judged by `tokens`.

use std::sync::atomic::Ordering;

use tokio::io::AsyncRead;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::settings::{Ended, Limits, Sealane};
use super::tokens::{Joiner, Shared};
use sealane_base::types::text::REPEATED;
use sealane_core::service::Connection;
use sealane_protocol::frame::FrameError;
use sealane_protocol::join::Exporter;
use sealane_protocol::keep_alive::pong;
use sealane_protocol::message::{Empty, Refused};
use sealane_protocol::transfer::PooledConnection;
use sealane_protocol::wire::{FrameReader, FrameSender, WireError};
use sealane_protocol::{ClientMessage, Header, Kind, ServerMessage, Status};

/// Takes the rest of a `JOIN`; `None` if it is refused, which the peer was told and which counts as
/// a failed login of its source.
pub(super) async fn admit<R: AsyncRead + Unpin>(
    header: &Header,
    reader: &mut FrameReader<R>,
    out: &FrameSender,
    door: &Sealane,
    exporter: Option<&Exporter>,
    connection: &Connection,
) -> Result<Option<Joiner>, WireError> {
    if header.id != 0 {
        return Err(FrameError::Id(header.id).into());
    }
    let body = zeroize::Zeroizing::new(reader.body(header).await?);
    let ClientMessage::Join(join) = ClientMessage::decode(Kind::Join, &body)? else {
        return Err(FrameError::State(header.kind).into());
    };
    let mut joiner = exporter.and_then(|own| door.tokens.redeem(&join, own, Instant::now()));
    if let Some(joining) = &joiner
        && !door.service.join(connection, &joining.shared.login).await
    {
        joiner = None;
    }
    if joiner.is_none() {
        let peer = connection.peer().ip();
        warn!(name: REPEATED, %peer, "a further connection was refused");
        door.service.accounts().join_refused(peer);
        let refused = ServerMessage::Refused(Refused::new(Status::JoinRefused));
        out.send(refused.encode(0)).await?;
    }
    Ok(joiner)
}

/// Serves a connection that has joined, until it or its session ends.
pub(super) async fn serve<R: AsyncRead + Unpin>(
    joiner: Joiner,
    mut reader: FrameReader<R>,
    out: FrameSender,
    limits: Limits,
) -> Result<Ended, WireError> {
    let shared = &joiner.shared;
    tracing::Span::current().record("user", shared.login.principal().name().as_str());
    info!(session = shared.login.session(), "joined a session");
    let joined = shared.routes.join(out.clone());
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
            taken = frame(&header, &mut reader, &joined, &out, shared) => taken,
            () = shared.over.cancelled() => return Ok(Ended::WithSession),
        };
        taken?;
    }
}

async fn frame<R: AsyncRead + Unpin>(
    header: &Header,
    reader: &mut FrameReader<R>,
    joined: &PooledConnection,
    out: &FrameSender,
    shared: &Shared,
) -> Result<(), WireError> {
    match header.kind {
        Kind::Chunk | Kind::Ack if header.id <= shared.last_id.load(Ordering::Acquire) => {
            joined.deliver(header, reader).await
        }
        Kind::Ping => pong(header, reader, out).await,
        Kind::Pong => reader.discard(header.length).await,
        kind => Err(FrameError::State(kind).into()),
    }
}
