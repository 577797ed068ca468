//! `ENROLL`: the key of this connection may log in from now on.
//!
//! The client sends no key: it is the one that the handshake proved, so nobody can enrol another's.

use crate::protocol::message::{Empty, Enroll};
use crate::protocol::{ClientMessage, ServerMessage};
use crate::session::client::Client;
use crate::session::error::SessionError;
use crate::session::refusal::Refusal;
use crate::session::requests::Context;
use tracing::info;

/// Answers `ENROLL`.
pub(in crate::session) async fn serve(
    context: &Context,
    request: Enroll,
) -> Result<ServerMessage, Refusal> {
    let caller = context.caller.clone();
    let enroll = move || {
        let comment = request.comment.unwrap_or_default();
        caller.authenticator.enroll(&caller.principal, caller.shown, comment)
    };
    tokio::task::spawn_blocking(enroll).await.map_err(Refusal::internal)??;
    let (user, key) = (context.caller.principal.name(), context.caller.shown);
    info!(%user, key = key.map(tracing::field::display), "key enrolled");
    Ok(ServerMessage::Done(Empty {}))
}

/// Asks that the key which this connection has proved may log in.
pub(in crate::session) async fn ask(client: &Client, comment: &str) -> Result<(), SessionError> {
    let comment = (!comment.is_empty()).then(|| comment.to_owned());
    client.ask_done(ClientMessage::Enroll(Enroll { comment })).await
}
