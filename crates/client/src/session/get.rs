//! `GET`: a file comes from the server.
use super::answers::{Pending, Reply};
use super::error::SessionError;
use super::handle::Session;
use sealane_base::files::{FileMeta, Sink, StorageError};
use sealane_base::types::{Digest, RemotePath};
use sealane_protocol::message::{Get, Offer};
use sealane_protocol::transfer::{self, Meter, Outcome, ReceivingEnd, TransferError};
use sealane_protocol::{ClientMessage, ServerMessage, Status, limits};
use std::sync::Arc;

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

/// Where a download goes, decided once its size is known.
pub(crate) type OpenSink =
    Box<dyn FnOnce(u64, FileMeta) -> Result<Arc<dyn Sink>, StorageError> + Send>;

/// Downloads `path` into the sink that `open` makes; `holds` says that it may hold something.
pub(crate) async fn download(
    session: &Session,
    path: &RemotePath,
    holds: bool,
    open: OpenSink,
    meter: Arc<Meter>,
) -> Result<Outcome, SessionError> {
    let mut pending = session.pending(true).await?;
    let pieces = holds.then_some(true);
    let path = path.as_str().to_owned();
    let request = Get { path, claims: holds, pieces, small: None };
    pending.send(ClientMessage::Get(request)).await?;
    match pending.reply().await? {
        Reply::Offer(offer, _route, end) => {
            receive(session, pending, offer, end, holds, open, meter).await
        }
        Reply::Message(ServerMessage::File(file, bytes)) => {
            let meta = FileMeta { modified: file.modified, mode: file.mode };
            let store = move || {
                let sink = open(bytes.len() as u64, meta)?;
                transfer::store_whole(sink.as_ref(), file.digest, &bytes, &meter)
            };
            Ok(session.queue().run_long(store).await?)
        }
        Reply::Message(other) => Err(SessionError::Answer(other.kind())),
    }
}

/// Fetches a file of one chunk into memory; `None` if it turns out to be larger.
pub(crate) async fn download_whole(
    session: &Session,
    path: &RemotePath,
    expected: u64,
) -> Result<Option<WholeFile>, SessionError> {
    let is_small = expected <= limits::AT_ONCE;
    let mut pending = session.pending(true).await?;
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
    session: &Session,
    mut pending: Pending,
    offer: Offer,
    end: ReceivingEnd,
    holds: bool,
    open: OpenSink,
    meter: Arc<Meter>,
) -> Result<Outcome, SessionError> {
    let meta = FileMeta { modified: offer.modified, mode: offer.mode };
    let (queue, out) = (session.queue(), session.sender());
    let received = match queue.run_long(move || open(offer.size, meta)).await {
        Ok(sink) => transfer::receive(queue, sink, holds, end, out, meter).await,
        Err(error) => Err(error.into()),
    };
    match received {
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
