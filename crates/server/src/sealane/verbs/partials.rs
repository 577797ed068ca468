//! `PARTIALS` and `DISCARD_PARTIAL`: what interrupted uploads left on the server.

use crate::sealane::context::Context;
use crate::sealane::refusal::Refusal;
use sealane_protocol::message::{DiscardPartial, Empty, Partial, Partials, PartialsAre};
use sealane_protocol::{ServerMessage, limits};

/// Answers `PARTIALS`.
pub(in crate::sealane) async fn serve(
    context: &Context,
    request: Partials,
) -> Result<ServerMessage, Refusal> {
    context.reserve_answer(limits::ENTRIES).await?;
    let page = move |home: &sealane_core::service::Home| {
        home.partials(request.after.as_deref(), limits::PAGE_PARTIALS)
    };
    let (partials, more) = context.run(page).await?;
    let to_wire = |partial: sealane_core::storage::Partial| Partial {
        id: partial.id,
        path: partial.path.map(|path| path.as_str().to_owned()),
        received: partial.received,
        size: partial.size,
        modified: partial.modified,
    };
    let partials = partials.into_iter().map(to_wire).collect();
    Ok(ServerMessage::PartialsAre(PartialsAre { partials, more }))
}

/// Answers `DISCARD_PARTIAL`.
pub(in crate::sealane) async fn serve_discard(
    context: &Context,
    request: DiscardPartial,
) -> Result<ServerMessage, Refusal> {
    context.run(move |home| home.discard_partial(&request.id)).await?;
    Ok(ServerMessage::Done(Empty {}))
}
