//! `put` and `get`: which file goes where, then one job over one session.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::args::{Get, Put};
use super::clashes::{self, inside};
use super::moving::Moving;
use super::names::one_server;
use super::progress::Progress;
use super::remote::{Access, Job};
use super::trees::{self, Names};
use crate::cli::{Exit, Failure, Ui, errors};
use sealane_base::files::{FileMeta, FileSource, Sink, Source, StorageError, StreamSink, Tree};
use sealane_base::types::path::PathError;
use sealane_base::types::{Address, RemotePath};
use sealane_client::session::SessionError;
use sealane_client::tree::{
    Arrived, Compare, Copy, Destination, Exclude, FileJob, LocalFile, Preserve, Rules, TreeError,
    download_files, upload_files,
};
use sealane_protocol::Status;
use sealane_protocol::transfer::{Meter, TransferError};

/// Sends files and, with `-r`, directories.
pub(super) async fn put(access: &Access, args: Put) -> Result<(), Failure> {
    if let Some(paper) = args.receipt.as_ref().filter(|paper| paper.exists()) {
        return Err(Failure::new(Exit::Usage, format!("'{}' is there already", paper.display()))
            .hint("receipts are kept: name another file"));
    }
    clashes::among_uploads(&args)?;
    let (number, several) = (args.sources.len(), args.sources.len() > 1);
    let (trees, files): (Vec<_>, Vec<_>) =
        args.sources.iter().partition(|source| args.recursive && is_directory(source));
    let jobs = files.iter().map(|source| plan_upload(source, &args, several));
    let jobs = jobs.collect::<Result<Vec<_>, _>>()?;
    let names: Vec<_> = files.iter().map(|path| path.display().to_string()).collect();
    let mut moving = Moving::begin(access, &args.address, Job::Files).await?;
    moving.report.planning = args.dry_run;
    moving.report.brought = args.receipt.as_ref().map(|_| Vec::new());
    if args.dry_run {
        let pairs = names.iter().zip(jobs.iter().map(|job| job.remote.to_string()));
        would_move(&mut moving, pairs).await;
    } else {
        // Standard input has a name only there, and neither time nor mode.
        let preserve = args.preserve && jobs.iter().all(|job| !is_open(job));
        let (client, meter, report) =
            (moving.client.clone(), moving.meter.clone(), &mut moving.report);
        let wanted: Vec<_> = jobs.iter().map(|job| job.remote.to_string()).collect();
        let on = |at: usize, result: Result<Arrived, TreeError>| {
            let (from, to) = named(&names, &wanted, at);
            match result {
                Ok(Arrived { outcome, remote }) => {
                    report.done(from, &remote.to_string(), &outcome, false);
                }
                Err(error) => report.failed(file_failure(from, to, from, &error)),
            }
        };
        let done = upload_files(&client, jobs, preserve, &meter, on).await;
        drop(client);
        let (from, to) = named(&names, &wanted, 0);
        moving.ended(from, to, done).await;
    }
    let copy = copying(&moving, args.preserve, args.dry_run);
    for source in trees {
        match put_tree(&copy, &mut moving, source, &args.address, several).await {
            Ok(true) => {}
            Ok(false) => break,
            Err(failure) => {
                if !moving.failed(failure).await {
                    break;
                }
            }
        }
    }
    drop(copy);
    if let Some(paper) = &args.receipt {
        moving.receipts(paper).await;
    }
    moving.finish(number).await
}

/// As `put -r` and `get -r` compare: by content, or with `-p` by time.
fn copying(moving: &Moving, preserve: bool, dry_run: bool) -> Copy {
    let compare = if preserve { Compare::Time } else { Compare::Content };
    let rules = Rules { compare, delete: false, preserve: Preserve::No };
    let (client, meter) = (moving.client.clone(), moving.meter.clone());
    let exclude = Exclude::default();
    Copy { client, meter, rules, exclude, preserve, dry_run, cache: None }
}

async fn put_tree(
    copy: &Copy,
    moving: &mut Moving,
    source: &Path,
    address: &Address,
    several: bool,
) -> Result<bool, Failure> {
    let from = source.display().to_string();
    let tree = Tree::open(source).map_err(|error| errors::storage(&from, &error))?;
    let there = match several || address.is_directory {
        true => Destination::Directory,
        false => copy.destination(&address.path).await,
    };
    // `.` and `..` have no name to go by: what they hold goes there itself.
    let base = match there {
        Destination::Directory if source.file_name().is_some() => inside(source, address)
            .map_err(|error| bad_name(source, &error, "put it to a full path"))?,
        _ => address.path.clone(),
    };
    let (to, is_new) = (base.to_string(), there == Destination::New);
    let mut names = Names::new(&from, &to, &mut moving.report);
    let done = copy.upload(tree, &base, is_new, |event| names.tell(event)).await;
    Ok(moving.ended(&from, &to, done).await)
}

fn bad_name(source: &Path, error: &PathError, instead: &str) -> Failure {
    Failure::new(Exit::Usage, format!("'{}': {error}", source.display()))
        .hint(format!("give it another name on the server: {instead}"))
}

async fn would_move<'a>(moving: &mut Moving, names: impl Iterator<Item = (&'a String, String)>) {
    if moving.client.logged_in().await.is_ok() {
        for (from, to) in names {
            moving.report.would_move(&format!("{from} -> {to}"), 0);
        }
    }
}

/// The user's own path: a link to a directory is one.
fn is_directory(path: &Path) -> bool {
    path != Path::new("-") && path.is_dir()
}

fn is_open(job: &FileJob) -> bool {
    matches!(job.local, LocalFile::Open(_))
}

/// Fetches files and, with `-r`, directories.
pub(super) async fn get(ui: Ui, access: &Access, args: Get) -> Result<(), Failure> {
    let first = one_server(&args.addresses)?;
    if args.destination == Path::new("-") {
        return get_to_stdout(ui, access, &args.addresses).await;
    }
    let (number, several) = (args.addresses.len(), args.addresses.len() > 1);
    let mut moving = Moving::begin(access, first, Job::Files).await?;
    (moving.report.down, moving.report.planning) = (true, args.dry_run);
    let (mut trees, mut jobs, mut names) = (Vec::new(), Vec::new(), Vec::new());
    for address in &args.addresses {
        if args.recursive && moving.is_directory(&address.path).await? {
            trees.push(&address.path);
        } else {
            let to = plan_download(address, &args.destination, several)?;
            names.push(to.display().to_string());
            let (local, remote) = (LocalFile::Path(to), address.path.clone());
            jobs.push(FileJob { local, remote, inside: None });
        }
    }
    clashes::among_downloads(&moving.client, &args.addresses, &args.destination).await?;
    let wanted: Vec<_> = jobs.iter().map(|job| job.remote.to_string()).collect();
    if args.dry_run {
        would_move(&mut moving, wanted.iter().zip(names)).await;
    } else {
        let (client, meter, report) =
            (moving.client.clone(), moving.meter.clone(), &mut moving.report);
        let on = |at: usize, result: Result<Arrived, TreeError>| {
            let (from, to) = named(&wanted, &names, at);
            match result {
                Ok(Arrived { outcome, .. }) => report.done(from, to, &outcome, false),
                Err(error) => report.failed(file_failure(from, to, to, &error)),
            }
        };
        let done = download_files(&client, jobs, args.preserve, &meter, on).await;
        drop(client);
        let (from, to) = named(&wanted, &names, 0);
        moving.ended(to, from, done).await;
    }
    let copy = copying(&moving, args.preserve, args.dry_run);
    for from in trees {
        if !get_tree(&copy, &mut moving, from, &args.destination, several).await {
            break;
        }
    }
    drop(copy);
    moving.finish(number).await
}

async fn get_tree(
    copy: &Copy,
    moving: &mut Moving,
    from: &RemotePath,
    destination: &Path,
    several: bool,
) -> bool {
    let inside = from.name().filter(|_| several || is_directory(destination));
    let to = inside.map_or(destination.to_owned(), |name| destination.join(name));
    let (base, to) = (from.to_string(), to.display().to_string());
    let mut names = Names::new(&base, &to, &mut moving.report);
    let done = copy.download(from, destination, inside, |event| names.tell(event)).await;
    moving.ended(&to, &base, done).await
}

/// Where file `at` of a job comes from and goes to, as people know it.
fn named<'a>(from: &'a [String], to: &'a [String], at: usize) -> (&'a str, &'a str) {
    from.get(at).zip(to.get(at)).map_or(("a file", ""), |(from, to)| (from, to))
}

fn file_failure(from: &str, to: &str, local: &str, error: &TreeError) -> Failure {
    let failure = trees::failure(&trees::named(from, to, local, error), error);
    match error {
        TreeError::Session(error) if error.status() == Some(Status::NotFound) && from == local => {
            failure.hint("the directory it goes to is not there; 'sealane mkdir -p' makes it")
        }
        _ => failure,
    }
}

fn plan_upload(source: &Path, args: &Put, several: bool) -> Result<FileJob, Failure> {
    let address = &args.address;
    let into_directory = several || address.is_directory;
    let remote = address.path.clone();
    if source == Path::new("-") {
        if into_directory {
            return Err(Failure::new(Exit::Usage, "standard input needs a file name to go to"));
        }
        let spooled = Arc::new(standard_input(args.allow_empty)?);
        return Ok(FileJob { local: LocalFile::Open(spooled), remote, inside: None });
    }
    let (local, inside) = (LocalFile::Path(source.to_owned()), inside(source, address));
    if !into_directory {
        // Its own name matters only if the target turns out to be a directory.
        return Ok(FileJob { local, remote, inside: inside.ok() });
    }
    let remote = inside.map_err(|error| bad_name(source, &error, "put one file to a full path"))?;
    Ok(FileJob { local, remote, inside: None })
}

/// All of standard input, which must be something: nothing is what a program leaves that failed.
fn standard_input(allow_empty: bool) -> Result<FileSource, Failure> {
    let input = std::io::stdin();
    if sealane_base::files::was_closed(&input) {
        return Err(Failure::new(
            Exit::Other,
            "standard input is closed: there is nothing to send",
        ));
    }
    let directory = std::env::temp_dir();
    let spooled =
        sealane_base::files::spool(input.lock(), &directory).map_err(|error| match error {
            StorageError::DiskFull { .. } => {
                let place = directory.display();
                Failure::new(
                    Exit::Space,
                    format!("standard input: there is no room for it in '{place}'"),
                )
                .hint("it is kept there until its length is known: name a larger place in TMPDIR")
            }
            error => errors::storage("standard input", &error),
        })?;
    if spooled.size() == 0 && !allow_empty {
        return Err(Failure::new(Exit::Other, "standard input is empty: nothing was sent")
            .hint("did the program before the pipe fail? '--allow-empty' makes an empty file"));
    }
    Ok(spooled)
}

fn plan_download(address: &Address, destination: &Path, several: bool) -> Result<PathBuf, Failure> {
    let name = address.path.name().ok_or_else(|| {
        Failure::new(Exit::Usage, "the address names a home, not a file")
            .hint("'sealane ls' shows what is in it")
    })?;
    let ends_in_slash = destination.as_os_str().as_encoded_bytes().ends_with(b"/");
    let is_directory = several || ends_in_slash || destination.is_dir();
    Ok(if is_directory { destination.join(name) } else { destination.to_owned() })
}

async fn get_to_stdout(ui: Ui, access: &Access, addresses: &[Address]) -> Result<(), Failure> {
    let [address] = addresses else {
        return Err(Failure::new(Exit::Usage, "only one file goes to standard output"));
    };
    if ui.json {
        return Err(Failure::new(
            Exit::Usage,
            "--json and a file cannot both go to standard output",
        ));
    }
    if sealane_base::files::was_closed(std::io::stdout()) {
        return Err(Failure::new(Exit::Other, "standard output is closed: the file would be lost"));
    }
    let remote = access.connect(address, Job::Stream).await?;
    let meter = Arc::new(Meter::default());
    let progress = Progress::start(access, meter.clone(), remote.client.logged_in());
    let expecting = meter.clone();
    let open = move |size: u64, _: FileMeta| -> Result<Arc<dyn Sink>, StorageError> {
        expecting.expect(size);
        Ok(Arc::new(StreamSink::new(std::io::stdout())))
    };
    let result = remote.client.download(&address.path, false, open, meter).await;
    drop(progress);
    let result = match result {
        Ok(_) => Ok(()),
        // Its reader has seen enough, as `head` has.
        Err(SessionError::Transfer(TransferError::Storage(error))) if error.is_broken_pipe() => {
            Ok(())
        }
        Err(error) => Err(remote.failure(&address.path, &error)),
    };
    remote.close().await;
    result
}
