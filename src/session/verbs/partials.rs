//! `PARTIALS` and `DISCARD_PARTIAL`: what interrupted uploads left on the server.

use crate::protocol::message::{DiscardPartial, Empty, Partial, Partials, PartialsAre};
use crate::protocol::{ClientMessage, ServerMessage, limits};
use crate::session::client::Client;
use crate::session::error::SessionError;
use crate::session::refusal::Refusal;
use crate::session::requests::Context;

/// Answers `PARTIALS`.
pub(in crate::session) async fn serve(
    context: &Context,
    request: Partials,
) -> Result<ServerMessage, Refusal> {
    let page = move |home: &crate::session::server::SharedHome| {
        home.partials(request.after.as_deref(), limits::PAGE_PARTIALS)
    };
    let (partials, more) = context.blocking(page).await?;
    let to_wire = |partial: crate::storage::Partial| Partial {
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
pub(in crate::session) async fn serve_discard(
    context: &Context,
    request: DiscardPartial,
) -> Result<ServerMessage, Refusal> {
    context.blocking(move |home| home.discard_partial(&request.id)).await?;
    Ok(ServerMessage::Done(Empty {}))
}

/// Asks for all partials, page by page.
pub(in crate::session) async fn ask(client: &Client) -> Result<Vec<Partial>, SessionError> {
    let (mut all, mut after): (Vec<Partial>, _) = (Vec::new(), None);
    loop {
        let request = ClientMessage::Partials(Partials { after: after.take() });
        let page = match client.ask(request).await? {
            ServerMessage::PartialsAre(page) => page,
            other => return Err(SessionError::Answer(other.kind())),
        };
        let last = page.partials.last().map(|partial| partial.id.clone());
        let gets_on = last.as_ref() > all.last().map(|partial| &partial.id);
        all.extend(page.partials);
        // A page that does not get on would be asked for again for ever.
        if !page.more || !gets_on {
            return Ok(all);
        }
        after = last;
    }
}

/// Asks to remove one.
pub(in crate::session) async fn ask_discard(client: &Client, id: &str) -> Result<(), SessionError> {
    let request = DiscardPartial { id: id.to_owned() };
    client.ask_done(ClientMessage::DiscardPartial(request)).await
}
