//! `TOKENS`: tokens that open further connections to the session.

use crate::sealane::refusal::Refusal;
use crate::sealane::tokens::{Shared, TokenTable};
use sealane_base::types::Digest;
use sealane_protocol::message::{Tokens, TokensAre};
use sealane_protocol::{ServerMessage, Status, limits};
use std::sync::Arc;
use tokio::time::Instant;

/// Answers `TOKENS`: as many as wanted, or as there are places.
pub(in crate::sealane) fn serve(
    table: &TokenTable,
    shared: &Arc<Shared>,
    request: Tokens,
) -> Result<ServerMessage, Refusal> {
    let mut tokens = Vec::new();
    while tokens.len() < usize::from(request.count).min(limits::CONNECTIONS) {
        let mut token = Digest([0; 32]);
        getrandom::fill(&mut token.0).map_err(Refusal::internal)?;
        if !table.issue(shared, &token, Instant::now()) {
            break;
        }
        tokens.push(token);
    }
    if tokens.is_empty() {
        return Err(Refusal::new(Status::Busy));
    }
    Ok(ServerMessage::TokensAre(TokensAre { tokens }))
}
