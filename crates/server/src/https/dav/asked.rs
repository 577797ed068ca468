//! A request to WebDAV, and what all of its answers have.

use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

use crate::https::answer::{Answer, answer};
use crate::https::body::Body;
use crate::https::place::Place;
use crate::https::problem::Problem;
use crate::https::receive::Arriving;
use crate::https::session::Session;
use sealane_base::files::StorageError;
use sealane_core::service::Login;

/// A request to a place below `/dav/`.
#[derive(Debug)]
pub(in crate::https) struct Asked<'a> {
    pub(in crate::https) session: &'a Arc<Session>,
    pub(in crate::https) login: &'a Arc<Login>,
    pub(in crate::https) place: Place,
    pub(in crate::https) headers: &'a HeaderMap,
    pub(in crate::https) body: &'a mut Arriving,
}

/// A failure to make something: what is missing is its directory.
pub(super) fn in_missing(error: StorageError) -> Problem {
    match error {
        StorageError::NotFound => {
            let detail = "the directory that is to hold it is not there";
            Problem::new(StatusCode::CONFLICT, "no-directory", detail)
        }
        error => error.into(),
    }
}

pub(super) fn as_xml(mut told: Answer) -> Answer {
    let xml = HeaderValue::from_static("application/xml; charset=utf-8");
    told.headers_mut().insert(CONTENT_TYPE, xml);
    told
}

/// A problem as WebDAV names it.
pub(super) fn error(problem: &Problem, condition: &str) -> Answer {
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
         <D:error xmlns:D=\"DAV:\"><D:{condition}/></D:error>\n"
    );
    as_xml(answer(problem.status, Body::whole(xml)))
}
