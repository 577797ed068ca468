//! `DIGEST`: the root of a file, without moving it.

use crate::protocol::message::{PathOnly, SizeRoot};
use crate::protocol::{ClientMessage, ServerMessage};
use crate::session::client::Client;
use crate::session::error::SessionError;
use crate::session::refusal::Refusal;
use crate::session::requests::Context;
use crate::storage::Source;
use crate::transfer::{self, Meter};
use crate::types::RemotePath;

/// Answers `DIGEST` by reading the file once; stops when the request is cancelled or its session
/// ends.
pub(in crate::session) async fn serve(
    context: &Context,
    request: PathOnly,
) -> Result<ServerMessage, Refusal> {
    let path = RemotePath::parse(&request.path)?;
    let source = context.blocking(move |home| home.source(&path)).await?;
    let (size, cancelled) = (source.size(), context.cancelled.clone());
    let root = tokio::task::spawn_blocking(move || {
        transfer::root_of(&source, &Meter::default(), &|| cancelled.is_cancelled())
    });
    let root = root.await.map_err(Refusal::internal)??;
    Ok(ServerMessage::DigestIs(SizeRoot { size, root }))
}

/// Asks for the size and root of the file at `path`.
pub(in crate::session) async fn ask(
    client: &Client,
    path: &RemotePath,
) -> Result<SizeRoot, SessionError> {
    let request = PathOnly { path: path.as_str().to_owned() };
    match client.ask(ClientMessage::DigestOf(request)).await? {
        ServerMessage::DigestIs(digest) => Ok(digest),
        other => Err(SessionError::Answer(other.kind())),
    }
}
