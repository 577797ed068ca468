//! `USAGE`: what the account uses and may use.
use crate::session::client::Client;
use crate::session::error::SessionError;
use sealane_protocol::message::{Empty, UsageIs};
use sealane_protocol::{ClientMessage, ServerMessage};

/// Asks for the account's usage.
pub(in crate::session) async fn ask(client: &Client) -> Result<UsageIs, SessionError> {
    match client.ask(ClientMessage::Usage(Empty {})).await? {
        ServerMessage::UsageIs(usage) => Ok(usage),
        other => Err(SessionError::Answer(other.kind())),
    }
}
