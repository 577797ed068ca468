//! `STAT`: what is behind one path.

use crate::protocol::message::{self, PathOnly};
use crate::protocol::{ClientMessage, ServerMessage};
use crate::session::client::Client;
use crate::session::error::SessionError;
use crate::session::refusal::Refusal;
use crate::session::requests::Context;
use crate::storage::{Entry, EntryKind};
use crate::types::RemotePath;

/// Answers `STAT`.
pub(in crate::session) async fn serve(
    context: &Context,
    request: PathOnly,
) -> Result<ServerMessage, Refusal> {
    let path = RemotePath::parse(&request.path)?;
    let entry = context.blocking(move |home| home.stat(&path)).await?;
    Ok(ServerMessage::Entry(to_wire(entry)))
}

/// Asks what is at `path`.
pub(in crate::session) async fn ask(
    client: &Client,
    path: &RemotePath,
) -> Result<message::Entry, SessionError> {
    let request = PathOnly { path: path.as_str().to_owned() };
    match client.ask(ClientMessage::Stat(request)).await? {
        ServerMessage::Entry(entry) => Ok(entry),
        other => Err(SessionError::Answer(other.kind())),
    }
}

/// An entry as it travels.
pub(super) fn to_wire(entry: Entry) -> message::Entry {
    let kind = match entry.kind {
        EntryKind::File => 0,
        EntryKind::Directory => 1,
        EntryKind::Symlink => 2,
        EntryKind::Special => 3,
    };
    let Entry { name, size, modified, mode, .. } = entry;
    message::Entry { name, kind, size, modified, mode }
}
