//! `SET_META`: time and mode of a file or directory that is there.

use crate::sealane::context::Context;
use crate::sealane::refusal::Refusal;
use sealane_base::files::FileMeta;
use sealane_base::types::RemotePath;
use sealane_protocol::ServerMessage;
use sealane_protocol::message::{Empty, SetMeta};

/// Answers `SET_META`.
pub(in crate::sealane) async fn serve(
    context: &Context,
    request: SetMeta,
) -> Result<ServerMessage, Refusal> {
    let path = RemotePath::parse(&request.path)?;
    let meta = FileMeta { modified: request.modified, mode: request.mode };
    context.run(move |home| home.set_meta(&path, meta)).await?;
    Ok(ServerMessage::Done(Empty {}))
}
