//! Whole trees over one session: what is at both ends, what is to be done, doing it.
//!
//! One plan up front: both trees are listed, [`plan`](Plan::new) compares them without asking
//! anybody, then small files go in many messages at once and large ones as transfers beside them.
//! Nothing is trusted to stay as it was listed: each step finds out by itself and fails for itself.

mod collide;
mod compare;
mod exclude;
mod marks;
mod plan;
mod receive;
mod remote;
mod run;
mod send;

use std::sync::Arc;
use std::time::SystemTime;

use thiserror::Error;
use tokio::task::{JoinError, JoinSet};

use super::DigestCache;
use crate::session::SessionError;
use sealane_base::files::{FileSource, Source, StorageError};
use sealane_base::types::Digest;
use sealane_base::types::path::PathError;
use sealane_protocol::limits;
use sealane_protocol::transfer::{self, Meter, TransferError};

pub use collide::{folded, has_collisions, keep_first};
pub use compare::{Compared, Verdict, compare_trees};
pub use exclude::{BadPattern, Exclude};
pub use plan::{Compare, FileStep, Plan, Preserve, Removal, Rules, a_kind};
pub use remote::{Listing, list_remote};
pub use run::{Done, Ends, Event, download_tree, upload_tree};

/// Why one path of a tree was not brought over.
#[derive(Debug, Error)]
pub enum TreeError {
    /// Either end failed.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// Its name cannot exist at the other end.
    #[error(transparent)]
    Name(#[from] PathError),
    /// The directory holds this many names that the server cannot tell.
    #[error("{0} names in it cannot be fetched")]
    Hidden(u64),
    /// Something of another kind has the name at the other end.
    #[error("there is {0} of this name at the other end")]
    InTheWay(&'static str),
    /// The file system here takes the name for another one's.
    #[error("the file system here takes its name for that of '{0}'")]
    SameName(String),
}

impl From<StorageError> for TreeError {
    fn from(error: StorageError) -> Self {
        Self::Session(error.into())
    }
}

/// A path of a tree that was not brought over, and why. The path is as people know it.
#[derive(Debug)]
pub struct Problem {
    /// Relative to the tree.
    pub path: String,
    /// Why.
    pub error: TreeError,
}

impl TreeError {
    /// Its name, or those of what it holds, cannot exist at the other end; so what is there is none of it.
    fn is_about_names(&self) -> bool {
        matches!(self, Self::Name(_) | Self::Hidden(_))
    }
}

/// Memory for small files under way, in KiB.
const MEMORY_KIB: u32 = 16 * 1024;

/// A file of one chunk, which travels in one message.
fn is_small(size: u64) -> bool {
    size <= u64::from(limits::INLINE_FILE)
}

/// What a small file takes of [`MEMORY_KIB`].
fn kib(size: u64) -> u32 {
    u32::try_from(size / 1024 + 1).unwrap_or(MEMORY_KIB).min(MEMORY_KIB)
}

/// Small files that may be under way on a session of `requests`; large ones and pings need some.
fn small_at_once(requests: usize) -> usize {
    requests.saturating_sub(requests / 4).max(1)
}

/// The root of `source`, from `cache` if it is known there. Blocks.
///
/// # Errors
/// As [`transfer::root_of`].
pub fn cached_root(
    cache: Option<&DigestCache>,
    source: &FileSource,
    meter: &Meter,
) -> Result<Digest, TransferError> {
    let identity = source.identity();
    if let Some(root) = cache.and_then(|cache| cache.find(&identity)) {
        meter.reused(source.size());
        return Ok(root);
    }
    let begun = SystemTime::now();
    let root = transfer::root_of(source, meter, &|| false)?;
    if let Some(cache) = cache {
        cache.remember(identity, root, begun);
    }
    Ok(root)
}

/// Size and root of the file of this machine.
async fn root_here(ends: &Arc<Ends>, step: &FileStep) -> Result<(u64, Digest), TreeError> {
    let (tree, path) = (ends.tree.clone(), step.path.clone());
    let cache = ends.cache.clone();
    let read = tokio::task::spawn_blocking(move || -> Result<_, TransferError> {
        let source = tree.source(&path)?;
        Ok((source.size(), cached_root(cache.as_deref(), &source, &Meter::default())?))
    });
    let read = read.await.unwrap_or(Err(TransferError::Thread));
    Ok(read.map_err(SessionError::from)?)
}

/// Runs `start` for each of `jobs`, at most `limit` at once.
async fn side_by_side<Job, Running>(limit: usize, jobs: Vec<Job>, start: impl Fn(Job) -> Running)
where
    Running: Future<Output = ()> + Send + 'static,
{
    let mut running = JoinSet::new();
    for job in jobs {
        if running.len() >= limit {
            hand_on_panic(running.join_next().await);
        }
        running.spawn(start(job));
    }
    while !running.is_empty() {
        hand_on_panic(running.join_next().await);
    }
}

/// A panic is a mistake of ours: it must not look like a file that was skipped.
fn hand_on_panic(ended: Option<Result<(), JoinError>>) {
    if let Some(Err(error)) = ended
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}
