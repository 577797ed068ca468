//! `LIST`: a page of a directory, sorted by name, or all of it as the server finds it.

use crate::sealane::context::Context;
use crate::sealane::refusal::Refusal;
use sealane_base::types::RemotePath;
use sealane_core::service::Home;
use sealane_core::storage::Page;
use sealane_protocol::message::{Entries, List};
use sealane_protocol::{ServerMessage, limits};

/// Answers `LIST`.
pub(in crate::sealane) async fn serve(
    context: &Context,
    request: List,
) -> Result<ServerMessage, Refusal> {
    let path = RemotePath::parse(&request.path)?;
    if request.whole == Some(true) {
        return serve_whole(context, path).await;
    }
    context.reserve_answer(limits::ENTRIES).await?;
    let page = context
        .run(move |home| home.list(&path, request.after.as_deref(), limits::PAGE_ENTRIES))
        .await?;
    Ok(to_wire(page, None))
}

/// Reads the directory once and sends page after page; gives the last. Each is read once there is
/// room for it in memory.
async fn serve_whole(context: &Context, path: RemotePath) -> Result<ServerMessage, Refusal> {
    let mut scan = context.run(move |home| home.scan(&path)).await?;
    loop {
        context.reserve_answer(limits::ENTRIES).await?;
        let read = move |_: &Home| {
            let page = scan.next_page(limits::PAGE_ENTRIES)?;
            Ok((scan, page))
        };
        let (rest, page) = context.run(read).await?;
        scan = rest;
        if !page.more || context.cancelled.is_cancelled() {
            return Ok(to_wire(page, None));
        }
        context.send_reserved(&to_wire(page, Some(true))).await?;
    }
}

fn to_wire(page: Page, follows: Option<bool>) -> ServerMessage {
    let Page { entries, more, hidden, unfit } = page;
    let unfit = (!unfit.is_empty()).then_some(unfit);
    let entries = entries.into_iter().map(super::stat::to_wire).collect();
    // Of the whole, nothing is left to be asked for.
    let more = more && follows.is_none();
    ServerMessage::Entries(Entries { entries, more, hidden, follows, unfit })
}
