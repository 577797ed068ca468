//! `DIGEST`: the root of a file, without moving it.

use crate::sealane::refusal::Refusal;
use crate::sealane::requests::Context;
use sealane_base::types::RemotePath;
use sealane_protocol::ServerMessage;
use sealane_protocol::message::{PathOnly, SizeRoot};
use sealane_protocol::transfer::{self, Meter};

/// Answers `DIGEST` by reading the file once; stops when the request is cancelled or its session
/// ends.
pub(in crate::sealane) async fn serve(
    context: &Context,
    request: PathOnly,
) -> Result<ServerMessage, Refusal> {
    let path = RemotePath::parse(&request.path)?;
    let source = context.blocking(move |home| home.source(&path)).await?;
    let (size, cancelled) = (source.size(), context.cancelled.clone());
    let root = tokio::task::spawn_blocking(move || {
        transfer::root_of(&*source, &Meter::default(), &|| cancelled.is_cancelled())
    });
    let root = root.await.map_err(Refusal::internal)??;
    Ok(ServerMessage::DigestIs(SizeRoot { size, root }))
}
