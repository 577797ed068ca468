//! `put` and `get`: which file goes where, then one job over one session.

use std::path::Path;
use std::sync::Arc;

use super::args::{Get, Put};
use super::clashes;
use super::moving::{self, Moving};
use super::progress::Progress;
use super::remote::{self, Access};
use super::trees::{self, Job};
use crate::cli::{Exit, Failure, Ui, errors};
use sealane_base::files::{FileMeta, FileSource, Sink, Source, StorageError, StreamSink, Tree};
use sealane_base::types::path::PathError;
use sealane_base::types::{Address, RemotePath};
use sealane_client::session::SessionError;
use sealane_client::{Arrived, Download, Link, Upload, UploadSource, download_all, upload_all};
use sealane_protocol::Status;
use sealane_protocol::transfer::Meter;

/// Sends files and, with `-r`, directories.
pub(super) async fn put(access: &Access, args: Put) -> Result<(), Failure> {
    if let Some(paper) = args.receipt.as_ref().filter(|paper| paper.exists()) {
        return Err(Failure::new(Exit::Usage, format!("'{}' is there already", paper.display()))
            .hint("receipts are kept: name another file"));
    }
    clashes::among_uploads(&args)?;
    let (jobs, several) = (args.sources.len(), args.sources.len() > 1);
    let (trees, files): (Vec<_>, Vec<_>) =
        args.sources.iter().partition(|source| args.recursive && is_directory(source));
    let uploads = files
        .iter()
        .map(|source| plan_upload(source, &args, several))
        .collect::<Result<Vec<_>, _>>()?;
    let here = files.iter().map(|path| path.display().to_string());
    let names: Vec<_> = here.zip(uploads.iter().map(|upload| upload.to.to_string())).collect();
    let mut moving = Moving::begin(access, &args.address, args.dry_run).await?;
    if args.receipt.is_some() {
        moving.report.keep_brought();
    }
    if args.dry_run {
        would_move(&mut moving, &names).await;
    } else {
        let (link, meter) = (moving.link.clone(), moving.meter.clone());
        upload_all(&link, uploads, &meter, |(number, result)| {
            let (from, to) = named(&names, number);
            note(&mut moving, from, to, from, result);
        })
        .await;
    }
    let job = Job::copying(&moving, args.preserve, args.dry_run);
    for source in trees {
        let put = put_tree(&job, &mut moving, source, &args.address, several).await;
        if let Err(failure) = put
            && !moving.failed(failure).await
        {
            break;
        }
    }
    drop(job);
    if let Some(paper) = &args.receipt {
        moving.receipts(paper).await;
    }
    moving.finish(jobs).await
}

async fn put_tree(
    job: &Job,
    moving: &mut Moving,
    source: &Path,
    address: &Address,
    several: bool,
) -> Result<(), Failure> {
    let from = source.display().to_string();
    let tree = Tree::open(source).map_err(|error| errors::storage(&from, &error))?;
    let (base, is_new) = tree_target(&moving.link, source, address, several, job.dry_run).await?;
    job.upload(tree, &from, &base, is_new, &mut moving.report, &moving.progress).await
}

async fn would_move(moving: &mut Moving, names: &[(String, String)]) {
    moving.link.admitted().await;
    for (from, to) in names {
        moving.report.would_move(&moving.progress, &format!("{from} -> {to}"), 0);
    }
}

/// The user's own path: a link to a directory is one.
fn is_directory(path: &Path) -> bool {
    path != Path::new("-") && path.is_dir()
}

/// Where a directory goes: into the one that the address names, or it becomes that one. Says whether it was
/// made here, so that nothing can be in it: that is asked for together with what is there.
async fn tree_target(
    link: &Link,
    source: &Path,
    address: &Address,
    several: bool,
    dry_run: bool,
) -> Result<(RemotePath, bool), Failure> {
    let into = several || address.is_directory || {
        let make = async { !dry_run && make_new(link, &address.path).await };
        let (is_new, there) = tokio::join!(make, link.stat(&address.path));
        if is_new {
            return Ok((address.path.clone(), true));
        }
        there.is_ok_and(|entry| entry.kind == 1)
    };
    // `.` and `..` have no name to go by: what they hold goes there itself.
    if !into || source.file_name().is_none() {
        return Ok((address.path.clone(), false));
    }
    let base = inside(source, address).map_err(|error| {
        Failure::new(Exit::Usage, format!("'{}': {error}", source.display()))
            .hint("give it another name on the server: put it to a full path")
    })?;
    Ok((base, false))
}

/// Makes the directory `path`; false if there was one already, or it cannot be made. An attempt whose answer was
/// lost with the connection may have made it: one that is there and empty then is taken for that.
async fn make_new(link: &Link, path: &RemotePath) -> bool {
    let made = link.run(|client, again| async move {
        match client.make_directory(path, false).await {
            Err(error) if again && error.status() == Some(Status::Exists) => {
                let there = client.list(path, None).await?;
                Ok(there.entries.is_empty() && there.hidden == 0)
            }
            made => made.map(|()| true),
        }
    });
    made.await.unwrap_or(false)
}

/// Fetches files and, with `-r`, directories.
pub(super) async fn get(ui: Ui, access: &Access, args: Get) -> Result<(), Failure> {
    let first = one_server(&args.addresses)?;
    if args.destination == Path::new("-") {
        return get_to_stdout(ui, access, &args.addresses).await;
    }
    let (jobs, several) = (args.addresses.len(), args.addresses.len() > 1);
    let mut moving = Moving::begin(access, first, args.dry_run).await?;
    moving.report.is_download();
    let (link, meter) = (moving.link.clone(), moving.meter.clone());
    let (mut trees, mut downloads) = (Vec::new(), Vec::new());
    for address in &args.addresses {
        if args.recursive && is_remote_directory(&link, address).await? {
            trees.push(address);
        } else {
            downloads.push(plan_download(address, &args.destination, several, args.preserve)?);
        }
    }
    clashes::among_downloads(&link, &args.addresses, &args.destination).await?;
    let names: Vec<_> = downloads
        .iter()
        .map(|download| (download.from.to_string(), download.to.display().to_string()))
        .collect();
    if args.dry_run {
        would_move(&mut moving, &names).await;
    } else {
        download_all(&link, downloads, &meter, |(number, result)| {
            let (from, to) = named(&names, number);
            note(&mut moving, from, to, to, result);
        })
        .await;
    }
    drop(link);
    let job = Job::copying(&moving, args.preserve, args.dry_run);
    for address in trees {
        let got = get_tree(&job, &mut moving, &address.path, &args.destination, several).await;
        if let Err(failure) = got
            && !moving.failed(failure).await
        {
            break;
        }
    }
    drop(job);
    moving.finish(jobs).await
}

async fn get_tree(
    job: &Job,
    moving: &mut Moving,
    from: &RemotePath,
    destination: &Path,
    several: bool,
) -> Result<(), Failure> {
    let inside = from.name().filter(|_| several || is_directory(destination));
    let to = inside.map_or(destination.to_owned(), |name| destination.join(name));
    let open = |make| match inside {
        Some(name) => trees::open_or_make_in(destination, name, make),
        None => trees::open_or_make(destination, make),
    };
    let to = to.display().to_string();
    job.download(from, open, &to, &mut moving.report, &moving.progress).await
}

async fn is_remote_directory(link: &Link, address: &Address) -> Result<bool, Failure> {
    match link.stat(&address.path).await {
        Ok(entry) => Ok(entry.kind == 1),
        Err(error) => Err(errors::session(&address.path.to_string(), &error)),
    }
}

/// Where file `number` of a job comes from and goes to, as people know it.
fn named(names: &[(String, String)], number: usize) -> (&str, &str) {
    names.get(number).map_or(("a file", ""), |(from, to)| (from, to))
}

fn note(
    moving: &mut Moving,
    from: &str,
    to: &str,
    local: &str,
    result: Result<Arrived, SessionError>,
) {
    match result {
        Ok(Arrived { outcome, inside }) => {
            let inside = inside.map(|path| path.to_string());
            let to = inside.as_deref().unwrap_or(to);
            moving.report.done(&moving.progress, from, to, &outcome);
        }
        Err(error) if moving::is_lost(&moving.link, &error) => {}
        Err(error) => {
            // A local error is about the local name, a refusal about the remote one.
            let what = if matches!(error, SessionError::Refused(_)) && from != to {
                format!("{from} -> {to}")
            } else {
                local.to_owned()
            };
            let failure = errors::session(&what, &error);
            let failure = match error.status() {
                Some(Status::NotFound) if from == local => failure
                    .hint("the directory it goes to is not there; 'sealane mkdir -p' makes it"),
                _ => failure,
            };
            moving.report.failed(&moving.progress, failure);
        }
    }
}

fn plan_upload(source: &Path, args: &Put, several: bool) -> Result<Upload, Failure> {
    let (address, preserve) = (&args.address, args.preserve);
    let into_directory = several || address.is_directory;
    if source == Path::new("-") {
        if into_directory {
            return Err(Failure::new(Exit::Usage, "standard input needs a file name to go to"));
        }
        let spooled = standard_input(args.allow_empty)?;
        let to = address.path.clone();
        return Ok(Upload { from: UploadSource::Open(spooled), to, inside: None, preserve: false });
    }
    let inside = inside(source, address);
    let from = UploadSource::File(source.to_owned());
    if !into_directory {
        // Its own name matters only if the target turns out to be a directory.
        return Ok(Upload { from, to: address.path.clone(), inside: inside.ok(), preserve });
    }
    let to = inside.map_err(|error| {
        Failure::new(Exit::Usage, format!("'{}': {error}", source.display()))
            .hint("give it another name on the server: put one file to a full path")
    })?;
    Ok(Upload { from, to, inside: None, preserve })
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

/// Where a file goes in the directory that `address` names.
pub(super) fn inside(source: &Path, address: &Address) -> Result<RemotePath, PathError> {
    match source.file_name().map(|name| name.to_str()) {
        Some(Some(name)) => address.path.join(name),
        Some(None) => Err(PathError::NotUtf8),
        None => Err(PathError::Dots),
    }
}

fn plan_download(
    address: &Address,
    destination: &Path,
    several: bool,
    preserve: bool,
) -> Result<Download, Failure> {
    let from = address.path.clone();
    let name = from.name().ok_or_else(|| {
        Failure::new(Exit::Usage, "the address names a home, not a file")
            .hint("'sealane ls' shows what is in it")
    })?;
    let ends_in_slash = destination.as_os_str().as_encoded_bytes().ends_with(b"/");
    let is_directory = several || ends_in_slash || destination.is_dir();
    let to = if is_directory { destination.join(name) } else { destination.to_owned() };
    Ok(Download { from, to, preserve })
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
    let client = access.login(address).await?;
    client.stay_alone().await;
    let meter = Arc::new(Meter::default());
    let progress = Progress::start(access, meter.clone(), client.admitted());
    let expecting = meter.clone();
    let open = move |size: u64, _: FileMeta| -> Result<Arc<dyn Sink>, StorageError> {
        expecting.expect(size);
        Ok(Arc::new(StreamSink::new(std::io::stdout())))
    };
    let result = client.download(&address.path, false, open, meter).await;
    drop(progress);
    remote::close(client).await;
    result.map(|_| ()).map_err(|error| errors::session(&address.path.to_string(), &error))
}

/// The first of `addresses`, which all name one account of one server.
pub(super) fn one_server(addresses: &[Address]) -> Result<&Address, Failure> {
    let first = addresses.first();
    let first = first.ok_or_else(|| Failure::new(Exit::Usage, "no address was given"))?;
    addresses.iter().try_for_each(|other| same_server(first, other))?;
    Ok(first)
}

/// A job runs over one session: all its addresses name one account of one server.
pub(super) fn same_server(first: &Address, other: &Address) -> Result<(), Failure> {
    let is_same = (&first.host, first.port, &first.user) == (&other.host, other.port, &other.user);
    if is_same {
        return Ok(());
    }
    Err(Failure::new(Exit::Usage, "the addresses name different servers or accounts")
        .hint("use one command for each"))
}
