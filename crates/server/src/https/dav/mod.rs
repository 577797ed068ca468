//! WebDAV, class 1 and 2 (RFC 4918), below `/dav/`: for mounts and for tools that keep things in
//! step.
//!
//! Properties are those that a file has anyway; others cannot be stored. Locks hold among WebDAV's
//! clients and plain HTTP's, of one account.

mod asked;
mod condition;
mod find;
mod lock;
mod locking;
mod moving;
mod patch;
mod properties;
pub(super) mod table;
mod tree;
mod xml;

use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::{ALLOW, HeaderName, HeaderValue};

pub(super) use asked::Asked;
pub(super) use locking::{Change, require_unlocked, submitted, whole};
pub(super) use properties::PREFIX;

use asked::in_missing;

use super::answer::{Answer, nothing};
use super::problem::Problem;
use sealane_base::files::StorageError;

const METHODS: &str = "OPTIONS, GET, HEAD, PUT, DELETE, PROPFIND, PROPPATCH, MKCOL, COPY, MOVE, \
                       LOCK, UNLOCK";

/// Answers the methods that are WebDAV's own.
pub(super) async fn serve(method: &str, asked: Asked<'_>) -> Result<Answer, Problem> {
    match method {
        "OPTIONS" => Ok(options()),
        "PROPFIND" => find::serve(asked).await,
        "PROPPATCH" => patch::serve(asked).await,
        "MKCOL" => make(asked).await,
        "COPY" => moving::serve(asked, false).await,
        "MOVE" => moving::serve(asked, true).await,
        "LOCK" => lock::lock(asked).await,
        "UNLOCK" => lock::unlock(&asked),
        _ => Err(Problem::method_not_allowed(METHODS)),
    }
}

fn options() -> Answer {
    let mut told = nothing(StatusCode::OK);
    let headers = told.headers_mut();
    headers.insert(ALLOW, HeaderValue::from_static(METHODS));
    headers.insert(HeaderName::from_static("dav"), HeaderValue::from_static("1, 2"));
    let by = HeaderName::from_static("ms-author-via");
    headers.insert(by, HeaderValue::from_static("DAV"));
    told
}

async fn make(asked: Asked<'_>) -> Result<Answer, Problem> {
    let Asked { session, login, place, headers, body } = asked;
    let tokens = submitted(session, login, headers, &place.path).await?;
    require_unlocked(session, login, &tokens, &place.path, Change::Comes)?;
    if !body.collect(xml::MAX_BODY).await?.is_empty() {
        let detail = "a directory is made without a body";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unexpected-body", detail));
    }
    let home = Arc::clone(login.home());
    let made = login.queue().run(move || home.make_directory(&place.path, false)).await;
    match made {
        Ok(()) => Ok(nothing(StatusCode::CREATED)),
        Err(StorageError::Exists) => Err(Problem::method_not_allowed(METHODS)),
        Err(error) => Err(in_missing(error)),
    }
}
