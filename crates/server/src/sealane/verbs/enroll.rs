//! `ENROLL`: the key of this connection may log in from now on.
//!
//! The client sends no key: it is the one that the handshake proved, so nobody can enrol another's.

use crate::sealane::context::Context;
use crate::sealane::refusal::Refusal;
use sealane_protocol::ServerMessage;
use sealane_protocol::message::{Empty, Enroll};
use tracing::info;

/// Answers `ENROLL`.
pub(in crate::sealane) async fn serve(
    context: &Context,
    request: Enroll,
) -> Result<ServerMessage, Refusal> {
    let (service, login) = (context.service.clone(), context.login.clone());
    let enroll = move || service.enroll(&login, request.comment.unwrap_or_default());
    context.login.queue().run_long(enroll).await?;
    let (user, key) = (context.login.principal().name(), context.login.shown_key());
    info!(%user, key = key.map(tracing::field::display), "key enrolled");
    Ok(ServerMessage::Done(Empty {}))
}
