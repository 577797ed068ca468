//! `LIST`: a page of a directory, sorted by name.

use crate::protocol::message::{Entries, List};
use crate::protocol::{ClientMessage, ServerMessage, limits};
use crate::session::client::Client;
use crate::session::error::SessionError;
use crate::session::refusal::Refusal;
use crate::session::requests::Context;
use crate::types::RemotePath;
use crate::types::path::check_name;

/// Answers `LIST`.
pub(in crate::session) async fn serve(
    context: &Context,
    request: List,
) -> Result<ServerMessage, Refusal> {
    let path = RemotePath::parse(&request.path)?;
    let page = context
        .blocking(move |home| home.list(&path, request.after.as_deref(), limits::PAGE_ENTRIES))
        .await?;
    let entries = page.entries.into_iter().map(super::stat::to_wire).collect();
    Ok(ServerMessage::Entries(Entries { entries, more: page.more, hidden: page.hidden }))
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
    let request = List { path: path.as_str().to_owned(), after: after.clone() };
    match client.ask(ClientMessage::List(request)).await? {
        ServerMessage::Entries(mut page) => {
            let count = page.entries.len();
            page.entries.retain(|entry| {
                check_name(&entry.name).is_ok() && comes_after(&entry.name, &after)
            });
            page.hidden = page.hidden.saturating_add((count - page.entries.len()) as u64);
            Ok(page)
        }
        other => Err(SessionError::Answer(other.kind())),
    }
}
