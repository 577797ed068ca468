//! `TOKENS`: tokens that open further connections to the session.
use crate::session::error::SessionError;
use crate::session::joining::LaneControl;
use sealane_base::types::Digest;
use sealane_protocol::message::{Tokens, TokensAre};
use sealane_protocol::{ClientMessage, Kind, ServerMessage};

/// Asks for `count` tokens; there may come fewer.
pub(in crate::session) async fn ask(
    lanes: &LaneControl,
    count: u8,
) -> Result<Vec<Digest>, SessionError> {
    let mut pending = lanes.pending(false).await?;
    pending.send(ClientMessage::Tokens(Tokens { count })).await?;
    match pending.message().await? {
        ServerMessage::TokensAre(TokensAre { tokens }) if tokens.len() <= count.into() => {
            Ok(tokens)
        }
        _ => Err(SessionError::Answer(Kind::TokensAre)),
    }
}
