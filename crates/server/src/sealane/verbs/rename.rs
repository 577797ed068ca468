//! `RENAME`: a file or directory gets another path in the same home.

use crate::sealane::context::Context;
use crate::sealane::refusal::Refusal;
use sealane_base::types::RemotePath;
use sealane_protocol::ServerMessage;
use sealane_protocol::message::{Empty, Rename};

/// Answers `RENAME`.
pub(in crate::sealane) async fn serve(
    context: &Context,
    request: Rename,
) -> Result<ServerMessage, Refusal> {
    let from = RemotePath::parse(&request.from)?;
    let to = RemotePath::parse(&request.to)?;
    context.run(move |home| home.rename(&from, &to, request.replace)).await?;
    Ok(ServerMessage::Done(Empty {}))
}
