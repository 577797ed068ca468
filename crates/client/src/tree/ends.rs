//! The two ends between which files are brought over, and what both directions share.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::task::{JoinError, JoinSet};

use super::error::TreeError;
use super::plan::FileStep;
use crate::client::Client;
use crate::digest_cache::DigestCache;
use crate::session::SessionError;
use sealane_base::files::{FileMeta, FileSource, Sink, SmallFile, Source, StorageError, Tree};
use sealane_base::types::path::PathError;
use sealane_base::types::{Digest, RemotePath};
use sealane_protocol::Status;
use sealane_protocol::transfer::{self, Meter, Outcome, TransferError};

/// Memory for small files under way, in KiB.
pub(super) const MEMORY_KIB: u32 = 16 * 1024;
/// Times that a file is read and sent that changes while it is read.
pub(super) const ATTEMPTS: usize = 3;
/// Transfers of large files at once.
const LARGE: usize = 4;

/// Files of this machine, by paths of a tree. All of it blocks.
pub trait Local: Debug + Send + Sync + 'static {
    /// The path on the server of what `path` is here, with the tree on the server at `base`.
    ///
    /// # Errors
    /// [`PathError`] if it is too long or too deep.
    fn remote(&self, base: &RemotePath, path: &RemotePath) -> Result<RemotePath, PathError> {
        path.components().try_fold(base.clone(), |path, name| path.join(name))
    }

    /// Opens a file for reading.
    ///
    /// # Errors
    /// [`StorageError`].
    fn source(&self, path: &RemotePath) -> Result<Arc<FileSource>, StorageError>;

    /// Whether there is anything at or beside `path` that a download could hold.
    fn would_hold(&self, path: &RemotePath) -> bool;

    /// Begins to receive a file of `size` bytes.
    ///
    /// # Errors
    /// [`StorageError`].
    fn sink(
        &self,
        path: &RemotePath,
        size: u64,
        meta: FileMeta,
        preserve: bool,
    ) -> Result<Arc<dyn Sink>, StorageError>;

    /// Stores whole files durably; the results are in their order.
    fn put_many(&self, files: &[SmallFile], preserve: bool) -> Vec<Result<(), StorageError>>;
}

impl Local for Tree {
    fn source(&self, path: &RemotePath) -> Result<Arc<FileSource>, StorageError> {
        Self::source(self, path).map(Arc::new)
    }

    fn would_hold(&self, path: &RemotePath) -> bool {
        Self::would_hold(self, path)
    }

    fn sink(
        &self,
        path: &RemotePath,
        size: u64,
        meta: FileMeta,
        preserve: bool,
    ) -> Result<Arc<dyn Sink>, StorageError> {
        Ok(Arc::new(Self::sink(self, path, size, meta, preserve)?))
    }

    fn put_many(&self, files: &[SmallFile], preserve: bool) -> Vec<Result<(), StorageError>> {
        Self::put_many(self, files, preserve)
    }
}

/// The two ends of a tree, and how its files are brought over.
#[derive(Debug)]
pub struct Ends<T = Tree> {
    /// The client.
    pub client: Client,
    /// The tree on the server.
    pub base: RemotePath,
    /// Keep times and modes.
    pub preserve: bool,
    /// Roots of the files on this machine, if they are remembered.
    pub cache: Option<Arc<DigestCache>>,
    /// Counts bytes.
    pub meter: Arc<Meter>,
    /// The tree on this machine.
    pub tree: Arc<T>,
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

    /// An error if nothing else can succeed either.
    pub(super) fn into_fatal(self, client: &Client) -> Result<Self, SessionError> {
        match self.result {
            Err(TreeError::Session(error)) if is_fatal(client, &error) => Err(error),
            result => Ok(Self { result, ..self }),
        }
    }
}

/// The connection is gone or the login failed: that is told once, and not for every file.
pub(super) fn is_fatal(client: &Client, error: &SessionError) -> bool {
    match error {
        SessionError::Connection(_) => true,
        SessionError::Transfer(_) => false,
        error => client.failure().is_some() || error.status() == Some(Status::ShuttingDown),
    }
}

impl<T: Local> Ends<T> {
    pub(super) fn remote(&self, path: &RemotePath) -> Result<RemotePath, PathError> {
        self.tree.remote(&self.base, path)
    }

    pub(super) fn meta(&self, meta: FileMeta) -> FileMeta {
        meta.told(self.preserve)
    }

    /// Large files that may be under way.
    pub(super) fn large_at_once(&self) -> usize {
        LARGE.min(self.client.max_transfers())
    }

    /// Small files that may be under way; large ones and pings need some requests, too.
    pub(super) fn small_at_once(&self) -> usize {
        let requests = self.client.max_requests();
        requests.saturating_sub(requests / 4).max(1)
    }

    /// A file that the other end has already.
    pub(super) fn unchanged(&self, size: u64, root: Digest) -> Outcome {
        self.meter.reused(size);
        Outcome { size, root, moved: 0, reused: size, grew: false }
    }

    /// Size and root of the file of this machine.
    pub(super) async fn root_here(&self, step: &FileStep) -> Result<(u64, Digest), TreeError> {
        let (tree, path) = (self.tree.clone(), step.path.clone());
        let cache = self.cache.clone();
        let read = tokio::task::spawn_blocking(move || -> Result<_, TransferError> {
            let source = tree.source(&path)?;
            Ok((source.size(), cached_root(cache.as_deref(), &source, &Meter::default())?))
        });
        let read = read.await.unwrap_or(Err(TransferError::Thread));
        Ok(read.map_err(SessionError::from)?)
    }
}

/// What a small file takes of [`MEMORY_KIB`].
pub(super) fn kib(size: u64) -> u32 {
    u32::try_from(size / 1024 + 1).unwrap_or(MEMORY_KIB).min(MEMORY_KIB)
}

/// The root of `source`, from `cache` if it is known there. Blocks.
pub(super) fn cached_root(
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

/// Runs `start` for each of `jobs`, at most `limit` at once.
pub(super) async fn side_by_side<Job, Running>(
    limit: usize,
    jobs: Vec<Job>,
    start: impl Fn(Job) -> Running,
) where
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
pub(super) fn hand_on_panic(ended: Option<Result<(), JoinError>>) {
    if let Some(Err(error)) = ended
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}
