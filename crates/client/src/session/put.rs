//! `PUT`: a file goes to the server. The server's end of `PUT_SMALL` is in `small_files`.

use std::sync::Arc;

use super::answers::Reply;
use super::error::SessionError;
use super::get::WholeFile;
use super::handle::Session;
use sealane_base::files::{FileMeta, Source};
use sealane_base::types::{Layout, RemotePath};
use sealane_protocol::message::{Accepted, Put, PutSmall};
use sealane_protocol::transfer::{self, Held, Meter, Outcome, TransferError};
use sealane_protocol::{ClientMessage, Kind, ServerMessage};

/// Uploads `source` to `path`: in one message if it is one chunk, else by reconciling.
pub(crate) async fn upload(
    session: &Session,
    path: &RemotePath,
    source: Arc<dyn Source>,
    meta: FileMeta,
    meter: Arc<Meter>,
) -> Result<Outcome, SessionError> {
    let layout = Layout::for_size(source.size())
        .map_err(|_| TransferError::Protocol("the file is larger than any file may be"))?;
    if layout.count() == 1 {
        upload_small(session, path, source, meta, meter).await
    } else {
        upload_large(session, path, source, layout, meta, meter).await
    }
}

async fn upload_small(
    session: &Session,
    path: &RemotePath,
    source: Arc<dyn Source>,
    meta: FileMeta,
    meter: Arc<Meter>,
) -> Result<Outcome, SessionError> {
    let load = move || transfer::load_whole(source.as_ref());
    let (digest, bytes, grew) = session.queue().run(load).await?;
    let outcome = upload_whole(session, path, WholeFile { digest, meta, bytes }, &meter).await?;
    Ok(Outcome { grew, ..outcome })
}

/// Uploads a file of one chunk in one message.
pub(crate) async fn upload_whole(
    session: &Session,
    path: &RemotePath,
    file: WholeFile,
    meter: &Meter,
) -> Result<Outcome, SessionError> {
    let WholeFile { digest, meta: FileMeta { modified, mode }, bytes } = file;
    let size = bytes.len() as u64;
    let request = PutSmall { path: path.as_str().to_owned(), digest, modified, mode };
    match session.ask(ClientMessage::PutSmall(request, bytes)).await? {
        ServerMessage::Committed(committed) if committed.root == digest => {
            meter.moved(size);
            Ok(Outcome { size, root: digest, moved: size, reused: 0, grew: false })
        }
        other => Err(SessionError::Answer(other.kind())),
    }
}

async fn upload_large(
    session: &Session,
    path: &RemotePath,
    source: Arc<dyn Source>,
    layout: Layout,
    meta: FileMeta,
    meter: Arc<Meter>,
) -> Result<Outcome, SessionError> {
    let FileMeta { modified, mode } = meta;
    let request = Put {
        path: path.as_str().to_owned(),
        size: layout.size(),
        chunk_log2: layout.chunk_log2(),
        modified,
        mode,
    };
    let _permit = session.transfer_permit().await?;
    let mut pending = session.pending(false).await?;
    let (_route, end) = session.routes().send(pending.id(), source.size());
    pending.send(ClientMessage::Put(request)).await?;
    let held = match pending.message().await? {
        ServerMessage::Accepted(Accepted { claims, pieces }) => {
            Held { have_list: claims, pieces: pieces.unwrap_or(false), is_ready: true }
        }
        other => return Err(SessionError::Answer(other.kind())),
    };
    let (queue, out) = (session.queue(), session.sender());
    match transfer::send(queue, source, layout, held, end, out, meter).await {
        Ok(outcome) => match pending.message().await? {
            ServerMessage::Committed(committed) if committed.root == outcome.root => Ok(outcome),
            other => Err(SessionError::Answer(other.kind())),
        },
        // The server's word, if it said one, tells more than that the transfer was interrupted.
        Err(TransferError::Interrupted) => match pending.reply().await? {
            Reply::Message(message) => Err(SessionError::Answer(message.kind())),
            Reply::Offer(..) => Err(SessionError::Answer(Kind::Offer)),
        },
        Err(error) => {
            pending.cancel().await;
            Err(error.into())
        }
    }
}
