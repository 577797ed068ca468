//! `RENAME`: a file or directory gets another path in the same home.
use crate::session::client::Client;
use crate::session::error::SessionError;
use sealane_base::types::RemotePath;
use sealane_protocol::ClientMessage;
use sealane_protocol::message::Rename;

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
