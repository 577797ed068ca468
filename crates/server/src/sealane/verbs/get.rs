//! `GET`: a file comes from the server.

use std::sync::Arc;

use crate::sealane::context::Context;
use crate::sealane::refusal::Refusal;
use sealane_base::files::{FileMeta, Source};
use sealane_base::types::{Layout, RemotePath};
use sealane_protocol::message::{File, Get, Offer};
use sealane_protocol::transfer::{self, Held, TransferError};
use sealane_protocol::{ServerMessage, Status, limits};

/// The answer to a `GET` that expects a small file. Blocks.
pub(in crate::sealane) fn load_small(source: &dyn Source) -> Result<ServerMessage, Refusal> {
    if source.size() > limits::AT_ONCE {
        return Err(Refusal::new(Status::TooLarge));
    }
    Ok(load(source)?)
}

/// A whole file as it is sent. Blocks.
fn load(source: &dyn Source) -> Result<ServerMessage, TransferError> {
    let (digest, bytes, _) = transfer::load_whole(source)?;
    let FileMeta { modified, mode } = source.meta();
    Ok(ServerMessage::File(File { digest, modified, mode }, bytes))
}

/// Answers `GET`: offers, then sends what differs. Nothing is said after the end.
pub(in crate::sealane) async fn serve(
    context: &Context,
    request: Get,
) -> Result<Option<ServerMessage>, Refusal> {
    let (path, claims) = (RemotePath::parse(&request.path)?, request.claims);
    let held = Held { have_list: claims, pieces: request.pieces.unwrap_or(false), is_ready: false };
    let opened = context.run(move |home| home.source(&path).map(|it| open(it, claims))).await?;
    let source = match opened {
        Opened::Loaded(file) => return Ok(Some(file?)),
        Opened::Unread(source) => source,
    };
    let layout = Layout::for_size(source.size())?;
    let FileMeta { modified, mode } = source.meta();
    if layout.count() == 1 && !claims {
        context.reserve_answer(u32::try_from(source.size()).unwrap_or(u32::MAX)).await?;
        let file = context.login.queue().run(move || load(&*source)).await?;
        return Ok(Some(file));
    }
    let Some(_turn) = context.transfer_turn().await else { return Ok(None) };
    let Some((_route, end)) = context.send(layout.size()) else { return Ok(None) };
    let chunk_log2 = layout.chunk_log2();
    let offer = Offer { size: layout.size(), chunk_log2, modified, mode };
    if context.out.send(ServerMessage::Offer(offer).encode(context.id)).await.is_err() {
        return Ok(None);
    }
    let (queue, out, meter) = (context.login.queue(), context.out.clone(), Arc::default());
    match transfer::send(queue, source, layout, held, end, out, meter).await {
        // An interruption is the client's doing: it cancelled or went away.
        Ok(_) | Err(TransferError::Interrupted) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A file to be sent.
enum Opened {
    /// So small that every request of a session may hold one.
    Loaded(Result<ServerMessage, TransferError>),
    Unread(Arc<dyn Source>),
}

fn open(source: Arc<dyn Source>, claims: bool) -> Opened {
    if claims || source.size() > limits::AT_ONCE {
        return Opened::Unread(source);
    }
    Opened::Loaded(load(&*source))
}
