//! Files on their way up: small ones many at once in one message each, large ones beside them.
//!
//! One thread reads and hashes the small ones ahead, within a budget of memory, so that a file
//! costs no change of threads and no round trip of its own.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

use super::ends::{
    ATTEMPTS, Done, Ends, Event, Local, MEMORY_KIB, hand_on_panic, kib, side_by_side,
};
use super::error::TreeError;
use super::plan::{FileStep, by_size, is_small};
use crate::session::{SessionError, WholeFile};
use sealane_base::files::{FileSource, Source, StorageError};
use sealane_base::types::{Digest, RemotePath};
use sealane_protocol::transfer::{self, Outcome, TransferError};

/// Small files that are read before they are handed on, all together: to wake somebody costs as
/// much as to read one.
const TOGETHER: usize = 16;
/// Such heaps read ahead of their turn.
const AHEAD: usize = 2;
/// A small file in memory; one that has grown meanwhile is not.
enum Loaded {
    /// And whether it grew while it was read.
    Whole(WholeFile, bool),
    /// Not read: its root is remembered.
    Known(Digest, Arc<FileSource>),
    Grown(Arc<FileSource>),
}

type Ready = (FileStep, Result<Loaded, TransferError>, OwnedSemaphorePermit);

/// Starts sending `files`; each that ends is told to `events`.
pub(super) fn start<T: Local>(
    ends: &Arc<Ends<T>>,
    files: Vec<FileStep>,
    events: &mpsc::Sender<Event>,
) -> JoinSet<()> {
    let (small, large) = by_size(files);
    let mut workers = JoinSet::new();
    workers.spawn(send_small(ends.clone(), small, events.clone()));
    workers.spawn(send_large(ends.clone(), large, events.clone()));
    workers
}

async fn send_small<T: Local>(
    ends: Arc<Ends<T>>,
    files: Vec<FileStep>,
    events: mpsc::Sender<Event>,
) {
    let (ready, mut arriving) = mpsc::channel(AHEAD);
    let loading = ends.clone();
    tokio::task::spawn_blocking(move || load_all(&loading, files, &ready));
    let (mut waiting, mut running) = (VecDeque::new(), JoinSet::new());
    loop {
        while running.len() < ends.small_at_once()
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
                None => hand_on_panic(running.join_next().await),
            },
            Some(ended) = running.join_next() => hand_on_panic(Some(ended)),
        }
    }
}

/// Reads files one after another until nobody wants them any more.
fn load_all<T: Local>(ends: &Ends<T>, files: Vec<FileStep>, ready: &mpsc::Sender<Vec<Ready>>) {
    let budget = Arc::new(Semaphore::new(MEMORY_KIB as usize));
    let mut heap = Vec::with_capacity(TOGETHER);
    for step in files {
        let wanted = kib(step.size);
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

fn load<T: Local>(ends: &Ends<T>, step: &FileStep) -> Result<Loaded, TransferError> {
    let source = ends.tree.source(&step.path)?;
    if !is_small(source.size()) {
        return Ok(Loaded::Grown(source));
    }
    let cache = ends.cache.as_ref().filter(|_| step.compare);
    if let Some(root) = cache.and_then(|cache| cache.find(&source.identity())) {
        return Ok(Loaded::Known(root, source));
    }
    let begun = SystemTime::now();
    let (digest, bytes, grew) = transfer::load_whole(source.as_ref())?;
    if let Some(cache) = cache {
        cache.remember(source.identity(), digest, begun);
    }
    let meta = ends.meta(source.meta());
    Ok(Loaded::Whole(WholeFile { digest, bytes, meta }, grew))
}

async fn send_loaded<T: Local>(
    ends: &Arc<Ends<T>>,
    step: &FileStep,
    loaded: Result<Loaded, TransferError>,
) -> Result<Outcome, TreeError> {
    let path = ends.remote(&step.path)?;
    let (client, meter) = (&ends.client, &ends.meter);
    match loaded.map_err(SessionError::from)? {
        Loaded::Whole(file, grew) => {
            let root = file.digest;
            if step.compare && client.digest(&path).await.is_ok_and(|there| there.root == root) {
                return Ok(ends.unchanged(file.bytes.len() as u64, root));
            }
            let first = Mutex::new(Some(file));
            let read = || {
                let first = first.lock().unwrap_or_else(PoisonError::into_inner).take();
                async move {
                    match first {
                        Some(file) => Ok(file),
                        None => read_again(ends, step).await,
                    }
                }
            };
            let outcome = client.upload_whole(&path, read, meter).await?;
            Ok(Outcome { grew, ..outcome })
        }
        Loaded::Known(root, source)
            if client.digest(&path).await.is_ok_and(|there| there.root == root) =>
        {
            Ok(ends.unchanged(source.size(), root))
        }
        Loaded::Known(_, source) | Loaded::Grown(source) => {
            let meta = ends.meta(source.meta());
            Ok(client.upload(&path, source, meta, meter.clone()).await?)
        }
    }
}

/// Reads a small file once more, because it must be sent once more.
async fn read_again<T: Local>(
    ends: &Arc<Ends<T>>,
    step: &FileStep,
) -> Result<WholeFile, SessionError> {
    // What is remembered of it does not help: its bytes are wanted.
    let (reader, step) = (ends.clone(), FileStep { compare: false, ..step.clone() });
    let loaded = tokio::task::spawn_blocking(move || load(&reader, &step)).await;
    match loaded.map_err(|_| TransferError::Thread)?? {
        Loaded::Whole(file, _) => Ok(file),
        Loaded::Known(..) | Loaded::Grown(_) => Err(StorageError::Changed.into()),
    }
}

async fn send_large<T: Local>(
    ends: Arc<Ends<T>>,
    files: Vec<FileStep>,
    events: mpsc::Sender<Event>,
) {
    side_by_side(ends.large_at_once(), files, |step| {
        let (ends, events) = (ends.clone(), events.clone());
        async move {
            let sent = send_one(&ends, &step).await;
            let result = unless_changed(&ends, &step, sent).await.map(Done::File);
            let _ = events.send(Event { path: step.path, result }).await;
        }
    })
    .await;
}

async fn send_one<T: Local>(ends: &Arc<Ends<T>>, step: &FileStep) -> Result<Outcome, TreeError> {
    let path = ends.remote(&step.path)?;
    if step.compare {
        let here = ends.root_here(step);
        let (here, there) = tokio::join!(here, ends.client.digest(&path));
        let here = here?;
        if there.is_ok_and(|there| (there.size, there.root) == here) {
            return Ok(ends.unchanged(here.0, here.1));
        }
    }
    send_present(ends, step, &path).await
}

/// Sends what the file holds now.
async fn send_present<T: Local>(
    ends: &Arc<Ends<T>>,
    step: &FileStep,
    path: &RemotePath,
) -> Result<Outcome, TreeError> {
    let (tree, name) = (ends.tree.clone(), step.path.clone());
    let source = tokio::task::spawn_blocking(move || tree.source(&name)).await;
    let source = source.map_err(|_| SessionError::from(TransferError::Thread))??;
    let meta = ends.meta(source.meta());
    Ok(ends.client.upload(path, source, meta, ends.meter.clone()).await?)
}

/// What `sent` says, unless the file was changed while it was read: then it is read and sent anew.
async fn unless_changed<T: Local>(
    ends: &Arc<Ends<T>>,
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
