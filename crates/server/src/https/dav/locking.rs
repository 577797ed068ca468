//! What locks forbid, and what the `If` header of a request expects.

use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::HeaderMap;

use super::condition::{self, List, What};
use super::properties::PREFIX;
use super::table::Lock;
use crate::https::conditions;
use crate::https::place::Place;
use crate::https::problem::Problem;
use crate::https::session::Session;
use sealane_base::files::StorageError;
use sealane_base::types::RemotePath;
use sealane_core::service::Login;

/// How much of a place a request changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::https) enum Change {
    /// A file or directory that stays where it is.
    Content,
    /// A name that comes; its directory changes as well.
    Comes,
    /// A name that goes, with all below it.
    Goes,
}

/// The path of `place` in the whole home, by which locks go.
pub(in crate::https) fn whole(login: &Login, path: &RemotePath) -> Result<RemotePath, Problem> {
    Ok(login.principal().grant().root.prefix(path)?)
}

/// A lock with its path as `login` sees it: its own `/`, if the lock holds for more than that.
pub(super) fn seen(login: &Login, lock: Lock) -> Lock {
    let path = login.principal().grant().root.strip(&lock.path).unwrap_or_default();
    Lock { path, ..lock }
}

/// The tokens that a request says it holds, once what it expects is so.
pub(in crate::https) async fn submitted(
    session: &Session,
    login: &Arc<Login>,
    headers: &HeaderMap,
    path: &RemotePath,
) -> Result<Vec<String>, Problem> {
    let Some(header) = headers.get("if") else { return Ok(Vec::new()) };
    let header = header.to_str().map_err(|_| Problem::bad_request("the If header is no text"))?;
    let lists = condition::parse(header)?;
    for list in &lists {
        if holds(session, login, path, list).await? {
            return Ok(condition::tokens(&lists));
        }
    }
    Err(Problem::precondition())
}

async fn holds(
    session: &Session,
    login: &Arc<Login>,
    path: &RemotePath,
    list: &List,
) -> Result<bool, Problem> {
    let about = match &list.about {
        None => path.clone(),
        Some(url) => match local(url) {
            Some(Ok(place)) => place.path,
            // Of another server, or of no place here: nothing is known to hold there.
            _ => return Ok(false),
        },
    };
    let account = login.principal().name();
    let locks = session.door.locks.covering(account, &whole(login, &about)?);
    let needs_tag = list.all.iter().any(|(_, what)| matches!(what, What::Tag(_)));
    let tag = if needs_tag { tag_of(login, about).await? } else { None };
    Ok(list.all.iter().all(|(expected, what)| {
        let is_so = match what {
            What::Token(token) => locks.iter().any(|lock| lock.token == *token),
            What::Tag(one) => tag.as_deref() == Some(one),
        };
        is_so == *expected
    }))
}

async fn tag_of(login: &Arc<Login>, path: RemotePath) -> Result<Option<String>, Problem> {
    let home = Arc::clone(login.home());
    match login.queue().run(move || home.stat(&path)).await {
        Ok(entry) => Ok(Some(conditions::tag(entry.version))),
        Err(StorageError::NotFound | StorageError::NotDirectory) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The place that a URL names, absolute or not; `None` if it is not below ours.
pub(super) fn local(url: &str) -> Option<Result<Place, Problem>> {
    let path = match url.split_once("://") {
        Some((_, rest)) => rest.get(rest.find('/')?..)?,
        None => url,
    };
    let rest = path.strip_prefix(PREFIX)?;
    let is_whole = rest.is_empty() || rest.starts_with('/');
    is_whole.then(|| Place::parse(rest.split(['?', '#']).next().unwrap_or(rest)))
}

/// Nothing if no lock forbids the change to whom holds `tokens`.
pub(in crate::https) fn require_unlocked(
    session: &Session,
    login: &Login,
    tokens: &[String],
    path: &RemotePath,
    change: Change,
) -> Result<(), Problem> {
    let (account, whole) = (login.principal().name(), whole(login, path)?);
    let locks = &session.door.locks;
    let is_held = |lock: &Lock| tokens.contains(&lock.token);
    let covering = locks.covering(account, &whole);
    let mut is_free = covering.is_empty() || covering.iter().any(is_held);
    if change != Change::Content
        && let Some(parent) = whole.parent()
    {
        let above = locks.covering(account, &parent);
        is_free &= above.is_empty() || above.iter().any(is_held);
    }
    if change == Change::Goes {
        is_free &= locks.below(account, &whole).iter().all(is_held);
    }
    if is_free {
        return Ok(());
    }
    let detail = "it is locked, and the request does not say that it holds the lock";
    Err(Problem::new(StatusCode::LOCKED, "locked", detail))
}
