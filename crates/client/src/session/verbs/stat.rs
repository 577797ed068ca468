//! `STAT`: what is behind one path.
use crate::session::client::Client;
use crate::session::error::SessionError;
use sealane_base::types::RemotePath;
use sealane_protocol::message::{self, PathOnly};
use sealane_protocol::{ClientMessage, ServerMessage};

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
