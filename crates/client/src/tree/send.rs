//! Files of a tree on their way up: small ones many at once in one message each, large ones beside
//! them.
//!
//! One thread reads and hashes the small ones ahead, within a budget of memory, so that a file costs
//! no change of threads and no round trip of its own.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

use super::TreeError;
use super::plan::FileStep;
use super::run::{Done, Ends, Event, by_size};
use crate::jobs::ATTEMPTS;
use crate::session::SessionError;
use sealane_base::files::{FileMeta, FileSource, Source, StorageError};
use sealane_base::types::{Digest, RemotePath};
use sealane_protocol::transfer::{self, Meter, Outcome, TransferError};

/// Small files that are read before they are handed on, all together: to wake somebody costs as much as to read one.
const TOGETHER: usize = 16;
/// Such heaps read ahead of their turn.
const AHEAD: usize = 2;
/// Transfers of large files at once.
const LARGE: usize = 4;

/// A small file in memory; one that has grown meanwhile is not.
enum Loaded {
    Whole {
        digest: Digest,
        bytes: Vec<u8>,
        meta: FileMeta,
        grew: bool,
    },
    /// Not read: its root is remembered.
    Known(Digest, FileSource),
    Grown(FileSource),
}

type Ready = (FileStep, Result<Loaded, TransferError>, OwnedSemaphorePermit);

/// Starts sending `files`; each that ends is told to `events`.
pub(super) fn lanes(
    ends: &Arc<Ends>,
    files: Vec<FileStep>,
    events: &mpsc::Sender<Event>,
) -> JoinSet<()> {
    let (small, large) = by_size(files);
    let mut lanes = JoinSet::new();
    lanes.spawn(send_small(ends.clone(), small, events.clone()));
    lanes.spawn(send_large(ends.clone(), large, events.clone()));
    lanes
}

async fn send_small(ends: Arc<Ends>, files: Vec<FileStep>, events: mpsc::Sender<Event>) {
    let (ready, mut arriving) = mpsc::channel(AHEAD);
    let loading = ends.clone();
    tokio::task::spawn_blocking(move || load_all(&loading, files, &ready));
    let (mut waiting, mut running) = (VecDeque::new(), JoinSet::new());
    loop {
        while running.len() < super::small_at_once(ends.client.max_requests())
            && let Some(ready) = waiting.pop_front()
        {
            let (ends, events) = (ends.clone(), events.clone());
            running.spawn(async move {
                let (step, loaded, _memory): Ready = ready;
                let sent = send_loaded(&ends, &step, loaded).await;
                let result = unless_changed(&ends, &step, sent).await.map(Done::File);
                let _ = events.send(Event { path: step.path, result }).await;
            });
        }
        tokio::select! {
            next = arriving.recv(), if waiting.is_empty() => match next {
                Some(heap) => waiting.extend(heap),
                None if running.is_empty() => return,
                None => super::hand_on_panic(running.join_next().await),
            },
            Some(ended) = running.join_next() => super::hand_on_panic(Some(ended)),
        }
    }
}

/// Reads files one after another until nobody wants them any more.
fn load_all(ends: &Ends, files: Vec<FileStep>, ready: &mpsc::Sender<Vec<Ready>>) {
    let budget = Arc::new(Semaphore::new(super::MEMORY_KIB as usize));
    let mut heap = Vec::with_capacity(TOGETHER);
    for step in files {
        let wanted = super::kib(step.size);
        let memory = match Arc::clone(&budget).try_acquire_many_owned(wanted) {
            Ok(memory) => memory,
            Err(_) => {
                // What is held here comes back only after it was sent.
                if ready.blocking_send(std::mem::take(&mut heap)).is_err() {
                    return;
                }
                let waiting = Arc::clone(&budget).acquire_many_owned(wanted);
                let Ok(memory) = Handle::current().block_on(waiting) else { return };
                memory
            }
        };
        let loaded = load(ends, &step);
        heap.push((step, loaded, memory));
        if heap.len() >= TOGETHER && ready.blocking_send(std::mem::take(&mut heap)).is_err() {
            return;
        }
    }
    let _ = ready.blocking_send(heap);
}

fn load(ends: &Ends, step: &FileStep) -> Result<Loaded, TransferError> {
    let source = ends.tree.source(&step.path)?;
    if !super::is_small(source.size()) {
        return Ok(Loaded::Grown(source));
    }
    let cache = ends.cache.as_ref().filter(|_| step.compare);
    if let Some(root) = cache.and_then(|cache| cache.find(&source.identity())) {
        return Ok(Loaded::Known(root, source));
    }
    let begun = SystemTime::now();
    let (digest, bytes, grew) = transfer::load_whole(&source)?;
    if let Some(cache) = cache {
        cache.remember(source.identity(), digest, begun);
    }
    Ok(Loaded::Whole { digest, bytes, meta: ends.meta(source.meta()), grew })
}

async fn send_loaded(
    ends: &Arc<Ends>,
    step: &FileStep,
    loaded: Result<Loaded, TransferError>,
) -> Result<Outcome, TreeError> {
    let path = ends.remote(&step.path)?;
    let (client, meter) = (&ends.client, &ends.meter);
    match loaded.map_err(SessionError::from)? {
        Loaded::Whole { digest, bytes, meta, grew } => {
            if step.compare && client.digest(&path).await.is_ok_and(|there| there.root == digest) {
                return Ok(held(bytes.len() as u64, digest, meter));
            }
            let again = || read_again(ends, step);
            let outcome = client.upload_whole(&path, (digest, bytes, meta), again, meter).await?;
            Ok(Outcome { grew, ..outcome })
        }
        Loaded::Known(root, source)
            if client.digest(&path).await.is_ok_and(|there| there.root == root) =>
        {
            Ok(held(source.size(), root, meter))
        }
        Loaded::Known(_, source) | Loaded::Grown(source) => {
            let meta = ends.meta(source.meta());
            Ok(client.upload(&path, Arc::new(source), meta, meter.clone()).await?)
        }
    }
}

/// Reads a small file once more, because it must be sent once more.
async fn read_again(
    ends: &Arc<Ends>,
    step: &FileStep,
) -> Result<(Digest, Vec<u8>, FileMeta), SessionError> {
    // What is remembered of it does not help: its bytes are wanted.
    let (reader, step) = (ends.clone(), FileStep { compare: false, ..step.clone() });
    let loaded = tokio::task::spawn_blocking(move || load(&reader, &step)).await;
    match loaded.map_err(|_| TransferError::Thread)?? {
        Loaded::Whole { digest, bytes, meta, .. } => Ok((digest, bytes, meta)),
        Loaded::Known(..) | Loaded::Grown(_) => Err(StorageError::Changed.into()),
    }
}

async fn send_large(ends: Arc<Ends>, files: Vec<FileStep>, events: mpsc::Sender<Event>) {
    super::side_by_side(LARGE.min(ends.client.max_transfers()), files, |step| {
        let (ends, events) = (ends.clone(), events.clone());
        async move {
            let sent = send_one(&ends, &step).await;
            let result = unless_changed(&ends, &step, sent).await.map(Done::File);
            let _ = events.send(Event { path: step.path, result }).await;
        }
    })
    .await;
}

async fn send_one(ends: &Arc<Ends>, step: &FileStep) -> Result<Outcome, TreeError> {
    let path = ends.remote(&step.path)?;
    if step.compare {
        let here = super::root_here(ends, step);
        let (here, there) = tokio::join!(here, ends.client.digest(&path));
        let here = here?;
        if there.is_ok_and(|there| (there.size, there.root) == here) {
            return Ok(held(here.0, here.1, &ends.meter));
        }
    }
    send_present(ends, step, &path).await
}

/// Sends what the file holds now.
async fn send_present(
    ends: &Arc<Ends>,
    step: &FileStep,
    path: &RemotePath,
) -> Result<Outcome, TreeError> {
    let (tree, name) = (ends.tree.clone(), step.path.clone());
    let source = tokio::task::spawn_blocking(move || tree.source(&name)).await;
    let source = source.map_err(|_| SessionError::from(TransferError::Thread))??;
    let meta = ends.meta(source.meta());
    Ok(ends.client.upload(path, Arc::new(source), meta, ends.meter.clone()).await?)
}

/// What `sent` says, unless the file was changed while it was read: then it is read and sent anew.
async fn unless_changed(
    ends: &Arc<Ends>,
    step: &FileStep,
    mut sent: Result<Outcome, TreeError>,
) -> Result<Outcome, TreeError> {
    let path = ends.remote(&step.path)?;
    for _ in 1..ATTEMPTS {
        match &sent {
            Err(TreeError::Session(error)) if error.has_changed_here() => {}
            _ => break,
        }
        ends.meter.expect(step.size);
        sent = send_present(ends, step, &path).await;
    }
    sent
}

/// A file that the other end has already.
pub(super) fn held(size: u64, root: Digest, meter: &Meter) -> Outcome {
    meter.reused(size);
    Outcome { size, root, moved: 0, reused: size, grew: false }
}
