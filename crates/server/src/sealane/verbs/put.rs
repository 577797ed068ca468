//! `PUT`: a file goes to the server. The server's end of `PUT_SMALL` is in `small_files`.

use crate::sealane::context::Context;
use crate::sealane::refusal::Refusal;
use sealane_base::files::FileMeta;
use sealane_base::types::{Layout, RemotePath};
use sealane_protocol::message::{Accepted, Put, SizeRoot};
use sealane_protocol::transfer::{self, TransferError};
use sealane_protocol::{ServerMessage, Status};
use std::sync::Arc;

/// Answers `PUT`: accepts, receives, commits.
pub(in crate::sealane) async fn serve(
    context: &Context,
    request: Put,
) -> Result<ServerMessage, Refusal> {
    let path = RemotePath::parse(&request.path)?;
    let layout = Layout::for_size(request.size)?;
    if layout.chunk_log2() != request.chunk_log2 {
        return Err(Refusal::new(Status::TooLarge));
    }
    let meta = FileMeta { modified: request.modified, mode: request.mode };
    let sink = context.login.upload(path, Some(request.size), meta).await?;
    let superseded = sink.superseded();
    let claims = sink.held() > 0 && layout.whole_chunks(sink.held()) > 0;
    let (route, end) = context.receive(layout).ok_or(TransferError::Interrupted)?;
    let pieces = (claims && sink.present() > 0).then_some(true);
    let accepted = ServerMessage::Accepted(Accepted { claims, pieces }).encode(context.id);
    // A peer that takes nothing any more does not keep the place either.
    tokio::select! {
        sent = context.out.send(accepted) => sent.map_err(|_| TransferError::Interrupted)?,
        () = superseded.cancelled() => return Err(Refusal::new(Status::Superseded)),
    }
    let (queue, out, meter) = (context.login.queue(), context.out.clone(), Arc::default());
    let replaced = sink.replaced();
    let work = transfer::receive(queue, sink, claims, end, out, meter);
    let mut work = std::pin::pin!(work);
    let received = tokio::select! {
        received = &mut work => received,
        () = superseded.cancelled() => {
            // The older upload lets go of the partial at once, however dead its connection is.
            drop(route);
            let _ = work.await;
            return Err(Refusal::new(Status::Superseded));
        }
    };
    // The new version is there: nobody need wait until what the old one took is free.
    let queue = queue.clone();
    tokio::spawn(async move { queue.run_long(move || drop(replaced)).await });
    let outcome = received?;
    Ok(ServerMessage::Committed(SizeRoot { size: outcome.size, root: outcome.root }))
}
