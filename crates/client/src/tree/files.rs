//! A list of files, wherever each of them is: a tree one level deep, in which a file is called by
//! its place in the list.

use std::path::PathBuf;
use std::sync::{Arc, Once};

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::ends::{Done, Ends, Event, Local};
use super::error::TreeError;
use super::plan::FileStep;
use super::run::follow;
use super::{receive, send};
use crate::client::Client;
use crate::session::SessionError;
use sealane_base::files::{
    FileMeta, FileSource, LocalSink, Sink, SmallFile, Source, StorageError, commit_all,
};
use sealane_base::types::RemotePath;
use sealane_base::types::path::PathError;
use sealane_protocol::Status;
use sealane_protocol::transfer::{Meter, Outcome};

/// A file of this machine.
#[derive(Clone, Debug)]
pub enum LocalFile {
    /// By its path; opened when its turn comes.
    Path(PathBuf),
    /// One that is open, such as spooled standard input. It cannot be downloaded to.
    Open(Arc<FileSource>),
}

/// One file to bring over.
#[derive(Clone, Debug)]
pub struct FileJob {
    /// On this machine.
    pub local: LocalFile,
    /// On the server.
    pub remote: RemotePath,
    /// Where it is uploaded to if `remote` turns out to be a directory.
    pub inside: Option<RemotePath>,
}

/// A file that arrived.
#[derive(Debug)]
pub struct Arrived {
    /// What was done.
    pub outcome: Outcome,
    /// Its path on the server.
    pub remote: RemotePath,
}

/// What became of one file: its place in the list, and its outcome.
type Finished = (usize, Result<Arrived, TreeError>);

/// The files of a list.
#[derive(Debug)]
struct Files {
    jobs: Vec<FileJob>,
    /// For a file whose size is not known before it comes: what is to expect it, once.
    expect: Option<(Arc<Meter>, Once)>,
}

impl Files {
    fn job(&self, path: &RemotePath) -> Option<&FileJob> {
        self.jobs.get(number(path))
    }

    fn local(&self, path: &RemotePath) -> Result<&LocalFile, StorageError> {
        self.job(path).map(|job| &job.local).ok_or(StorageError::NotFound)
    }
}

/// What file `number` is called in the tree.
fn name(number: usize) -> RemotePath {
    RemotePath::parse(&number.to_string()).unwrap_or_default()
}

fn number(path: &RemotePath) -> usize {
    path.as_str().trim_matches('/').parse().unwrap_or(usize::MAX)
}

impl Local for Files {
    fn remote(&self, base: &RemotePath, path: &RemotePath) -> Result<RemotePath, PathError> {
        Ok(self.job(path).map_or(base, |job| &job.remote).clone())
    }

    fn source(&self, path: &RemotePath) -> Result<Arc<FileSource>, StorageError> {
        match self.local(path)? {
            LocalFile::Path(path) => FileSource::open(path).map(Arc::new),
            LocalFile::Open(source) => Ok(source.clone()),
        }
    }

    fn would_hold(&self, path: &RemotePath) -> bool {
        matches!(self.local(path), Ok(LocalFile::Path(path)) if LocalSink::would_hold(path))
    }

    fn sink(
        &self,
        path: &RemotePath,
        size: u64,
        meta: FileMeta,
        preserve: bool,
    ) -> Result<Arc<dyn Sink>, StorageError> {
        if let Some((meter, once)) = &self.expect {
            once.call_once(|| meter.expect(size));
        }
        Ok(Arc::new(self.begin(path, size, meta, preserve)?))
    }

    fn put_many(&self, files: &[SmallFile], preserve: bool) -> Vec<Result<(), StorageError>> {
        let stage = |file: &SmallFile| {
            let sink = self.begin(&file.path, file.bytes.len() as u64, file.meta, preserve)?;
            sink.write_at(0, &file.bytes).map(|()| sink)
        };
        let staged: Vec<Result<LocalSink, StorageError>> = files.iter().map(stage).collect();
        let (mut results, mut sinks) = (Vec::new(), Vec::new());
        for outcome in staged {
            results.push(outcome.map(|sink| sinks.push(sink)));
        }
        let mut committed = commit_all(&sinks).into_iter();
        for result in results.iter_mut().filter(|result| result.is_ok()) {
            *result = committed.next().unwrap_or(Ok(()));
        }
        results
    }
}

impl Files {
    fn begin(
        &self,
        path: &RemotePath,
        size: u64,
        meta: FileMeta,
        preserve: bool,
    ) -> Result<LocalSink, StorageError> {
        match self.local(path)? {
            LocalFile::Path(path) => LocalSink::create(path, size, meta, preserve),
            LocalFile::Open(_) => Err(StorageError::NotRegular),
        }
    }
}

/// Sends every file and calls `on` for each, in the order they end. With `preserve` times and modes
/// come along.
///
/// Cancel safety: dropping the future interrupts what is under way; running it again resumes.
///
/// # Errors
/// [`SessionError`] once nothing more can succeed. A file that fails alone is told to `on`.
pub async fn upload_files(
    client: &Client,
    mut jobs: Vec<FileJob>,
    preserve: bool,
    meter: &Arc<Meter>,
    mut on: impl FnMut(usize, Result<Arrived, TreeError>),
) -> Result<(), SessionError> {
    let reading = jobs.clone();
    let sizes = tokio::task::spawn_blocking(move || reading.iter().map(size_here).collect());
    let sizes: Vec<u64> = sizes.await.unwrap_or_default();
    meter.expect(sizes.iter().sum());
    let steps: Vec<_> = sizes.iter().enumerate().map(|(at, size)| step(at, *size)).collect();
    let mut inside = Vec::new();
    let first = |(at, result): Finished| match &result {
        Err(TreeError::Session(error))
            if error.status() == Some(Status::IsDirectory)
                && jobs.get(at).is_some_and(|job| job.inside.is_some()) =>
        {
            inside.push(at);
        }
        _ => on(at, result),
    };
    let ends = ends(client, &jobs, preserve, meter, None);
    transfer(&ends, steps.clone(), send::start, first).await?;
    let again: Vec<_> = steps.into_iter().filter(|it| inside.contains(&number(&it.path))).collect();
    if again.is_empty() {
        return Ok(());
    }
    for job in &mut jobs {
        job.remote = job.inside.take().unwrap_or_else(|| job.remote.clone());
    }
    let ends = self::ends(client, &jobs, preserve, meter, None);
    transfer(&ends, again, send::start, |(at, result)| on(at, result)).await
}

/// Fetches every file and calls `on` for each, in the order they end. With `preserve` times and
/// modes come along.
///
/// Several files are asked for their sizes first, all at once; a single one comes at once.
/// Cancel safety: as for [`upload_files`].
///
/// # Errors
/// As [`upload_files`].
pub async fn download_files(
    client: &Client,
    jobs: Vec<FileJob>,
    preserve: bool,
    meter: &Arc<Meter>,
    mut on: impl FnMut(usize, Result<Arrived, TreeError>),
) -> Result<(), SessionError> {
    let mut steps = Vec::new();
    let alone = (jobs.len() == 1).then(|| (meter.clone(), Once::new()));
    if alone.is_some() {
        // Whatever its size: a transfer takes any.
        steps.push(step(0, u64::MAX));
    } else {
        for (at, size) in sizes_there(client, &jobs).await.into_iter().enumerate() {
            match size {
                Ok(size) => steps.push(step(at, size)),
                Err(error) if super::ends::is_fatal(client, &error) => return Err(error),
                Err(error) => on(at, Err(error.into())),
            }
        }
        meter.expect(steps.iter().map(|step| step.size).sum());
    }
    let ends = ends(client, &jobs, preserve, meter, alone);
    transfer(&ends, steps, receive::start, |(at, result)| on(at, result)).await
}

fn step(at: usize, size: u64) -> FileStep {
    FileStep { path: name(at), size, compare: false }
}

fn size_here(job: &FileJob) -> u64 {
    match &job.local {
        LocalFile::Open(source) => source.size(),
        // What cannot be opened fails when its turn comes.
        LocalFile::Path(path) => FileSource::open(path).map_or(0, |source| source.size()),
    }
}

/// The sizes of files on the server, asked for as many at once as it allows.
async fn sizes_there(client: &Client, jobs: &[FileJob]) -> Vec<Result<u64, SessionError>> {
    let mut sizes: Vec<_> = jobs.iter().map(|_| Ok(0)).collect();
    let (mut ahead, mut running) = (jobs.iter().enumerate(), JoinSet::new());
    loop {
        while running.len() < client.max_requests()
            && let Some((at, job)) = ahead.next()
        {
            let (client, path) = (client.clone(), job.remote.clone());
            running.spawn(async move { (at, client.stat(&path).await) });
        }
        match running.join_next().await {
            None => return sizes,
            Some(Ok((at, stat))) => {
                if let Some(size) = sizes.get_mut(at) {
                    *size = stat.map(|entry| entry.size);
                }
            }
            Some(Err(_)) => {}
        }
    }
}

fn ends(
    client: &Client,
    jobs: &[FileJob],
    preserve: bool,
    meter: &Arc<Meter>,
    expect: Option<(Arc<Meter>, Once)>,
) -> Arc<Ends<Files>> {
    let tree = Arc::new(Files { jobs: jobs.to_vec(), expect });
    let (client, base) = (client.clone(), RemotePath::default());
    Arc::new(Ends { client, tree, base, preserve, cache: None, meter: meter.clone() })
}

/// Starts one direction and tells how each file ended.
async fn transfer(
    ends: &Arc<Ends<Files>>,
    steps: Vec<FileStep>,
    start: impl FnOnce(&Arc<Ends<Files>>, Vec<FileStep>, &mpsc::Sender<Event>) -> JoinSet<()>,
    mut on: impl FnMut(Finished),
) -> Result<(), SessionError> {
    let (events, arriving) = mpsc::channel(1);
    let workers = start(ends, steps, &events);
    drop(events);
    follow(&ends.client, workers, arriving, |event: Event| {
        let arrived = event.result.map(|done| match done {
            Done::File(outcome) => Some(outcome),
            Done::Directory | Done::Removed | Done::Marked => None,
        });
        let remote = ends.remote(&event.path).unwrap_or_default();
        match arrived {
            Ok(Some(outcome)) => on((number(&event.path), Ok(Arrived { outcome, remote }))),
            Ok(None) => {}
            Err(error) => on((number(&event.path), Err(error))),
        }
    })
    .await
}
