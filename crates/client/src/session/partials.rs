//! `PARTIALS`: what interrupted uploads left on the server.
use super::error::SessionError;
use super::handle::Session;
use super::memory::{ListingMemory, of_partials};
use sealane_protocol::message::{Partial, Partials};
use sealane_protocol::{ClientMessage, ServerMessage};

/// Asks for all partials, page by page.
pub(crate) async fn partials(session: &Session) -> Result<Vec<Partial>, SessionError> {
    let (mut all, mut after): (Vec<Partial>, _) = (Vec::new(), None);
    let memory = ListingMemory::default();
    loop {
        let request = ClientMessage::Partials(Partials { after: after.take() });
        let page = match session.ask(request).await? {
            ServerMessage::PartialsAre(page) => page,
            other => return Err(SessionError::Answer(other.kind())),
        };
        let last = page.partials.last().map(|partial| partial.id.clone());
        let gets_on = last.as_ref() > all.last().map(|partial| &partial.id);
        memory.take(of_partials(&page.partials))?;
        all.extend(page.partials);
        // A page that does not get on would be asked for again for ever.
        if !page.more || !gets_on {
            return Ok(all);
        }
        after = last;
    }
}
