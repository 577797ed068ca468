//! `LIST`: a page of a directory, sorted by name, or all of it as the server finds it.
use super::error::SessionError;
use super::handle::Session;
use super::memory::{ListingMemory, of_page};
use sealane_base::types::RemotePath;
use sealane_base::types::path::check_name;
use sealane_protocol::message::{Entries, List};
use sealane_protocol::{ClientMessage, Kind, ServerMessage, limits};

/// Names of one directory that are kept although they cannot be asked for.
const MOST_UNFIT: usize = 10_000;

/// Asks for the entries of `path` whose names are greater than `after`.
///
/// Names that are no single harmless component are left out and counted as hidden: what a server
/// lists must never lead a client anywhere else. So are names that do not come after `after`, which
/// could lead it in circles.
pub(crate) async fn list(
    session: &Session,
    path: &RemotePath,
    after: Option<String>,
) -> Result<Entries, SessionError> {
    let comes_after =
        |name: &str, after: &Option<String>| after.as_deref().is_none_or(|after| name > after);
    let request = List { path: path.as_str().to_owned(), after: after.clone(), whole: None };
    match session.ask(ClientMessage::List(request)).await? {
        ServerMessage::Entries(mut page) => {
            let unfit = keep(&mut page, |name| comes_after(name, &after));
            page.hidden = page.hidden.saturating_add(unfit);
            Ok(page)
        }
        other => Err(SessionError::Answer(other.kind())),
    }
}

/// Leaves out names that are no single harmless component or that `fits` says no to; gives how
/// many.
fn keep(page: &mut Entries, fits: impl Fn(&str) -> bool) -> u64 {
    let count = page.entries.len();
    page.entries.retain(|entry| check_name(&entry.name).is_ok() && fits(&entry.name));
    (count - page.entries.len()) as u64
}

/// Asks for all entries of `path` in one answer of many frames, and sorts them by name. Their names
/// take from `memory`, and nothing does if it fails.
pub(crate) async fn list_whole(
    session: &Session,
    path: &RemotePath,
    memory: &ListingMemory,
) -> Result<Entries, SessionError> {
    let mut all = Entries::default();
    let taken = take_whole(session, path, memory, &mut all).await;
    if taken.is_err() {
        memory.give_back(of_page(&all));
        return taken.map(|()| all);
    }
    all.entries.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    all.entries.dedup_by(|one, other| {
        let is_again = one.name == other.name;
        if is_again {
            memory.give_back([one.name.len()]);
        }
        is_again
    });
    Ok(all)
}

async fn take_whole(
    session: &Session,
    path: &RemotePath,
    memory: &ListingMemory,
    all: &mut Entries,
) -> Result<(), SessionError> {
    let wrong = || SessionError::Answer(Kind::Entries);
    let mut pending = session.pending(false).await?;
    pending.expect_many();
    let request = List { path: path.as_str().to_owned(), after: None, whole: Some(true) };
    pending.send(ClientMessage::List(request)).await?;
    let mut unfit = 0u64;
    loop {
        let ServerMessage::Entries(mut page) = pending.message().await? else {
            return Err(wrong());
        };
        let is_empty = page.entries.is_empty();
        unfit = unfit.saturating_add(keep(&mut page, |_| true));
        let known = all.unfit.get_or_insert_default();
        let room = MOST_UNFIT.saturating_sub(known.len());
        page.unfit.iter_mut().for_each(|unfit| unfit.truncate(room));
        memory.take(of_page(&page))?;
        all.entries.append(&mut page.entries);
        known.extend(page.unfit.take().unwrap_or_default());
        all.hidden = page.hidden;
        let follows = page.follows == Some(true);
        // An answer that leaves names out is not the whole; one that goes nowhere may go on for
        // ever.
        if page.more || follows && (is_empty || all.entries.len() > limits::ENTRIES_IN_ALL) {
            return Err(wrong());
        }
        if !follows {
            break;
        }
    }
    all.hidden = all.hidden.saturating_add(unfit);
    Ok(())
}
