//! `GET`: a file comes from the server.

use std::sync::Arc;

use crate::protocol::message::{File, Get, Offer};
use crate::protocol::{ClientMessage, ServerMessage, Status, limits};
use crate::session::answers::{Pending, Reply};
use crate::session::client::Client;
use crate::session::error::SessionError;
use crate::session::refusal::Refusal;
use crate::session::requests::Context;
use crate::storage::{FileMeta, FileSource, Sink, Source, Sources, StorageError};
use crate::transfer::{self, Held, Meter, Outcome, ReceivingEnd, TransferError};
use crate::types::{Digest, Layout, RemotePath};

/// A small file as it arrived.
#[derive(Debug)]
pub struct WholeFile {
    /// Its BLAKE3, as the server says.
    pub digest: Digest,
    /// Its time and mode.
    pub meta: FileMeta,
    /// What it holds.
    pub bytes: Vec<u8>,
}

/// The answer to a `GET` that expects a small file. Blocks.
pub(in crate::session) fn load_small(
    sources: &mut Sources<'_>,
    path: &str,
) -> Result<ServerMessage, Refusal> {
    let source = sources.open(&RemotePath::parse(path)?)?;
    if source.size() > limits::AT_ONCE {
        return Err(Refusal::new(Status::TooLarge));
    }
    Ok(load(&source)?)
}

/// A whole file as it is sent. Blocks.
fn load(source: &FileSource) -> Result<ServerMessage, TransferError> {
    let (digest, bytes, _) = transfer::load_whole(source)?;
    let FileMeta { modified, mode } = source.meta();
    Ok(ServerMessage::File(File { digest, modified, mode }, bytes))
}

/// Answers `GET`: offers, then sends what differs. Nothing is said after the end.
pub(in crate::session) async fn serve(
    context: &Context,
    request: Get,
) -> Result<Option<ServerMessage>, Refusal> {
    let (path, claims) = (RemotePath::parse(&request.path)?, request.claims);
    let held = Held { claims, pieces: request.pieces.unwrap_or(false), is_ready: false };
    let opened =
        context.blocking(move |home| home.source(&path).map(|it| open(it, claims))).await?;
    let source = match opened {
        Opened::Loaded(file) => return answer_whole(context, file?).await,
        Opened::Unread(source) => source,
    };
    let layout = Layout::for_size(source.size())?;
    let FileMeta { modified, mode } = source.meta();
    if layout.count() == 1 && !claims {
        let Some(_memory) = context.memory_for(source.size()).await else { return Ok(None) };
        let file = tokio::task::spawn_blocking(move || load(&source)).await;
        return answer_whole(context, file.map_err(Refusal::internal)??).await;
    }
    let Some(_turn) = context.transfer_turn().await else { return Ok(None) };
    let Some((_route, end)) = context.send(layout.size()) else { return Ok(None) };
    let chunk_log2 = layout.chunk_log2();
    let offer = Offer { size: layout.size(), chunk_log2, modified, mode };
    if context.out.send(ServerMessage::Offer(offer).encode(context.id)).await.is_err() {
        return Ok(None);
    }
    let out = context.out.clone();
    let sent = tokio::task::spawn_blocking(move || {
        transfer::send(&source, layout, held, end, &out, &Meter::default())
    });
    match sent.await.map_err(Refusal::internal)? {
        // An interruption is the client's doing: it cancelled or went away.
        Ok(_) | Err(TransferError::Interrupted) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A file to be sent.
enum Opened {
    /// So small that every request of a session may hold one.
    Loaded(Result<ServerMessage, TransferError>),
    Unread(FileSource),
}

fn open(source: FileSource, claims: bool) -> Opened {
    if claims || source.size() > limits::AT_ONCE {
        return Opened::Unread(source);
    }
    Opened::Loaded(load(&source))
}

/// Sends a whole small file, so that its memory is counted until it is on its way.
async fn answer_whole(
    context: &Context,
    file: ServerMessage,
) -> Result<Option<ServerMessage>, Refusal> {
    // If the session has ended, nobody waits for this answer.
    let _ = context.out.send(file.encode(context.id)).await;
    Ok(None)
}

/// Where a download goes, decided once its size is known.
pub(in crate::session) type OpenSink =
    Box<dyn FnOnce(u64, FileMeta) -> Result<Arc<dyn Sink>, StorageError> + Send>;

/// Downloads `path` into the sink that `open` makes; `holds` says that it may hold something.
pub(in crate::session) async fn ask(
    client: &Client,
    path: &RemotePath,
    holds: bool,
    open: OpenSink,
    meter: Arc<Meter>,
) -> Result<Outcome, SessionError> {
    let mut pending = client.pending(true).await?;
    let pieces = holds.then_some(true);
    let path = path.as_str().to_owned();
    let request = Get { path, claims: holds, pieces, small: None };
    pending.send(ClientMessage::Get(request)).await?;
    match pending.reply().await? {
        Reply::Offer(offer, _route, end) => {
            receive(client, pending, offer, end, holds, open, meter).await
        }
        Reply::Message(ServerMessage::File(file, bytes)) => {
            let meta = FileMeta { modified: file.modified, mode: file.mode };
            let stored = tokio::task::spawn_blocking(move || {
                let sink = open(bytes.len() as u64, meta)?;
                transfer::store_whole(sink.as_ref(), file.digest, &bytes, &meter)
            });
            Ok(stored.await.map_err(|_| TransferError::Thread)??)
        }
        Reply::Message(other) => Err(SessionError::Answer(other.kind())),
    }
}

/// Fetches a file of one chunk into memory; `None` if it turns out to be larger.
pub(in crate::session) async fn ask_whole(
    client: &Client,
    path: &RemotePath,
    expected: u64,
) -> Result<Option<WholeFile>, SessionError> {
    // A server that does not know this key passes over it.
    let is_small = expected <= limits::AT_ONCE;
    let mut pending = client.pending(true).await?;
    let (path, small) = (path.as_str().to_owned(), is_small.then_some(true));
    let request = Get { path, claims: false, pieces: None, small };
    pending.send(ClientMessage::Get(request)).await?;
    let reply = match pending.reply().await {
        Err(error) if is_small && error.status() == Some(Status::TooLarge) => return Ok(None),
        reply => reply?,
    };
    match reply {
        Reply::Offer(..) => {
            pending.cancel().await;
            Ok(None)
        }
        Reply::Message(ServerMessage::File(file, bytes)) => {
            let meta = FileMeta { modified: file.modified, mode: file.mode };
            Ok(Some(WholeFile { digest: file.digest, meta, bytes }))
        }
        Reply::Message(other) => Err(SessionError::Answer(other.kind())),
    }
}

async fn receive(
    client: &Client,
    mut pending: Pending,
    offer: Offer,
    end: ReceivingEnd,
    holds: bool,
    open: OpenSink,
    meter: Arc<Meter>,
) -> Result<Outcome, SessionError> {
    let meta = FileMeta { modified: offer.modified, mode: offer.mode };
    let out = client.sender();
    let received = tokio::task::spawn_blocking(move || {
        let sink = open(offer.size, meta)?;
        transfer::receive(&sink, holds, end, &out, &meter)
    });
    match received.await.map_err(|_| TransferError::Thread)? {
        Ok(outcome) => Ok(outcome),
        Err(TransferError::Interrupted) => match pending.reply().await? {
            Reply::Message(other) => Err(SessionError::Answer(other.kind())),
            Reply::Offer(..) => Err(TransferError::Interrupted.into()),
        },
        Err(error) => {
            pending.cancel().await;
            Err(error.into())
        }
    }
}

/// The layout an offer describes, if it is one that a sender would choose.
pub(in crate::session) fn offered_layout(offer: &Offer) -> Option<Layout> {
    Layout::for_size(offer.size).ok().filter(|layout| layout.chunk_log2() == offer.chunk_log2)
}
