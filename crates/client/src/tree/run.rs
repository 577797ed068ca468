//! Does what a plan says, in its order: clear the way, make directories, bring files, remove the
//! rest.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::ends::{Done, Ends, Event};
use super::error::TreeError;
use super::marks::{self, Marks};
use super::plan::{Plan, Removal};
use super::steps::{is_below, local, remote};
use super::{receive, send};
use crate::client::Client;
use crate::session::SessionError;
use sealane_base::files::{FileMeta, OWNED_DIRECTORY};
use sealane_base::types::RemotePath;
use sealane_protocol::transfer::TransferError;

/// Events that may wait to be told.
const EVENTS: usize = 32;

/// Makes the server's tree what `plan` says, and calls `on` for every step that ends.
///
/// Cancel safety: dropping the future interrupts what is under way; the same again goes on.
///
/// # Errors
/// [`SessionError`] once nothing more can succeed: the connection is gone. A step that fails alone
/// is told to `on`.
pub async fn upload_tree(
    ends: &Arc<Ends>,
    mut plan: Plan,
    mut on: impl FnMut(Event),
) -> Result<(), SessionError> {
    ends.meter.expect(plan.bytes());
    remove_remote(ends, plan.obstacles, &mut on).await?;
    let missing = plan.missing.into_iter().map(|(path, _)| path).collect();
    let failed = make_remote(ends, missing, &mut on).await?;
    plan.files.retain(|file| !is_below(&file.path, &failed));
    let (events, arriving) = mpsc::channel(EVENTS);
    let mut workers = send::start(ends, plan.files, &events);
    if !ends.preserve {
        // Modes alone are not changed by what comes into a directory, and need not wait for it.
        let mut modes = std::mem::take(&mut plan.directories);
        modes.retain(|entry| !is_below(&entry.path, &failed));
        workers.spawn(marks::directories(ends.clone(), modes, events.clone()));
    }
    drop(events);
    let mut marks = Marks::new(plan.marks, plan.directories, failed);
    follow(&ends.client, workers, arriving, marks.noting(&mut on)).await?;
    remove_remote(ends, plan.extras, &mut on).await?;
    marks.set_remote(ends, &mut on).await
}

/// Makes the tree on this machine what `plan` says, and calls `on` for every step that ends.
///
/// Nothing is written outside the tree, whatever the server says and whatever links lie there.
/// Cancel safety: as for [`upload_tree`].
///
/// # Errors
/// As [`upload_tree`].
pub async fn download_tree(
    ends: &Arc<Ends>,
    mut plan: Plan,
    mut on: impl FnMut(Event),
) -> Result<(), SessionError> {
    ends.meter.expect(plan.bytes());
    // What that does not help fails later, with its reason.
    local(
        ends,
        plan.closed,
        |_| (),
        |tree, (path, mode)| {
            let opened = FileMeta { modified: None, mode: Some(mode | OWNED_DIRECTORY) };
            let result = tree.set_meta(&path, opened);
            (path, result.map(|()| Done::Directory))
        },
    )
    .await?;
    local(ends, plan.obstacles, &mut on, |tree, step| {
        (step.path.clone(), tree.remove(&step.path).map(|()| Done::Removed))
    })
    .await?;
    let mut failed = HashSet::new();
    let noting = |event: Event| {
        if event.result.is_err() {
            failed.insert(event.path.clone());
        }
        on(event);
    };
    local(ends, plan.missing, noting, |tree, (path, mode)| {
        let made = tree.make_directory(&path, mode);
        (path, made.map(|()| Done::Directory))
    })
    .await?;
    plan.files.retain(|file| !is_below(&file.path, &failed));
    let (events, arriving) = mpsc::channel(EVENTS);
    let workers = receive::start(ends, plan.files, &events);
    drop(events);
    let mut marks = Marks::new(plan.marks, plan.directories, failed);
    follow(&ends.client, workers, arriving, marks.noting(&mut on)).await?;
    local(ends, plan.extras, &mut on, |tree, step| {
        (step.path.clone(), tree.remove(&step.path).map(|()| Done::Removed))
    })
    .await?;
    marks.set_local(ends, &mut on).await
}

/// Hands on what the workers report until they have ended. What fails here is not told before the
/// login is answered.
pub(super) async fn follow(
    client: &Client,
    mut workers: JoinSet<()>,
    mut arriving: mpsc::Receiver<Event>,
    mut on: impl FnMut(Event),
) -> Result<(), SessionError> {
    while let Some(event) = arriving.recv().await {
        client.logged_in().await?;
        on(event.into_fatal(client)?);
    }
    while let Some(worker) = workers.join_next().await {
        // A panic is a mistake of ours: it must not look like a file that was skipped.
        worker.map_err(|_| TransferError::Thread)?;
    }
    Ok(())
}

/// Makes directories, however deep, without waiting for those above them, which each brings along;
/// gives those that failed.
async fn make_remote(
    ends: &Arc<Ends>,
    missing: Vec<RemotePath>,
    on: &mut impl FnMut(Event),
) -> Result<HashSet<RemotePath>, SessionError> {
    let mut failed = HashSet::new();
    let mut problems = Vec::new();
    let sorting = |event: Event| {
        if event.result.is_err() {
            failed.insert(event.path.clone());
            problems.push(event);
        } else {
            on(event);
        }
    };
    remote(ends, missing, sorting, |ends, path| async move {
        let made = async {
            ends.client.make_directory(&ends.remote(&path)?, true).await?;
            Ok(Done::Directory)
        };
        let result: Result<Done, TreeError> = made.await;
        Event { path, result }
    })
    .await?;
    // One that failed because of what is above it is no news.
    let is_news = |event: &Event| event.path.parent().is_none_or(|above| !failed.contains(&above));
    problems.into_iter().filter(is_news).for_each(on);
    Ok(failed)
}

/// Removes files at once and then directories in order: what one holds goes before it.
async fn remove_remote(
    ends: &Arc<Ends>,
    removals: Vec<Removal>,
    on: &mut impl FnMut(Event),
) -> Result<(), SessionError> {
    let (directories, files): (Vec<_>, Vec<_>) =
        removals.into_iter().partition(|removal| removal.is_directory);
    let mut levels = BTreeMap::from([(usize::MAX, files)]);
    for directory in directories {
        levels.entry(directory.path.components().count()).or_default().push(directory);
    }
    for level in levels.into_values().rev() {
        remote(ends, level, &mut *on, |ends, removal| async move {
            let removed = async {
                ends.client.remove(&ends.remote(&removal.path)?, false).await?;
                Ok(Done::Removed)
            };
            let result: Result<Done, TreeError> = removed.await;
            Event { path: removal.path, result }
        })
        .await?;
    }
    Ok(())
}
