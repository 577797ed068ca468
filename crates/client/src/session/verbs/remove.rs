//! `REMOVE`: a file, an empty directory, or a directory with all it holds.
use crate::session::client::Client;
use crate::session::error::SessionError;
use sealane_base::types::RemotePath;
use sealane_protocol::ClientMessage;
use sealane_protocol::message::PathFlag;

/// Asks to remove `path`; with `recursive`, a directory with all it holds.
pub(in crate::session) async fn ask(
    client: &Client,
    path: &RemotePath,
    recursive: bool,
) -> Result<(), SessionError> {
    let request = PathFlag { path: path.as_str().to_owned(), flag: recursive };
    client.ask_done(ClientMessage::Remove(request)).await
}
