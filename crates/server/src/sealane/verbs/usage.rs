//! `USAGE`: what the account uses and may use.

use crate::sealane::context::Context;
use crate::sealane::refusal::Refusal;
use sealane_protocol::ServerMessage;
use sealane_protocol::message::UsageIs;

/// Answers `USAGE`.
pub(in crate::sealane) async fn serve(context: &Context) -> Result<ServerMessage, Refusal> {
    let usage = context.login.home().usage()?;
    let (used, reserved, limit) = (usage.used, usage.reserved, usage.limit);
    Ok(ServerMessage::UsageIs(UsageIs { used, reserved, limit }))
}
