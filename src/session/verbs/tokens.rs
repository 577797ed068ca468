//! `TOKENS`: tokens that open further connections to the session.

use std::sync::Arc;

use tokio::time::Instant;

use crate::protocol::message::{Tokens, TokensAre};
use crate::protocol::{ClientMessage, Kind, ServerMessage, Status, limits};
use crate::session::error::SessionError;
use crate::session::joining::LaneControl;
use crate::session::lanes::{Desk, Shared};
use crate::session::refusal::Refusal;
use crate::types::Digest;

/// Answers `TOKENS`: as many as wanted, or as there are places.
pub(in crate::session) fn serve(
    desk: &Desk,
    shared: &Arc<Shared>,
    request: Tokens,
) -> Result<ServerMessage, Refusal> {
    let mut tokens = Vec::new();
    while tokens.len() < usize::from(request.count).min(limits::CONNECTIONS) {
        let mut token = Digest([0; 32]);
        getrandom::fill(&mut token.0).map_err(Refusal::internal)?;
        if !desk.issue(shared, &token, Instant::now()) {
            break;
        }
        tokens.push(token);
    }
    if tokens.is_empty() {
        return Err(Refusal::new(Status::Busy));
    }
    Ok(ServerMessage::TokensAre(TokensAre { tokens }))
}

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
