//! `RECEIPT`: the server's signature under what a file holds.
use crate::session::client::Client;
use crate::session::error::SessionError;
use sealane_base::types::{Pin, RemotePath};
use sealane_protocol::message::{ReceiptIs, ReceiptOf};
use sealane_protocol::{ClientMessage, ServerMessage};

/// Asks for a receipt of the file at `path`, signed with the key of `pin` if the server has it.
pub(in crate::session) async fn ask(
    client: &Client,
    path: &RemotePath,
    pin: Option<&Pin>,
) -> Result<ReceiptIs, SessionError> {
    let pin = pin.map(|pin| sealane_base::types::Digest(*pin.as_bytes()));
    let request = ReceiptOf { path: path.as_str().to_owned(), pin };
    match client.ask(ClientMessage::ReceiptOf(request)).await? {
        ServerMessage::ReceiptIs(receipt) => Ok(receipt),
        other => Err(SessionError::Answer(other.kind())),
    }
}
