//! `COPY` and `MOVE`. What is replaced is there until what replaces it is.

use std::sync::Arc;

use hyper::StatusCode;
use sealane_base::files::{EntryKind, StorageError};
use sealane_base::types::RemotePath;
use sealane_core::service::Login;

use super::asked::{Asked, in_missing};
use super::locking::{Change, local, require_unlocked, submitted, whole};
use super::tree::{beside, copy_directory, copy_file};
use crate::https::answer::{Answer, nothing};
use crate::https::problem::Problem;

/// Answers `MOVE`, or `COPY`.
pub(super) async fn serve(asked: Asked<'_>, moves: bool) -> Result<Answer, Problem> {
    let Asked { session, login, place, headers, .. } = asked;
    let from = place.path;
    let to = headers.get("destination").and_then(|url| url.to_str().ok());
    let to = to.ok_or_else(|| Problem::bad_request("the Destination header is missing"))?;
    let to = match local(to) {
        Some(place) => place?.path,
        None => {
            let detail = "the destination is not below /dav/ of this server";
            return Err(Problem::new(StatusCode::BAD_GATEWAY, "other-server", detail));
        }
    };
    let may_replace = headers.get("overwrite").is_none_or(|word| word.as_bytes() != b"F");
    let is_deep = headers.get("depth").is_none_or(|depth| depth.as_bytes() != b"0");
    let tokens = submitted(session, login, headers, &from).await?;
    if from.contains(&to) || to.contains(&from) {
        let detail = "source and destination lie in one another";
        return Err(Problem::new(StatusCode::FORBIDDEN, "into-itself", detail));
    }
    if moves {
        require_unlocked(session, login, &tokens, &from, Change::Goes)?;
    }
    let (source, target) = both(login, &from, &to).await?;
    let change = if target.is_some() { Change::Goes } else { Change::Comes };
    require_unlocked(session, login, &tokens, &to, change)?;
    if target.is_some() && !may_replace {
        return Err(Problem::precondition());
    }
    let gone = whole(login, &from)?;
    let is_file = |kind| kind == EntryKind::File;
    match (moves, source) {
        (true, _) => replace(login, from, to, source, target).await?,
        (false, EntryKind::File) if target.is_none_or(is_file) => {
            copy_file(login, from, to).await.map_err(in_missing)?;
        }
        // Copied beside it, and put in its place in one step.
        (false, kind) => {
            let copy = if target.is_some() { beside(&to)? } else { to.clone() };
            match kind {
                EntryKind::Directory => copy_directory(login, from, copy.clone(), is_deep).await,
                EntryKind::File => copy_file(login, from, copy.clone()).await,
                EntryKind::Symlink | EntryKind::Special => Err(StorageError::NotRegular),
            }
            .map_err(in_missing)?;
            if target.is_some() {
                replace(login, copy, to, kind, target).await?;
            }
        }
    }
    if moves {
        session.door.locks.forget(login.principal().name(), &gone);
    }
    let is_new = target.is_none();
    Ok(nothing(if is_new { StatusCode::CREATED } else { StatusCode::NO_CONTENT }))
}

/// What the two names stand for.
async fn both(
    login: &Login,
    from: &RemotePath,
    to: &RemotePath,
) -> Result<(EntryKind, Option<EntryKind>), Problem> {
    let (home, from, to) = (Arc::clone(login.home()), from.clone(), to.clone());
    let look = move || {
        let source = home.stat(&from)?.kind;
        match home.stat(&to) {
            Ok(entry) => Ok((source, Some(entry.kind))),
            Err(StorageError::NotFound) => Ok((source, None)),
            Err(error) => Err(error),
        }
    };
    Ok(login.queue().run(look).await?)
}

/// Gives `from` the name `to`, whatever has it. A directory that is in the way has another name
/// for a moment, and gets its own back if `from` does not get it.
async fn replace(
    login: &Login,
    from: RemotePath,
    to: RemotePath,
    source: EntryKind,
    target: Option<EntryKind>,
) -> Result<(), Problem> {
    let home = Arc::clone(login.home());
    let replace = move || {
        let (Some(target), true) = (target, source != EntryKind::File || target != Some(source))
        else {
            return home.rename(&from, &to, target.is_some());
        };
        let aside = beside(&to)?;
        home.rename(&to, &aside, false)?;
        home.rename(&from, &to, false).inspect_err(|_| {
            let _ = home.rename(&aside, &to, false);
        })?;
        home.remove(&aside, target == EntryKind::Directory)
    };
    login.queue().run_long(replace).await.map_err(in_missing)
}
