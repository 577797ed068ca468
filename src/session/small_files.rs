//! `PUT_SMALL`, many at a time: what has arrived while the disk was busy is stored together.
//!
//! One task at a time takes all that wait, stores them in one batch with one sync, and answers each;
//! so a file costs neither a change of threads nor a sync of its own, and under a light load none
//! waits for another.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OwnedSemaphorePermit;

use super::refusal::Refusal;
use super::requests::{Context, Room};
use super::server::{SharedHome, refuse};
use crate::protocol::message::{PutSmall, SizeRoot};
use crate::protocol::{Kind, ServerMessage, Status, limits};
use crate::storage::{FileMeta, SmallFile, StorageError};
use crate::transfer;
use crate::types::{Digest, RemotePath};

/// Files in one batch: each holds two file handles until it has its name.
const BATCH: usize = 32;

/// The small files of one session that wait to be stored.
#[derive(Clone, Debug, Default)]
pub(super) struct SmallFiles(Arc<Mutex<Queue>>);

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<Arrived>,
    is_served: bool,
}

/// A small file as it arrived, and what is held for it until it is answered.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) context: Context,
    pub(super) request: PutSmall,
    pub(super) bytes: Vec<u8>,
    pub(super) held: (Vec<OwnedSemaphorePermit>, Option<Room>),
}

impl SmallFiles {
    /// Queues a file. If nobody serves the queue, the caller must run what is returned.
    #[must_use]
    pub(super) fn push(&self, arrived: Arrived) -> Option<impl Future<Output = ()> + use<>> {
        let mut queue = self.lock();
        queue.waiting.push(arrived);
        if queue.is_served {
            return None;
        }
        queue.is_served = true;
        let files = self.clone();
        Some(async move {
            while let Some(batch) = files.next() {
                store(batch).await;
            }
        })
    }

    fn next(&self) -> Option<Vec<Arrived>> {
        let mut queue = self.lock();
        if queue.waiting.is_empty() {
            queue.is_served = false;
            return None;
        }
        let count = queue.waiting.len().min(BATCH);
        Some(queue.waiting.drain(..count).collect())
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn store(batch: Vec<Arrived>) {
    let (mut askers, mut files) = (Vec::new(), Vec::new());
    for Arrived { context, request, bytes, held } in batch {
        askers.push((context, held, request.digest, bytes.len() as u64));
        files.push((request, bytes));
    }
    let Some(home) = askers.first().map(|(context, ..)| Arc::clone(&context.home)) else { return };
    let stored = tokio::task::spawn_blocking(move || store_all(&home, files)).await;
    let mut results = match stored {
        Ok(results) => results.into_iter(),
        Err(error) => {
            let died = |_: &_| Err(Refusal::internal(&error));
            askers.iter().map(died).collect::<Vec<_>>().into_iter()
        }
    };
    let mut answers = Vec::new();
    for (context, _, root, size) in &askers {
        let answer = match results.next().unwrap_or_else(|| Err(Refusal::new(Status::Internal))) {
            Ok(()) => ServerMessage::Committed(SizeRoot { size: *size, root: *root }),
            Err(refusal) => refuse(Kind::PutSmall, context.id, refusal),
        };
        answers.extend(answer.encode(context.id));
    }
    if let Some((context, ..)) = askers.first() {
        // The session may have ended meanwhile: then nobody waits for these answers.
        let _ = context.out.send(answers).await;
    }
}

/// Checks every file and stores those that are what they say, together.
fn store_all(home: &SharedHome, files: Vec<(PutSmall, Vec<u8>)>) -> Vec<Result<(), Refusal>> {
    let mut good = Vec::with_capacity(files.len());
    let mut results = Vec::with_capacity(files.len());
    for (request, bytes) in files {
        let digest = request.digest;
        results.push(checked(request, bytes, digest).map(|file| good.push(file)));
    }
    let mut stored = home.put_many(&good).into_iter();
    for result in results.iter_mut().filter(|result| result.is_ok()) {
        let outcome: Option<Result<(), StorageError>> = stored.next();
        if let Some(Err(error)) = outcome {
            *result = Err(error.into());
        }
    }
    results
}

fn checked(request: PutSmall, bytes: Vec<u8>, digest: Digest) -> Result<SmallFile, Refusal> {
    let path = RemotePath::parse(&request.path)?;
    if bytes.len() > limits::INLINE_FILE as usize {
        return Err(Refusal::new(Status::TooLarge));
    }
    transfer::check_whole(digest, &bytes)?;
    let meta = FileMeta { modified: request.modified, mode: request.mode };
    Ok(SmallFile { path, bytes, meta })
}
