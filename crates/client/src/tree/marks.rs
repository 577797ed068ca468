//! Times and modes that come after the files: of directories, which what is put into them would
//! change again, and of files that held the same already.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::ends::{Done, Ends, Event, side_by_side};
use super::error::TreeError;
use super::steps::{is_below, local, remote};
use crate::session::SessionError;
use sealane_base::files::{EntryKind, FileMeta, TreeEntry};
use sealane_base::types::RemotePath;

/// What is still to be set.
pub(super) struct Marks {
    files: Vec<TreeEntry>,
    directories: Vec<TreeEntry>,
    /// What did not arrive must not look as if it had.
    failed: HashSet<RemotePath>,
}

impl Marks {
    pub(super) fn new(
        files: Vec<TreeEntry>,
        directories: Vec<TreeEntry>,
        failed: HashSet<RemotePath>,
    ) -> Self {
        Self { files, directories, failed }
    }

    /// Hands events on to `on` and notes which files failed.
    pub(super) fn noting(&mut self, mut on: impl FnMut(Event)) -> impl FnMut(Event) {
        let failed = &mut self.failed;
        move |event| {
            if event.result.is_err() {
                failed.insert(event.path.clone());
            }
            on(event);
        }
    }

    /// Files, then directories, children first.
    fn into_order(self) -> Vec<TreeEntry> {
        let Self { mut files, mut directories, failed } = self;
        directories.sort_unstable_by(|one, other| other.path.cmp(&one.path));
        files.append(&mut directories);
        files.retain(|entry| !is_below(&entry.path, &failed));
        files
    }

    /// Sets them on this machine.
    pub(super) async fn set_local(
        self,
        ends: &Arc<Ends>,
        on: &mut impl FnMut(Event),
    ) -> Result<(), SessionError> {
        local(ends, self.into_order(), telling(on), |tree, entry| {
            let result = tree.set_meta(&entry.path, meta(&entry, true)).map(|()| done(&entry));
            (entry.path, result)
        })
        .await
    }

    /// Sets them on the server, many at once.
    pub(super) async fn set_remote(
        self,
        ends: &Arc<Ends>,
        on: &mut impl FnMut(Event),
    ) -> Result<(), SessionError> {
        // A home keeps its own time and mode.
        let is_home = |entry: &TreeEntry| entry.path.is_root() && ends.base.is_root();
        let steps = self.into_order().into_iter().filter(|entry| !is_home(entry)).collect();
        remote(ends, steps, telling(on), |ends, entry: TreeEntry| async move {
            let set = async {
                set_one(&ends, &entry).await?;
                Ok(done(&entry))
            };
            let result: Result<Done, TreeError> = set.await;
            Event { path: entry.path, result }
        })
        .await
    }
}

/// Sets the modes of directories on the server; what fails is told to `events`.
pub(super) async fn directories(
    ends: Arc<Ends>,
    directories: Vec<TreeEntry>,
    events: mpsc::Sender<Event>,
) {
    // An administrator's matter.
    let is_home = |entry: &TreeEntry| entry.path.is_root() && ends.base.is_root();
    let directories: Vec<_> = directories.into_iter().filter(|entry| !is_home(entry)).collect();
    if directories.is_empty() {
        return;
    }
    side_by_side(ends.small_at_once(), directories, |entry: TreeEntry| {
        let (ends, events) = (ends.clone(), events.clone());
        async move {
            if let Err(error) = set_one(&ends, &entry).await {
                let _ = events.send(Event { path: entry.path, result: Err(error) }).await;
            }
        }
    })
    .await;
}

async fn set_one(ends: &Ends, entry: &TreeEntry) -> Result<(), TreeError> {
    let path = ends.remote(&entry.path)?;
    Ok(ends.client.set_meta(&path, meta(entry, ends.preserve)).await?)
}

/// Nobody wants to hear of directories that are as they should be.
fn telling(on: &mut impl FnMut(Event)) -> impl FnMut(Event) {
    move |event| {
        if !matches!(event.result, Ok(Done::Directory)) {
            on(event);
        }
    }
}

fn meta(entry: &TreeEntry, preserve: bool) -> FileMeta {
    FileMeta { modified: Some(entry.modified), mode: Some(entry.mode) }.told(preserve)
}

fn done(entry: &TreeEntry) -> Done {
    if entry.kind == EntryKind::Directory { Done::Directory } else { Done::Marked }
}
