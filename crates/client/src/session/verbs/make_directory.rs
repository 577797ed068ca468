//! `MAKE_DIRECTORY`: a new directory, with its parents if asked.
use crate::session::client::Client;
use crate::session::error::SessionError;
use sealane_base::types::RemotePath;
use sealane_protocol::ClientMessage;
use sealane_protocol::message::PathFlag;

/// Asks for a directory at `path`; with `parents`, for every missing one above it too.
pub(in crate::session) async fn ask(
    client: &Client,
    path: &RemotePath,
    parents: bool,
) -> Result<(), SessionError> {
    let request = PathFlag { path: path.as_str().to_owned(), flag: parents };
    client.ask_done(ClientMessage::MakeDirectory(request)).await
}
