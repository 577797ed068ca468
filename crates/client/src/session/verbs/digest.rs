//! `DIGEST`: the root of a file, without moving it.
use crate::session::client::Client;
use crate::session::error::SessionError;
use sealane_base::types::RemotePath;
use sealane_protocol::message::{PathOnly, SizeRoot};
use sealane_protocol::{ClientMessage, ServerMessage};

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
