//! Does what a plan says, in its order: clear the way, make directories, bring files, remove the rest.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::marks::{self, Marks};
use super::plan::{FileStep, Plan, Removal};
use super::{TreeError, receive, send};
use crate::DigestCache;
use crate::Link;
use crate::session::SessionError;
use sealane_base::files::{FileMeta, OWNED_DIRECTORY, StorageError, Tree};
use sealane_base::types::RemotePath;
use sealane_base::types::path::PathError;
use sealane_protocol::Status;
use sealane_protocol::transfer::{Meter, Outcome, TransferError};

/// Questions asked at once where each is short.
const SIDE_BY_SIDE: usize = 32;

/// The two ends of a tree, and how its files are brought over.
#[derive(Debug)]
pub struct Ends {
    /// The session, and those after it.
    pub client: Arc<Link>,
    /// The tree on this machine.
    pub tree: Arc<Tree>,
    /// The tree on the server.
    pub base: RemotePath,
    /// Keep times and modes.
    pub preserve: bool,
    /// Roots of the files on this machine, if they are remembered.
    pub cache: Option<Arc<DigestCache>>,
    /// Counts bytes.
    pub meter: Arc<Meter>,
}

/// What was done for one path.
#[derive(Clone, Copy, Debug)]
pub enum Done {
    /// The file is there.
    File(Outcome),
    /// The directory was made.
    Directory,
    /// The name was removed.
    Removed,
    /// The file got its time and mode; it held the same already.
    Marked,
}

/// One step of a plan that has ended.
#[derive(Debug)]
pub struct Event {
    /// Relative to the tree.
    pub path: RemotePath,
    /// How it ended.
    pub result: Result<Done, TreeError>,
}

impl Event {
    pub(super) fn new(path: RemotePath, result: Result<Done, impl Into<TreeError>>) -> Self {
        Self { path, result: result.map_err(Into::into) }
    }

    /// After this, nothing else can succeed either.
    fn into_fatal(self) -> Result<Self, SessionError> {
        match self.result {
            Err(TreeError::Session(error)) if is_fatal(&error) => Err(error),
            result => Ok(Self { result, ..self }),
        }
    }
}

fn is_fatal(error: &SessionError) -> bool {
    matches!(error, SessionError::Connection(_)) || error.status() == Some(Status::ShuttingDown)
}

impl Ends {
    pub(super) fn remote(&self, path: &RemotePath) -> Result<RemotePath, PathError> {
        path.components().try_fold(self.base.clone(), |path, name| path.join(name))
    }

    pub(super) fn meta(&self, meta: FileMeta) -> FileMeta {
        meta.told(self.preserve)
    }
}

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
    let (events, arriving) = mpsc::channel(SIDE_BY_SIDE);
    let mut lanes = send::lanes(ends, plan.files, &events);
    if !ends.preserve {
        // Modes alone are not changed by what comes into a directory, and need not wait for it.
        let mut modes = std::mem::take(&mut plan.directories);
        modes.retain(|entry| !is_below(&entry.path, &failed));
        lanes.spawn(marks::directories(ends.clone(), modes, events.clone()));
    }
    drop(events);
    let mut marks = Marks::new(plan.marks, plan.directories, failed);
    follow(lanes, arriving, marks.noting(&mut on)).await?;
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
    let (events, arriving) = mpsc::channel(SIDE_BY_SIDE);
    let lanes = receive::lanes(ends, plan.files, &events);
    drop(events);
    let mut marks = Marks::new(plan.marks, plan.directories, failed);
    follow(lanes, arriving, marks.noting(&mut on)).await?;
    local(ends, plan.extras, &mut on, |tree, step| {
        (step.path.clone(), tree.remove(&step.path).map(|()| Done::Removed))
    })
    .await?;
    marks.set_local(ends, &mut on).await
}

/// Hands on what the lanes report until they have ended.
async fn follow(
    mut lanes: JoinSet<()>,
    mut arriving: mpsc::Receiver<Event>,
    mut on: impl FnMut(Event),
) -> Result<(), SessionError> {
    while let Some(event) = arriving.recv().await {
        on(event.into_fatal()?);
    }
    while let Some(lane) = lanes.join_next().await {
        // A panic is a mistake of ours: it must not look like a file that was skipped.
        lane.map_err(|_| TransferError::Thread)?;
    }
    Ok(())
}

pub(super) type LocalStep<T> = fn(&Tree, T) -> (RemotePath, Result<Done, StorageError>);

/// Runs `step` for each of `steps` on a thread that may block, in order.
pub(super) async fn local<T: Send + 'static>(
    ends: &Arc<Ends>,
    steps: Vec<T>,
    mut on: impl FnMut(Event),
    step: LocalStep<T>,
) -> Result<(), SessionError> {
    if steps.is_empty() {
        return Ok(());
    }
    let tree = ends.tree.clone();
    let done = tokio::task::spawn_blocking(move || {
        steps.into_iter().map(|one| step(&tree, one)).collect::<Vec<_>>()
    });
    for (path, result) in done.await.map_err(|_| TransferError::Thread)? {
        on(Event::new(path, result));
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

/// Runs a question for each of `steps`, many at once.
pub(super) async fn remote<T, Running>(
    ends: &Arc<Ends>,
    steps: Vec<T>,
    mut on: impl FnMut(Event),
    ask: impl Fn(Arc<Ends>, T) -> Running,
) -> Result<(), SessionError>
where
    Running: Future<Output = Event> + Send + 'static,
{
    let mut steps = steps.into_iter();
    let mut running = JoinSet::new();
    loop {
        while running.len() < SIDE_BY_SIDE.min(ends.client.max_requests())
            && let Some(step) = steps.next()
        {
            running.spawn(ask(ends.clone(), step));
        }
        match running.join_next().await {
            None => return Ok(()),
            Some(event) => on(event.map_err(|_| TransferError::Thread)?.into_fatal()?),
        }
    }
}

/// Files by how they travel: in one message, or as a transfer.
pub(super) fn by_size(files: Vec<FileStep>) -> (Vec<FileStep>, Vec<FileStep>) {
    files.into_iter().partition(|file| super::is_small(file.size))
}

pub(super) fn is_below(path: &RemotePath, failed: &HashSet<RemotePath>) -> bool {
    if failed.is_empty() {
        return false;
    }
    let mut here = path.parent();
    while let Some(directory) = here {
        if failed.contains(&directory) {
            return true;
        }
        here = directory.parent();
    }
    failed.contains(path)
}
