//! `GET` and `HEAD`: a file, or a part of it, piece by piece as the peer takes it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    HeaderMap, HeaderValue, LAST_MODIFIED, RANGE,
};
use tokio::sync::mpsc::Sender;
use tokio::time::timeout;
use tracing::{Instrument as _, info};

use super::answer::{Answer, answer, nothing, set};
use super::body::{Body, CutOff};
use super::conditions::{self, Present};
use super::place::Place;
use super::problem::Problem;
use super::range::{Part, part};
use super::session::Session;
use super::setup::PIECE;
use sealane_base::files::{Source, StorageError, Version};
use sealane_core::service::Login;

/// Answers `GET`; `HEAD` is the same without the body.
pub(super) async fn serve(
    session: &Arc<Session>,
    login: &Arc<Login>,
    place: &Place,
    headers: &HeaderMap,
    is_head: bool,
) -> Result<Answer, Problem> {
    if place.is_directory {
        return Err(StorageError::IsDirectory.into());
    }
    let (home, path) = (Arc::clone(login.home()), place.path.clone());
    let source = login.queue().run(move || home.source(&path)).await?;
    let (size, version) = (source.size(), source.version());
    let present = Present { version, modified: source.meta().modified.unwrap_or(0) };
    if let Err(status) = conditions::check(headers, present, true) {
        if status == StatusCode::NOT_MODIFIED {
            return Ok(validated(nothing(status), present));
        }
        return Err(Problem::precondition());
    }
    let part = wanted(headers, version, size);
    let (status, first, length) = match part {
        Part::Whole => (StatusCode::OK, 0, size),
        Part::Some(first, length) => (StatusCode::PARTIAL_CONTENT, first, length),
        Part::Unsatisfiable => {
            let detail = "no byte of that range is in the file";
            let mut problem =
                Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "no-such-range", detail);
            let value = HeaderValue::try_from(format!("bytes */{size}")).ok();
            problem.header = value.map(|value| (CONTENT_RANGE, value));
            return Err(problem);
        }
    };
    let (pieces, body) = Body::pieces(Some(length));
    let mut told = validated(answer(status, body), present);
    let headers = told.headers_mut();
    set(headers, CONTENT_LENGTH, length);
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    // A browser that gets here saves the file and does not show it.
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    if status == StatusCode::PARTIAL_CONTENT {
        let last = first + length.saturating_sub(1);
        set(headers, CONTENT_RANGE, format!("bytes {first}-{last}/{size}"));
    }
    if is_head {
        return Ok(told);
    }
    let sending =
        Sending { session: Arc::clone(session), login: Arc::clone(login), source, pieces };
    let stop = session.stop.clone();
    let work = async move { stop.run_until_cancelled_owned(sending.send(first, length)).await };
    tokio::spawn(work.in_current_span());
    Ok(told)
}

fn wanted(headers: &HeaderMap, version: Option<Version>, size: u64) -> Part {
    let mut ranges = headers.get_all(RANGE).iter();
    let (Some(range), None) = (ranges.next(), ranges.next()) else { return Part::Whole };
    let is_same = version.is_some_and(|version| conditions::allow_range(headers, version));
    match range.to_str() {
        Ok(range) if is_same => part(range, size),
        _ => Part::Whole,
    }
}

fn validated(mut told: Answer, present: Present) -> Answer {
    if let Some(version) = present.version {
        set(told.headers_mut(), ETAG, conditions::tag(version));
    }
    if let Some(date) = conditions::date(present.modified) {
        set(told.headers_mut(), LAST_MODIFIED, date);
    }
    told
}

/// A file on its way to a peer.
struct Sending {
    session: Arc<Session>,
    login: Arc<Login>,
    source: Arc<dyn Source>,
    pieces: Sender<Result<Bytes, CutOff>>,
}

impl Sending {
    async fn send(self, mut offset: u64, length: u64) {
        let end = offset.saturating_add(length);
        if length == 0 {
            return;
        }
        let Some(_turn) = self.session.transfer_turn().await else { return };
        let _moving = self.login.transfer();
        while offset < end {
            let count = (end - offset).min(PIECE as u64);
            let piece = self.read(offset, count as usize).await;
            if let Err(error) = &piece {
                info!(%error, "https: a file could not be sent to its end");
            }
            let is_good = piece.is_ok();
            let given = self.pieces.send(piece.map_err(|_| CutOff));
            if !matches!(timeout(self.patience(), given).await, Ok(Ok(()))) || !is_good {
                return;
            }
            offset += count;
        }
    }

    /// A peer that takes a piece at the slowest rate that is let pass has time for it.
    fn patience(&self) -> Duration {
        let limits = &self.session.door.limits;
        let pieces = u32::try_from(PIECE).unwrap_or(u32::MAX) / limits.slowest.max(1);
        limits.stall.saturating_add(Duration::from_secs(pieces.into()))
    }

    /// The next piece. A file that was written to meanwhile ends here: its parts would not be of
    /// one version.
    async fn read(&self, offset: u64, count: usize) -> Result<Bytes, StorageError> {
        let source = Arc::clone(&self.source);
        let read = move || {
            let mut piece = vec![0; count];
            source.read_at(offset, &mut piece)?;
            source.check_unchanged()?;
            Ok(Bytes::from(piece))
        };
        self.login.queue().run(read).await
    }
}
