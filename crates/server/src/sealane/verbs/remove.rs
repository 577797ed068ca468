//! `REMOVE`: a file, an empty directory, or a directory with all it holds.

use crate::sealane::refusal::Refusal;
use crate::sealane::requests::Context;
use sealane_base::types::RemotePath;
use sealane_protocol::ServerMessage;
use sealane_protocol::message::{Empty, PathFlag};

/// Answers `REMOVE`.
pub(in crate::sealane) async fn serve(
    context: &Context,
    request: PathFlag,
) -> Result<ServerMessage, Refusal> {
    let path = RemotePath::parse(&request.path)?;
    context.blocking(move |home| home.remove(&path, request.flag)).await?;
    Ok(ServerMessage::Done(Empty {}))
}
