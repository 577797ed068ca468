//! `SET_META`: time and mode of a file or directory that is there.

use crate::protocol::message::{Empty, SetMeta};
use crate::protocol::{ClientMessage, ServerMessage};
use crate::session::client::Client;
use crate::session::error::SessionError;
use crate::session::refusal::Refusal;
use crate::session::requests::Context;
use crate::storage::FileMeta;
use crate::types::RemotePath;

/// Answers `SET_META`.
pub(in crate::session) async fn serve(
    context: &Context,
    request: SetMeta,
) -> Result<ServerMessage, Refusal> {
    let path = RemotePath::parse(&request.path)?;
    let meta = FileMeta { modified: request.modified, mode: request.mode };
    context.blocking(move |home| home.set_meta(&path, meta)).await?;
    Ok(ServerMessage::Done(Empty {}))
}

/// Asks for the time and mode of `meta` at `path`.
pub(in crate::session) async fn ask(
    client: &Client,
    path: &RemotePath,
    meta: FileMeta,
) -> Result<(), SessionError> {
    let FileMeta { modified, mode } = meta;
    let request = SetMeta { path: path.as_str().to_owned(), modified, mode };
    client.ask_done(ClientMessage::SetMeta(request)).await
}
