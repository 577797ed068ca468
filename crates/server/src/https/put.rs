//! `PUT`: a file, whole and durable before it has its name; the old version stays until then.

use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap};
use tokio::time::timeout;

use super::answer::{Answer, nothing, set};
use super::conditions::{self, Present};
use super::place::Place;
use super::problem::Problem;
use super::receive::{Arriving, Receiving};
use super::session::Session;
use sealane_base::files::{FileMeta, SmallFile, StorageError};
use sealane_base::types::RemotePath;
use sealane_core::service::{Home, Login};
use sealane_core::storage::Entry;

/// A file of at most so many bytes is written in one step.
const SMALL: u64 = 64 << 10;

/// Answers `PUT`.
pub(super) async fn serve(
    session: &Arc<Session>,
    login: &Arc<Login>,
    place: Place,
    headers: &HeaderMap,
    body: &mut Arriving,
    may_change: impl Fn(&RemotePath, bool) -> Result<(), Problem>,
) -> Result<Answer, Problem> {
    let path = place.path;
    require_whole(headers)?;
    if place.is_directory {
        return Err(StorageError::IsDirectory.into());
    }
    let length = length(headers)?;
    let (home, at) = (Arc::clone(login.home()), path.clone());
    let present = login.queue().run(move || look(&home, &at)).await?;
    let is_new = matches!(present, Seen::Nothing | Seen::Forbidden);
    check(headers, &present)?;
    may_change(&path, is_new)?;
    let turn = session.transfer_turn();
    let Ok(Some(_turn)) = timeout(session.door.limits.stall, turn).await else {
        return Err(Problem::busy("too many files are on the move"));
    };
    let _moving = login.transfer();
    let meta = meta(headers);
    let version = match length {
        Some(length) if length <= SMALL && !conditions::are_any(headers) => {
            let bytes = body.collect(length as usize).await?;
            login.put(SmallFile { path, bytes, meta }).await.map_err(missing_parent)?;
            None
        }
        _ => {
            let upload = login.upload(path.clone(), length, meta).await.map_err(missing_parent)?;
            let mut receiving = Receiving::new(upload, login.queue().clone());
            let taken = receiving.take(body).await?;
            if length.is_some_and(|length| length != taken) {
                return Err(Problem::bad_request("the body is not as long as was said"));
            }
            let (home, headers) = (Arc::clone(login.home()), headers.clone());
            // Once more: it took a while to come here.
            let is_expected = move || check(&headers, &look(&home, &path)?);
            receiving.commit(is_expected).await?.version()
        }
    };
    let mut told = nothing(if is_new { StatusCode::CREATED } else { StatusCode::NO_CONTENT });
    if let Some(version) = version {
        set(told.headers_mut(), ETAG, conditions::tag(version));
    }
    if meta.modified.is_some() {
        let name = hyper::header::HeaderName::from_static("x-oc-mtime");
        set(told.headers_mut(), name, "accepted");
    }
    Ok(told)
}

/// What has the name, as far as the login may see it.
enum Seen {
    Nothing,
    Something(Entry),
    Forbidden,
}

fn look(home: &Home, path: &RemotePath) -> Result<Seen, StorageError> {
    match home.stat(path) {
        Ok(entry) => Ok(Seen::Something(entry)),
        Err(StorageError::NotFound) => Ok(Seen::Nothing),
        Err(StorageError::Forbidden) => Ok(Seen::Forbidden),
        Err(error) => Err(error),
    }
}

fn check(headers: &HeaderMap, seen: &Seen) -> Result<(), Problem> {
    let present = match seen {
        Seen::Nothing => Present::default(),
        Seen::Something(entry) => {
            Present { version: Some(entry.version), modified: entry.modified }
        }
        // What it may not see it cannot make a condition.
        Seen::Forbidden if conditions::are_any(headers) => {
            return Err(StorageError::Forbidden.into());
        }
        Seen::Forbidden => return Ok(()),
    };
    conditions::check(headers, present, false).map_err(|_| Problem::precondition())
}

/// A part of a file, or one in another coding, would be stored as if it were the file.
fn require_whole(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.contains_key(CONTENT_RANGE) {
        return Err(Problem::bad_request("a part of a file cannot be put: send all of it"));
    }
    let mut codings = headers.get_all(CONTENT_ENCODING).iter();
    if codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        let detail = "files are stored as they come: send this one without Content-Encoding";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content-encoding", detail));
    }
    Ok(())
}

fn length(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(length) = headers.get(CONTENT_LENGTH) else { return Ok(None) };
    let length = length.to_str().ok().and_then(|length| length.parse().ok());
    length.map(Some).ok_or_else(|| Problem::bad_request("Content-Length is no number"))
}

/// The time that some tools name in seconds (`X-OC-Mtime`, as rclone and Nextcloud's clients do).
fn meta(headers: &HeaderMap) -> FileMeta {
    let text = headers.get("x-oc-mtime").and_then(|time| time.to_str().ok());
    let seconds = text.and_then(|text| text.split('.').next()?.parse::<i64>().ok());
    let modified = seconds.and_then(|seconds| seconds.checked_mul(1_000_000_000));
    FileMeta { modified, mode: None }
}

/// What is missing is the directory: the file itself need not be there.
fn missing_parent(error: StorageError) -> Problem {
    match error {
        StorageError::NotFound => {
            let detail = "the directory that is to hold the file is not there";
            Problem::new(StatusCode::CONFLICT, "no-directory", detail)
        }
        error => error.into(),
    }
}
