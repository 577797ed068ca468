//! `SET_META`: time and mode of a file or directory that is there.
use crate::session::client::Client;
use crate::session::error::SessionError;
use sealane_base::files::FileMeta;
use sealane_base::types::RemotePath;
use sealane_protocol::ClientMessage;
use sealane_protocol::message::SetMeta;

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
