//! `USAGE`: what the account uses and may use.

use crate::protocol::message::{Empty, UsageIs};
use crate::protocol::{ClientMessage, ServerMessage};
use crate::session::client::Client;
use crate::session::error::SessionError;
use crate::session::refusal::Refusal;
use crate::session::requests::Context;

/// Answers `USAGE`.
pub(in crate::session) async fn serve(context: &Context) -> Result<ServerMessage, Refusal> {
    let usage = context.home.usage()?;
    let (used, reserved, limit) = (usage.used, usage.reserved, usage.limit);
    Ok(ServerMessage::UsageIs(UsageIs { used, reserved, limit }))
}

/// Asks for the account's usage.
pub(in crate::session) async fn ask(client: &Client) -> Result<UsageIs, SessionError> {
    match client.ask(ClientMessage::Usage(Empty {})).await? {
        ServerMessage::UsageIs(usage) => Ok(usage),
        other => Err(SessionError::Answer(other.kind())),
    }
}
