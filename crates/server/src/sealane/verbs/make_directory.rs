//! `MAKE_DIRECTORY`: a new directory, with its parents if asked.

use crate::sealane::context::Context;
use crate::sealane::refusal::Refusal;
use sealane_base::types::RemotePath;
use sealane_protocol::ServerMessage;
use sealane_protocol::message::{Empty, PathFlag};

/// Answers `MAKE_DIRECTORY`.
pub(in crate::sealane) async fn serve(
    context: &Context,
    request: PathFlag,
) -> Result<ServerMessage, Refusal> {
    let path = RemotePath::parse(&request.path)?;
    context.run(move |home| home.make_directory(&path, request.flag)).await?;
    Ok(ServerMessage::Done(Empty {}))
}
