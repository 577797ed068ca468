//! Small files, many at a time: what has arrived while the disk was busy is stored together, and
//! what was asked for is read together.
//!
//! One task at a time takes all that wait, deals with them in one batch (stored with one sync), and
//! answers them together; so a file costs neither a change of threads nor a sync of its own, and
//! under a light load none waits for another.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OwnedSemaphorePermit;

use super::context::{Context, Room};
use super::refusal::Refusal;
use super::verbs::get::load_small;
use sealane_base::files::{FileMeta, SmallFile, StorageError};
use sealane_base::types::path::PathError;
use sealane_base::types::{Digest, RemotePath};
use sealane_base::workers::Queue;
use sealane_core::service::Home;
use sealane_protocol::message::{PutSmall, SizeRoot};
use sealane_protocol::transfer;
use sealane_protocol::{ServerMessage, Status, limits};

/// Files in one batch: each that is stored holds two file handles until it has its name, each that
/// is read its bytes.
const BATCH: usize = 32;

/// Bytes of answers from which they are queued: what a slow reader has waiting stays bounded.
const TOGETHER: usize = 64 << 10;

/// The small files of one session that wait.
#[derive(Clone, Debug, Default)]
pub(super) struct SmallFiles {
    arrived: Batches<Arrived>,
    wanted: Batches<Wanted>,
}

/// A small file as it arrived, and what is held for it until it is answered.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) context: Context,
    pub(super) request: PutSmall,
    pub(super) bytes: Vec<u8>,
    pub(super) held: (Vec<OwnedSemaphorePermit>, Option<Room>),
}

/// A small file that was asked for.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) context: Context,
    pub(super) path: String,
    pub(super) held: Vec<OwnedSemaphorePermit>,
}

impl SmallFiles {
    /// Has a file stored. If nobody does that already, the caller must run what is returned.
    #[must_use]
    pub(super) fn store(&self, arrived: Arrived) -> Option<impl Future<Output = ()> + use<>> {
        self.arrived.add(arrived, store)
    }

    /// Has a file read and sent. If nobody does that already, the caller must run what is returned.
    #[must_use]
    pub(super) fn send(&self, wanted: Wanted) -> Option<impl Future<Output = ()> + use<>> {
        self.wanted.add(wanted, send)
    }
}

/// What waits for the one task that serves it, if there is one.
#[derive(Debug)]
struct Batches<T>(Arc<Mutex<Waiting<T>>>);

#[derive(Debug)]
struct Waiting<T> {
    items: Vec<T>,
    is_served: bool,
}

impl<T> Clone for Batches<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Batches<T> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Waiting { items: Vec::new(), is_served: false })))
    }
}

impl<T> Batches<T> {
    /// Adds one. If nothing serves them, gives what does, batch by batch until nothing more
    /// waits.
    fn add<Work, Serve>(
        &self,
        item: T,
        serve: Serve,
    ) -> Option<impl Future<Output = ()> + use<T, Work, Serve>>
    where
        Work: Future<Output = ()>,
        Serve: Fn(Vec<T>) -> Work,
    {
        let is_served = {
            let mut waiting = self.lock();
            waiting.items.push(item);
            std::mem::replace(&mut waiting.is_served, true)
        };
        let batches = self.clone();
        (!is_served).then_some(async move {
            while let Some(batch) = batches.next() {
                serve(batch).await;
            }
        })
    }

    fn next(&self) -> Option<Vec<T>> {
        let mut waiting = self.lock();
        if waiting.items.is_empty() {
            waiting.is_served = false;
            return None;
        }
        let count = waiting.items.len().min(BATCH);
        Some(waiting.items.drain(..count).collect())
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn send(batch: Vec<Wanted>) {
    let Some(home) = batch.first().map(|first| Arc::clone(first.context.login.home())) else {
        return;
    };
    let (askers, paths): (Vec<_>, Vec<_>) =
        batch.into_iter().map(|one| ((one.context, one.held), one.path)).unzip();
    let Some(queue) = queue_of(&askers) else { return };
    answer(askers, queue.run(move || load_all(&home, &paths)).await).await;
}

/// Reads every file that was asked for.
fn load_all(home: &Home, paths: &[String]) -> Vec<Result<ServerMessage, Refusal>> {
    let parsed: Vec<_> = paths.iter().map(|path| RemotePath::parse(path)).collect();
    let good: Vec<_> = parsed.iter().flatten().cloned().collect();
    let mut opened = match home.sources(&good) {
        Ok(opened) => opened.into_iter(),
        Err(_) => return paths.iter().map(|_| Err(StorageError::Forbidden.into())).collect(),
    };
    let load = |path: Result<RemotePath, PathError>| {
        path?;
        load_small(&*opened.next().unwrap_or(Err(StorageError::NotFound))?)
    };
    parsed.into_iter().map(load).collect()
}

async fn store(batch: Vec<Arrived>) {
    let Some(home) = batch.first().map(|first| Arc::clone(first.context.login.home())) else {
        return;
    };
    let (askers, files): (Vec<_>, Vec<_>) =
        batch.into_iter().map(|one| ((one.context, one.held), (one.request, one.bytes))).unzip();
    let Some(queue) = queue_of(&askers) else { return };
    let outcomes = queue.run_long(move || store_all(&home, files)).await;
    let (mut answered, mut answers) = (Vec::new(), Vec::new());
    for (asker, outcome) in askers.into_iter().zip(outcomes) {
        match outcome {
            Outcome::Answer(answer) => {
                answered.push(asker);
                answers.push(answer);
            }
            // What is written there has been told to stop. Nothing else waits for that.
            Outcome::InUse(file) => drop(tokio::spawn(store_alone(asker, file))),
        }
    }
    answer(answered, answers).await;
}

/// What became of a file of a batch.
enum Outcome {
    Answer(Result<ServerMessage, Refusal>),
    /// Something else is being written to its name.
    InUse(SmallFile),
}

async fn store_alone<Held: Send + 'static>(asker: (Context, Held), file: SmallFile) {
    let committed = SizeRoot { size: file.bytes.len() as u64, root: Digest::of_bytes(&file.bytes) };
    let (login, cancelled) = (Arc::clone(&asker.0.login), asker.0.cancelled.clone());
    let stored = tokio::select! {
        stored = login.put(file) => stored,
        () = cancelled.cancelled() => return,
    };
    let stored = stored.map(|()| ServerMessage::Committed(committed)).map_err(Refusal::from);
    answer(vec![asker], vec![stored]).await;
}

fn queue_of<Held>(askers: &[(Context, Held)]) -> Option<Queue> {
    askers.first().map(|(context, _)| context.login.queue().clone())
}

/// Answers each of `askers`, for whom something is held until the answer is about to be written.
async fn answer<Held: Send + 'static>(
    askers: Vec<(Context, Held)>,
    results: Vec<Result<ServerMessage, Refusal>>,
) {
    let mut results = results.into_iter();
    let Some(out) = askers.first().map(|(context, _)| context.out.clone()) else { return };
    let (mut answers, mut answered) = (Vec::new(), Vec::new());
    for (context, held) in askers {
        let result = results.next().unwrap_or_else(|| Err(Refusal::new(Status::Internal)));
        let answer = result.unwrap_or_else(|refusal| context.refuse(refusal));
        answers.extend(answer.encode(context.id));
        answered.push((context, held));
        if answers.len() >= TOGETHER {
            let together = (std::mem::take(&mut answers), std::mem::take(&mut answered));
            if out.send_holding(together.0, Box::new(together.1)).await.is_err() {
                return; // the session has ended
            }
        }
    }
    if !answers.is_empty() {
        let _ = out.send_holding(answers, Box::new(answered)).await;
    }
}

/// Checks every file and stores those that are what they say, together.
fn store_all(home: &Home, files: Vec<(PutSmall, Vec<u8>)>) -> Vec<Outcome> {
    let checked: Vec<_> =
        files.into_iter().map(|(request, bytes)| checked(request, bytes)).collect();
    let (mut good, mut results) = (Vec::with_capacity(checked.len()), Vec::new());
    for file in checked {
        let committed = file.map(|(file, committed)| {
            good.push(file);
            committed
        });
        results.push(committed);
    }
    let stored = home.put_many(&good);
    let mut stored = match stored {
        Ok(stored) => stored.into_iter(),
        Err(_) => good.iter().map(|_| Err(StorageError::Forbidden)).collect::<Vec<_>>().into_iter(),
    };
    let mut good = good.into_iter();
    let outcome = |result: Result<SizeRoot, Refusal>| match result {
        Err(refusal) => Outcome::Answer(Err(refusal)),
        Ok(committed) => match (stored.next(), good.next()) {
            (Some(Err(StorageError::InUse)), Some(file)) => Outcome::InUse(file),
            (Some(Err(error)), _) => Outcome::Answer(Err(error.into())),
            _ => Outcome::Answer(Ok(ServerMessage::Committed(committed))),
        },
    };
    results.into_iter().map(outcome).collect()
}

/// The file and what is committed with it, if it is what it says.
fn checked(request: PutSmall, bytes: Vec<u8>) -> Result<(SmallFile, SizeRoot), Refusal> {
    let committed = SizeRoot { size: bytes.len() as u64, root: request.digest };
    let path = RemotePath::parse(&request.path)?;
    if bytes.len() > limits::INLINE_FILE as usize {
        return Err(Refusal::new(Status::TooLarge));
    }
    transfer::check_whole(request.digest, &bytes)?;
    let meta = FileMeta { modified: request.modified, mode: request.mode };
    Ok((SmallFile { path, bytes, meta }, committed))
}
