//! `RECEIPT`: the server's signature under what a file holds.

use super::digest::root_of;
use crate::sealane::context::Context;
use crate::sealane::refusal::Refusal;
use sealane_base::types::RemotePath;
use sealane_protocol::ServerMessage;
use sealane_protocol::message::{ReceiptIs, ReceiptOf};
use sealane_protocol::receipt::Receipt;

/// Answers `RECEIPT` for what is on the disk now: the file is read once more.
pub(in crate::sealane) async fn serve(
    context: &Context,
    request: ReceiptOf,
) -> Result<ServerMessage, Refusal> {
    let path = RemotePath::parse(&request.path)?;
    let of = path.clone();
    let source = context.run(move |home| home.source_for_receipt(&of)).await?;
    let no_key = || Refusal::internal("no key to sign with");
    let signer = context.signer.clone().ok_or_else(no_key)?;
    let account = context.login.principal().name().clone();
    let (size, root) = (source.size(), root_of(context, source).await?);
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
