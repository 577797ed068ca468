//! `RECEIPT`: the server's signature under what a file holds.

use crate::protocol::message::{ReceiptIs, ReceiptOf};
use crate::protocol::receipt::Receipt;
use crate::protocol::{ClientMessage, ServerMessage, Status};
use crate::session::client::Client;
use crate::session::error::SessionError;
use crate::session::refusal::Refusal;
use crate::session::requests::Context;
use crate::storage::Source;
use crate::transfer::{self, Meter};
use crate::types::{Pin, RemotePath};

/// Answers `RECEIPT` for what is on the disk now: the file is read once more.
pub(in crate::session) async fn serve(
    context: &Context,
    request: ReceiptOf,
) -> Result<ServerMessage, Refusal> {
    let path = RemotePath::parse(&request.path)?;
    // A receipt names a path of the account, and whoever sees a part of it knows another one.
    if !context.caller.principal.grant().root.is_root() {
        return Err(Refusal::new(Status::Forbidden));
    }
    let of = path.clone();
    let source = context.blocking(move |home| home.source(&of)).await?;
    let Some((account, notary)) = context.notary.clone() else {
        return Err(Refusal::internal("no key to sign with"));
    };
    let (size, cancelled) = (source.size(), context.cancelled.clone());
    let root = tokio::task::spawn_blocking(move || {
        transfer::root_of(&source, &Meter::default(), &|| cancelled.is_cancelled())
    });
    let root = root.await.map_err(Refusal::internal)??;
    let receipt = Receipt { account, path, size, root, time: (notary.now)() };
    let key = notary.key(request.pin.as_ref().map(|pin| &pin.0[..]));
    let key = key.ok_or_else(|| Refusal::internal("no key to sign with"))?;
    let signature = key.sign(receipt.text().as_bytes());
    let signature = signature.ok_or_else(|| Refusal::internal("the key does not sign"))?;
    let (account, time) = (receipt.account.to_string(), receipt.time);
    let public_key = key.public_key();
    let answer = ReceiptIs { account, size, root, time, public_key, signature };
    Ok(ServerMessage::ReceiptIs(answer))
}

/// Asks for a receipt of the file at `path`, signed with the key of `pin` if the server has it.
pub(in crate::session) async fn ask(
    client: &Client,
    path: &RemotePath,
    pin: Option<&Pin>,
) -> Result<ReceiptIs, SessionError> {
    let pin = pin.map(|pin| crate::types::Digest(*pin.as_bytes()));
    let request = ReceiptOf { path: path.as_str().to_owned(), pin };
    match client.ask(ClientMessage::ReceiptOf(request)).await? {
        ServerMessage::ReceiptIs(receipt) => Ok(receipt),
        other => Err(SessionError::Answer(other.kind())),
    }
}
