//! `RECEIPT`: the server's signature under what a file holds.

use crate::sealane::refusal::Refusal;
use crate::sealane::requests::Context;
use sealane_base::types::RemotePath;
use sealane_protocol::ServerMessage;
use sealane_protocol::message::{ReceiptIs, ReceiptOf};
use sealane_protocol::receipt::Receipt;
use sealane_protocol::transfer::{self, Meter};

/// Answers `RECEIPT` for what is on the disk now: the file is read once more.
pub(in crate::sealane) async fn serve(
    context: &Context,
    request: ReceiptOf,
) -> Result<ServerMessage, Refusal> {
    let path = RemotePath::parse(&request.path)?;
    let of = path.clone();
    let source = context.blocking(move |home| home.source_for_receipt(&of)).await?;
    let no_key = || Refusal::internal("no key to sign with");
    let signer = context.signer.clone().ok_or_else(no_key)?;
    let account = context.login.principal().name().clone();
    let (size, cancelled) = (source.size(), context.cancelled.clone());
    let root = tokio::task::spawn_blocking(move || {
        transfer::root_of(&*source, &Meter::default(), &|| cancelled.is_cancelled())
    });
    let root = root.await.map_err(Refusal::internal)??;
    let receipt = Receipt { account, path, size, root, time: (signer.now)() };
    let key = signer.key(request.pin.as_ref().map(|pin| &pin.0[..]));
    let key = key.ok_or_else(no_key)?;
    let signature = key.sign(receipt.text().as_bytes());
    let signature = signature.ok_or_else(|| Refusal::internal("the key does not sign"))?;
    let (account, time) = (receipt.account.to_string(), receipt.time);
    let public_key = key.public_key();
    let answer = ReceiptIs { account, size, root, time, public_key, signature };
    Ok(ServerMessage::ReceiptIs(answer))
}
