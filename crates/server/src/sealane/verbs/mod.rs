//! One file per verb, with the server's end (`serve`) and the client's end (`ask`) together.

pub(super) mod digest;
pub(super) mod enroll;
pub(super) mod get;
pub(super) mod list;
pub(super) mod make_directory;
pub(super) mod partials;
pub(super) mod put;
pub(super) mod receipt;
pub(super) mod remove;
pub(super) mod rename;
pub(super) mod set_meta;
pub(super) mod stat;
pub(super) mod tokens;
pub(super) mod usage;

use super::context::Context;
use super::refusal::Refusal;
use sealane_protocol::{ClientMessage, ServerMessage, Status};

/// Runs a request of a logged-in client; `None` if its last word was said already.
pub(super) async fn serve(
    context: &Context,
    message: ClientMessage,
) -> Result<Option<ServerMessage>, Refusal> {
    let reply = match message {
        ClientMessage::Put(request) => put::serve(context, request).await?,
        ClientMessage::Get(request) => return get::serve(context, request).await,
        ClientMessage::List(request) => list::serve(context, request).await?,
        ClientMessage::Stat(request) => stat::serve(context, request).await?,
        ClientMessage::MakeDirectory(request) => make_directory::serve(context, request).await?,
        ClientMessage::Remove(request) => remove::serve(context, request).await?,
        ClientMessage::Rename(request) => rename::serve(context, request).await?,
        ClientMessage::Usage(_) => usage::serve(context).await?,
        ClientMessage::DigestOf(request) => digest::serve(context, request).await?,
        ClientMessage::Partials(request) => partials::serve(context, request).await?,
        ClientMessage::DiscardPartial(request) => partials::serve_discard(context, request).await?,
        ClientMessage::SetMeta(request) => set_meta::serve(context, request).await?,
        ClientMessage::ReceiptOf(request) => receipt::serve(context, request).await?,
        ClientMessage::Enroll(request) => enroll::serve(context, request).await?,
        // The session stores small files by itself, many together.
        ClientMessage::PutSmall(..) => return Err(Refusal::new(Status::Internal)),
        // The session gives out tokens by itself: they are bound to it.
        ClientMessage::Tokens(_) => return Err(Refusal::new(Status::Internal)),
        // The greeting is over: a second one is as wrong as an unknown path.
        ClientMessage::Hello(_) | ClientMessage::Login(_) | ClientMessage::Join(_) => {
            return Err(Refusal::new(Status::LoginRefused));
        }
    };
    Ok(Some(reply))
}
