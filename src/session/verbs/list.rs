//! `LIST`: a page of a directory, sorted by name, or all of it as the server finds it.

use crate::protocol::message::{Entries, List};
use crate::protocol::{ClientMessage, Kind, ServerMessage, limits};
use crate::session::client::Client;
use crate::session::error::SessionError;
use crate::session::refusal::Refusal;
use crate::session::requests::Context;
use crate::session::server::SharedHome;
use crate::storage::Page;
use crate::transfer::TransferError;
use crate::types::RemotePath;
use crate::types::path::check_name;

/// Names of one directory that are kept although they cannot be asked for.
const MOST_UNFIT: usize = 10_000;

/// Answers `LIST`.
pub(in crate::session) async fn serve(
    context: &Context,
    request: List,
) -> Result<ServerMessage, Refusal> {
    let path = RemotePath::parse(&request.path)?;
    if request.whole == Some(true) {
        return serve_whole(context, path).await;
    }
    let page = context
        .blocking(move |home| home.list(&path, request.after.as_deref(), limits::PAGE_ENTRIES))
        .await?;
    Ok(to_wire(page, None))
}

/// Reads the directory once and sends page after page; gives the last. No thread is held while the
/// peer takes its time.
async fn serve_whole(context: &Context, path: RemotePath) -> Result<ServerMessage, Refusal> {
    let mut scan = context.blocking(move |home| home.scan(&path)).await?;
    loop {
        let read = move |_: &SharedHome| {
            let page = scan.next_page(limits::PAGE_ENTRIES)?;
            Ok((scan, page))
        };
        let (rest, page) = context.blocking(read).await?;
        scan = rest;
        if !page.more || context.cancelled.is_cancelled() {
            return Ok(to_wire(page, None));
        }
        if context.out.send(to_wire(page, Some(true)).encode(context.id)).await.is_err() {
            return Err(TransferError::Interrupted.into());
        }
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

/// Asks for the entries of `path` whose names are greater than `after`.
///
/// Names that are no single harmless component are left out and counted as hidden: what a server
/// lists must never lead a client anywhere else. So are names that do not come after `after`, which
/// could lead it in circles.
pub(in crate::session) async fn ask(
    client: &Client,
    path: &RemotePath,
    after: Option<String>,
) -> Result<Entries, SessionError> {
    let comes_after =
        |name: &str, after: &Option<String>| after.as_deref().is_none_or(|after| name > after);
    let request = List { path: path.as_str().to_owned(), after: after.clone(), whole: None };
    match client.ask(ClientMessage::List(request)).await? {
        ServerMessage::Entries(mut page) => {
            let unfit = keep(&mut page, |name| comes_after(name, &after));
            page.hidden = page.hidden.saturating_add(unfit);
            Ok(page)
        }
        other => Err(SessionError::Answer(other.kind())),
    }
}

/// Leaves out names that are no single harmless component or that `fits` says no to; gives how many.
fn keep(page: &mut Entries, fits: impl Fn(&str) -> bool) -> u64 {
    let count = page.entries.len();
    page.entries.retain(|entry| check_name(&entry.name).is_ok() && fits(&entry.name));
    (count - page.entries.len()) as u64
}

/// Asks for all entries of `path`, sorted by name: in one answer of many frames, or page by page from a
/// server that does not know how.
pub(in crate::session) async fn ask_whole(
    client: &Client,
    path: &RemotePath,
) -> Result<Entries, SessionError> {
    let wrong = || SessionError::Answer(Kind::Entries);
    let mut pending = client.pending(false).await?;
    pending.expect_many();
    let request = List { path: path.as_str().to_owned(), after: None, whole: Some(true) };
    pending.send(ClientMessage::List(request)).await?;
    let (mut all, mut unfit) = (Entries::default(), 0u64);
    loop {
        let ServerMessage::Entries(mut page) = pending.message().await? else {
            return Err(wrong());
        };
        let is_empty = page.entries.is_empty();
        unfit = unfit.saturating_add(keep(&mut page, |_| true));
        all.entries.append(&mut page.entries);
        let known = all.unfit.get_or_insert_default();
        known.extend(page.unfit.take().unwrap_or_default());
        known.truncate(MOST_UNFIT);
        (all.hidden, all.more) = (page.hidden, page.more);
        if page.follows != Some(true) {
            break;
        }
        // For ever, perhaps.
        if is_empty || all.entries.len() > limits::ENTRIES_IN_ALL {
            return Err(wrong());
        }
    }
    drop(pending);
    while all.more && all.entries.len() <= limits::ENTRIES_IN_ALL {
        let Some(last) = all.entries.last().map(|entry| entry.name.clone()) else { break };
        let page = ask(client, path, Some(last)).await?;
        // A page that does not get on would be asked for again for ever.
        all.more = page.more && !page.entries.is_empty();
        all.hidden = page.hidden;
        all.entries.extend(page.entries);
    }
    all.more = false;
    all.hidden = all.hidden.saturating_add(unfit);
    all.entries.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    all.entries.dedup_by(|one, other| one.name == other.name);
    Ok(all)
}
