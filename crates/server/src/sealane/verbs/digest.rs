//! `DIGEST`: the root of a file, without moving it.

use std::sync::Arc;

use crate::sealane::context::Context;
use crate::sealane::refusal::Refusal;
use sealane_base::files::Source;
use sealane_base::types::{Digest, RemotePath};
use sealane_protocol::ServerMessage;
use sealane_protocol::message::{PathOnly, SizeRoot};
use sealane_protocol::transfer::{TransferError, root_in_turns};

/// Reads a file until the request is cancelled or its session ends.
pub(super) async fn root_of(
    context: &Context,
    source: Arc<dyn Source>,
) -> Result<Digest, TransferError> {
    tokio::select! {
        root = root_in_turns(context.login.queue(), source) => root,
        () = context.cancelled.cancelled() => Err(TransferError::Interrupted),
    }
}

/// Answers `DIGEST` by reading the file once; stops when the request is cancelled or its session
/// ends.
pub(in crate::sealane) async fn serve(
    context: &Context,
    request: PathOnly,
) -> Result<ServerMessage, Refusal> {
    let path = RemotePath::parse(&request.path)?;
    let source = context.run(move |home| home.source(&path)).await?;
    let (size, root) = (source.size(), root_of(context, source).await?);
    Ok(ServerMessage::DigestIs(SizeRoot { size, root }))
}
