//! `REMOVE`: a file, an empty directory, or a directory with all it holds.

use crate::sealane::context::Context;
use crate::sealane::refusal::Refusal;
use sealane_base::types::RemotePath;
use sealane_protocol::ServerMessage;
use sealane_protocol::message::{Empty, PathFlag};

/// Answers `REMOVE`.
pub(in crate::sealane) async fn serve(
    context: &Context,
    request: PathFlag,
) -> Result<ServerMessage, Refusal> {
    let path = RemotePath::parse(&request.path)?;
    context.run_long(move |home| home.remove(&path, request.flag)).await?;
    Ok(ServerMessage::Done(Empty {}))
}
