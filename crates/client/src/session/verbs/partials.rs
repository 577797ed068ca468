//! `PARTIALS` and `DISCARD_PARTIAL`: what interrupted uploads left on the server.
use crate::session::client::Client;
use crate::session::error::SessionError;
use sealane_protocol::message::{DiscardPartial, Partial, Partials};
use sealane_protocol::{ClientMessage, ServerMessage};

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
