//! Jobs of several files over one session, side by side where that helps.
//!
//! What each file came to is handed up as it ends; a failed file does not stop the others.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::protocol::Status;
use crate::session::{Client, SessionError};
use crate::storage::{FileMeta, FileSource, LocalSink, Sink, Source, StorageError};
use crate::transfer::{Meter, Outcome, TransferError};
use crate::types::RemotePath;

/// Files under way at once; the server may allow fewer.
const SIDE_BY_SIDE: usize = 4;

/// One file to send.
#[derive(Debug)]
pub struct Upload {
    /// The file to read.
    pub from: UploadSource,
    /// Where it goes.
    pub to: RemotePath,
    /// Where it goes if `to` turns out to be a directory.
    pub inside: Option<RemotePath>,
    /// Keep its time and mode.
    pub preserve: bool,
}

/// What an upload reads.
#[derive(Debug)]
pub enum UploadSource {
    /// A file of this machine, opened when its turn comes.
    File(PathBuf),
    /// An open file, such as spooled standard input.
    Open(FileSource),
}

/// One file to fetch.
#[derive(Debug)]
pub struct Download {
    /// The file on the server.
    pub from: RemotePath,
    /// Where it goes on this machine.
    pub to: PathBuf,
    /// Keep its time and mode.
    pub preserve: bool,
}

/// What became of one file: its place in the list of jobs, and its outcome.
pub type Finished = (usize, Result<Outcome, SessionError>);

/// Sends every file and calls `finished` for each, in the order they end.
///
/// Cancel safety: dropping the future interrupts what is under way; running it again resumes.
pub async fn upload_all(
    client: &Arc<Client>,
    uploads: Vec<Upload>,
    meter: &Arc<Meter>,
    finished: impl FnMut(Finished),
) {
    let (client, meter) = (client.clone(), meter.clone());
    let limit = client.max_transfers();
    let start = move |job| upload(client.clone(), job, meter.clone());
    side_by_side(limit, uploads, start, finished).await;
}

/// Fetches every file and calls `finished` for each, in the order they end.
///
/// Cancel safety: as for [`upload_all`].
pub async fn download_all(
    client: &Arc<Client>,
    downloads: Vec<Download>,
    meter: &Arc<Meter>,
    finished: impl FnMut(Finished),
) {
    let (client, meter) = (client.clone(), meter.clone());
    let limit = client.max_transfers();
    let start = move |job| download(client.clone(), job, meter.clone());
    side_by_side(limit, downloads, start, finished).await;
}

async fn side_by_side<Job, Running>(
    limit: usize,
    jobs: Vec<Job>,
    start: impl Fn(Job) -> Running,
    mut finished: impl FnMut(Finished),
) where
    Running: Future<Output = Result<Outcome, SessionError>> + Send + 'static,
{
    let mut running = JoinSet::new();
    let mut jobs = jobs.into_iter().enumerate();
    loop {
        while running.len() < limit.min(SIDE_BY_SIDE) {
            let Some((number, job)) = jobs.next() else { break };
            let work = start(job);
            running.spawn(async move { (number, work.await) });
        }
        match running.join_next().await {
            None => return,
            Some(Ok(ended)) => finished(ended),
            // A panic is a mistake of ours: it must not look like a file that was skipped.
            Some(Err(_)) => finished((usize::MAX, Err(TransferError::Thread.into()))),
        }
    }
}

async fn upload(
    client: Arc<Client>,
    job: Upload,
    meter: Arc<Meter>,
) -> Result<Outcome, SessionError> {
    let source = open(job.from).await?;
    let meta = if job.preserve { source.meta() } else { FileMeta::default() };
    meter.expect(source.size());
    let sent = client.upload(&job.to, source.clone(), meta, meter.clone()).await;
    match (sent, job.inside) {
        (Err(error), Some(inside)) if error.status() == Some(Status::IsDirectory) => {
            client.upload(&inside, source, meta, meter).await
        }
        (sent, _) => sent,
    }
}

async fn open(from: UploadSource) -> Result<Arc<dyn Source>, SessionError> {
    let source = match from {
        UploadSource::Open(source) => source,
        UploadSource::File(path) => {
            let opened = tokio::task::spawn_blocking(move || FileSource::open(&path)).await;
            opened.map_err(|_| TransferError::Thread)??
        }
    };
    Ok(Arc::new(source))
}

async fn download(
    client: Arc<Client>,
    job: Download,
    meter: Arc<Meter>,
) -> Result<Outcome, SessionError> {
    let Download { from, to, preserve } = job;
    let held = to.clone();
    let holds = tokio::task::spawn_blocking(move || LocalSink::would_hold(&held)).await;
    let holds = holds.map_err(|_| TransferError::Thread)?;
    let expecting = meter.clone();
    let open = move |size, meta| -> Result<Arc<dyn Sink>, StorageError> {
        expecting.expect(size);
        Ok(Arc::new(LocalSink::create(&to, size, meta, preserve)?))
    };
    client.download(&from, holds, open, meter).await
}
