//! Jobs of several files over one session, side by side where that helps.
//!
//! What each file came to is handed up as it ends; a failed file does not stop the others.

use std::path::PathBuf;
use std::sync::{Arc, Once};

use tokio::task::JoinSet;

use super::Link;
use crate::session::SessionError;
use sealane_base::files::{FileSource, LocalSink, Sink, Source, StorageError};
use sealane_base::types::RemotePath;
use sealane_protocol::Status;
use sealane_protocol::transfer::{Meter, Outcome, TransferError};

/// Files under way at once; the server may allow fewer.
const SIDE_BY_SIDE: usize = 4;

/// Times that a file is read and sent that changes while it is read.
pub(super) const ATTEMPTS: usize = 3;

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
pub type Finished = (usize, Result<Arrived, SessionError>);

/// A file that arrived.
#[derive(Debug)]
pub struct Arrived {
    /// What was done.
    pub outcome: Outcome,
    /// Where it went on the server, if not where it was to go: into the directory that has that name.
    pub inside: Option<RemotePath>,
}

/// Sends every file and calls `finished` for each, in the order they end; once the link is over none is begun.
///
/// Cancel safety: dropping the future interrupts what is under way; running it again resumes.
pub async fn upload_all(
    link: &Arc<Link>,
    uploads: Vec<Upload>,
    meter: &Arc<Meter>,
    finished: impl FnMut(Finished),
) {
    let (link, meter) = (link.clone(), meter.clone());
    let asked = link.clone();
    let start = move |job| upload(link.clone(), job, meter.clone());
    side_by_side(&asked, uploads, start, finished).await;
}

/// Fetches every file and calls `finished` for each, in the order they end; once the link is over none is begun.
///
/// Cancel safety: as for [`upload_all`].
pub async fn download_all(
    link: &Arc<Link>,
    downloads: Vec<Download>,
    meter: &Arc<Meter>,
    finished: impl FnMut(Finished),
) {
    let (link, meter) = (link.clone(), meter.clone());
    let asked = link.clone();
    let start = move |job| download(link.clone(), job, meter.clone());
    side_by_side(&asked, downloads, start, finished).await;
}

async fn side_by_side<Job, Running>(
    link: &Link,
    jobs: Vec<Job>,
    start: impl Fn(Job) -> Running,
    mut finished: impl FnMut(Finished),
) where
    Running: Future<Output = Result<Arrived, SessionError>> + Send + 'static,
{
    let mut running = JoinSet::new();
    let mut jobs = jobs.into_iter().enumerate();
    loop {
        while running.len() < link.max_transfers().min(SIDE_BY_SIDE) && link.over().is_none() {
            let Some((number, job)) = jobs.next() else { break };
            let work = start(job);
            running.spawn(async move { (number, work.await) });
        }
        let ended = running.join_next().await;
        if ended.is_some() {
            // A file that cannot be read here is no news before the login is.
            link.admitted().await;
        }
        match ended {
            None => return,
            Some(Ok(ended)) => finished(ended),
            // A panic is a mistake of ours: it must not look like a file that was skipped.
            Some(Err(_)) => finished((usize::MAX, Err(TransferError::Thread.into()))),
        }
    }
}

async fn upload(link: Arc<Link>, job: Upload, meter: Arc<Meter>) -> Result<Arrived, SessionError> {
    let Upload { from, mut to, mut inside, preserve } = job;
    let path = match &from {
        UploadSource::File(path) => Some(path.clone()),
        UploadSource::Open(_) => None,
    };
    let (mut source, mut attempts) = (open(from).await?, 1);
    let mut went = None;
    loop {
        let meta = source.meta().told(preserve);
        meter.expect(source.size());
        match (link.upload(&to, source.clone(), meta, meter.clone()).await, inside.take()) {
            (Err(error), Some(within)) if error.status() == Some(Status::IsDirectory) => {
                (to, went) = (within.clone(), Some(within));
            }
            (Err(error), left) if attempts < ATTEMPTS && error.has_changed_here() => {
                let Some(path) = &path else { return Err(error) };
                (attempts, inside) = (attempts + 1, left);
                source = open(UploadSource::File(path.clone())).await?;
            }
            (sent, _) => return Ok(Arrived { outcome: sent?, inside: went }),
        }
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
    link: Arc<Link>,
    job: Download,
    meter: Arc<Meter>,
) -> Result<Arrived, SessionError> {
    let Download { from, to, preserve } = job;
    let held = to.clone();
    let holds = tokio::task::spawn_blocking(move || LocalSink::would_hold(&held)).await;
    let holds = holds.map_err(|_| TransferError::Thread)?;
    let (expecting, once) = (meter.clone(), Once::new());
    let open = move |size, meta| -> Result<Arc<dyn Sink>, StorageError> {
        once.call_once(|| expecting.expect(size));
        Ok(Arc::new(LocalSink::create(&to, size, meta, preserve)?))
    };
    let outcome = link.download(&from, holds, open, meter).await?;
    Ok(Arrived { outcome, inside: None })
}
