//! Short steps, one after another on this machine or many at once on the server.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::ends::{Done, Ends, Event};
use crate::session::SessionError;
use sealane_base::files::{StorageError, Tree};
use sealane_base::types::RemotePath;
use sealane_protocol::transfer::TransferError;

/// Requests at once where each is short.
const SIDE_BY_SIDE: usize = 32;

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

/// Runs a request for each of `steps`, many at once.
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
            Some(event) => {
                on(event.map_err(|_| TransferError::Thread)?.into_fatal(&ends.client)?);
            }
        }
    }
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
