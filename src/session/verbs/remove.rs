//! `REMOVE`: a file, an empty directory, or a directory with all it holds.

use crate::protocol::message::{Empty, PathFlag};
use crate::protocol::{ClientMessage, ServerMessage};
use crate::session::client::Client;
use crate::session::error::SessionError;
use crate::session::refusal::Refusal;
use crate::session::requests::Context;
use crate::types::RemotePath;

/// Answers `REMOVE`.
pub(in crate::session) async fn serve(
    context: &Context,
    request: PathFlag,
) -> Result<ServerMessage, Refusal> {
    let path = RemotePath::parse(&request.path)?;
    context.blocking(move |home| home.remove(&path, request.flag)).await?;
    Ok(ServerMessage::Done(Empty {}))
}

/// Asks to remove `path`; with `recursive`, a directory with all it holds.
pub(in crate::session) async fn ask(
    client: &Client,
    path: &RemotePath,
    recursive: bool,
) -> Result<(), SessionError> {
    let request = PathFlag { path: path.as_str().to_owned(), flag: recursive };
    client.ask_done(ClientMessage::Remove(request)).await
}
