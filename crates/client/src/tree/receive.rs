//! Files on their way down: small ones many at once, stored by one thread that syncs all
//! that have arrived together, large ones as transfers beside them.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

use super::ends::{Done, Ends, Event, Local, MEMORY_KIB, kib, side_by_side};
use super::error::TreeError;
use super::plan::{FileStep, by_size};
use crate::session::{SessionError, WholeFile};
use sealane_base::files::{FileMeta, SmallFile};
use sealane_protocol::transfer::{self, Outcome, TransferError};

/// Small files that have arrived and wait for the disk.
const WAITING: usize = 32;
type Arrived = (FileStep, WholeFile, OwnedSemaphorePermit);

/// Starts fetching `files`; each that ends is told to `events`.
pub(super) fn start<T: Local>(
    ends: &Arc<Ends<T>>,
    files: Vec<FileStep>,
    events: &mpsc::Sender<Event>,
) -> JoinSet<()> {
    let (small, large) = by_size(files);
    let mut workers = JoinSet::new();
    let (arrived, storing) = mpsc::channel(WAITING);
    workers.spawn(fetch_small(ends.clone(), small, arrived, events.clone()));
    workers.spawn(fetch_large(ends.clone(), large, events.clone()));
    let (ends, events) = (ends.clone(), events.clone());
    workers.spawn_blocking(move || store_all(&ends, storing, &events));
    workers
}

async fn fetch_small<T: Local>(
    ends: Arc<Ends<T>>,
    files: Vec<FileStep>,
    arrived: mpsc::Sender<Arrived>,
    events: mpsc::Sender<Event>,
) {
    let budget = Arc::new(Semaphore::new(MEMORY_KIB as usize));
    let limit = ends.small_at_once();
    side_by_side(limit, files, |step| {
        let (ends, events, arrived) = (ends.clone(), events.clone(), arrived.clone());
        let budget = budget.clone();
        async move {
            let Ok(memory) = budget.acquire_many_owned(kib(step.size)).await else { return };
            let result = match fetch(&ends, &step).await {
                Ok(Fetched::Whole(file)) => {
                    let _ = arrived.send((step, file, memory)).await;
                    return;
                }
                Ok(Fetched::Done(outcome)) => Ok(Done::File(outcome)),
                Err(error) => Err(error),
            };
            let _ = events.send(Event { path: step.path, result }).await;
        }
    })
    .await;
}

enum Fetched {
    Whole(WholeFile),
    Done(Outcome),
}

async fn fetch<T: Local>(ends: &Arc<Ends<T>>, step: &FileStep) -> Result<Fetched, TreeError> {
    let path = ends.remote(&step.path)?;
    if let Some(outcome) = same_already(ends, step).await? {
        return Ok(Fetched::Done(outcome));
    }
    match ends.client.download_whole(&path, step.size).await? {
        Some(file) => Ok(Fetched::Whole(file)),
        // It has grown since it was listed.
        None => fetch_one(ends, step).await.map(Fetched::Done),
    }
}

/// The outcome for a file that this end has already, if the plan said that it might.
async fn same_already<T: Local>(
    ends: &Arc<Ends<T>>,
    step: &FileStep,
) -> Result<Option<Outcome>, TreeError> {
    if !step.compare {
        return Ok(None);
    }
    let path = ends.remote(&step.path)?;
    let (here, there) = tokio::join!(ends.root_here(step), ends.client.digest(&path));
    let there = there?;
    // What cannot be read here is fetched.
    let same = here.is_ok_and(|here| (there.size, there.root) == here);
    Ok(same.then(|| ends.unchanged(there.size, there.root)))
}

/// Stores what has arrived, all that waits together, until nobody wants it any more.
fn store_all<T: Local>(
    ends: &Ends<T>,
    mut arriving: mpsc::Receiver<Arrived>,
    events: &mpsc::Sender<Event>,
) {
    while let Some(first) = arriving.blocking_recv() {
        let mut batch = vec![first];
        while batch.len() < WAITING
            && let Ok(next) = arriving.try_recv()
        {
            batch.push(next);
        }
        for event in store(ends, batch) {
            if events.blocking_send(event).is_err() {
                return;
            }
        }
    }
}

fn store<T: Local>(ends: &Ends<T>, batch: Vec<Arrived>) -> Vec<Event> {
    let (mut files, mut outcomes, mut ended) = (Vec::new(), Vec::new(), Vec::new());
    let mut memory = Vec::new();
    for (step, WholeFile { digest, meta, bytes }, held) in batch {
        memory.push(held);
        if let Err(error) = transfer::check_whole(digest, &bytes) {
            ended.push(Event::new(step.path, Err(SessionError::from(error))));
            continue;
        }
        let size = bytes.len() as u64;
        outcomes.push(Outcome { size, root: digest, moved: size, reused: 0, grew: false });
        files.push(SmallFile { path: step.path, bytes, meta });
    }
    let stored = ends.tree.put_many(&files, ends.preserve);
    for ((file, outcome), result) in files.into_iter().zip(outcomes).zip(stored) {
        if result.is_ok() {
            ends.meter.moved(outcome.size);
        }
        ended.push(Event::new(file.path, result.map(|()| Done::File(outcome))));
    }
    ended
}

async fn fetch_large<T: Local>(
    ends: Arc<Ends<T>>,
    files: Vec<FileStep>,
    events: mpsc::Sender<Event>,
) {
    side_by_side(ends.large_at_once(), files, |step| {
        let (ends, events) = (ends.clone(), events.clone());
        async move {
            let fetched = async {
                match same_already(&ends, &step).await? {
                    Some(outcome) => Ok(outcome),
                    None => fetch_one(&ends, &step).await,
                }
            };
            let result = fetched.await.map(Done::File);
            let _ = events.send(Event { path: step.path, result }).await;
        }
    })
    .await;
}

async fn fetch_one<T: Local>(ends: &Arc<Ends<T>>, step: &FileStep) -> Result<Outcome, TreeError> {
    let path = ends.remote(&step.path)?;
    let (tree, name) = (ends.tree.clone(), step.path.clone());
    let holds = tokio::task::spawn_blocking(move || tree.would_hold(&name)).await;
    let holds = holds.map_err(|_| SessionError::from(TransferError::Thread))?;
    let (tree, name, preserve) = (ends.tree.clone(), step.path.clone(), ends.preserve);
    let open = move |size, meta: FileMeta| tree.sink(&name, size, meta, preserve);
    Ok(ends.client.download(&path, holds, open, ends.meter.clone()).await?)
}
