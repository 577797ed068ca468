//! `MAKE_DIRECTORY`: a new directory, with its parents if asked.

use crate::protocol::message::{Empty, PathFlag};
use crate::protocol::{ClientMessage, ServerMessage};
use crate::session::client::Client;
use crate::session::error::SessionError;
use crate::session::refusal::Refusal;
use crate::session::requests::Context;
use crate::types::RemotePath;

/// Answers `MAKE_DIRECTORY`.
pub(in crate::session) async fn serve(
    context: &Context,
    request: PathFlag,
) -> Result<ServerMessage, Refusal> {
    let path = RemotePath::parse(&request.path)?;
    context.blocking(move |home| home.make_directory(&path, request.flag)).await?;
    Ok(ServerMessage::Done(Empty {}))
}

/// Asks for a directory at `path`; with `parents`, for every missing one above it too.
pub(in crate::session) async fn ask(
    client: &Client,
    path: &RemotePath,
    parents: bool,
) -> Result<(), SessionError> {
    let request = PathFlag { path: path.as_str().to_owned(), flag: parents };
    client.ask_done(ClientMessage::MakeDirectory(request)).await
}
