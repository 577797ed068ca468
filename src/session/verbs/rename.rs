//! `RENAME`: a file or directory gets another path in the same home.

use crate::protocol::message::{Empty, Rename};
use crate::protocol::{ClientMessage, ServerMessage};
use crate::session::client::Client;
use crate::session::error::SessionError;
use crate::session::refusal::Refusal;
use crate::session::requests::Context;
use crate::types::RemotePath;

/// Answers `RENAME`.
pub(in crate::session) async fn serve(
    context: &Context,
    request: Rename,
) -> Result<ServerMessage, Refusal> {
    let from = RemotePath::parse(&request.from)?;
    let to = RemotePath::parse(&request.to)?;
    context.blocking(move |home| home.rename(&from, &to, request.replace)).await?;
    Ok(ServerMessage::Done(Empty {}))
}

/// Asks to move `from` to `to`; with `replace`, over a file that is there.
pub(in crate::session) async fn ask(
    client: &Client,
    from: &RemotePath,
    to: &RemotePath,
    replace: bool,
) -> Result<(), SessionError> {
    let (from, to) = (from.as_str().to_owned(), to.as_str().to_owned());
    client.ask_done(ClientMessage::Rename(Rename { from, to, replace })).await
}
