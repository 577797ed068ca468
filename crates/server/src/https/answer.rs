//! Answers and the headers that all of them have.

use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};

use super::body::Body;
use super::problem::Problem;

pub(super) type Answer = Response<Body>;

/// What a browser must not do with any answer: guess its type, run it, show it in a frame, tell
/// others where it is from.
const GUARDS: [(HeaderName, HeaderValue); 5] = [
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("sandbox; default-src 'none'; frame-ancestors 'none'"),
    ),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (CACHE_CONTROL, HeaderValue::from_static("private, no-cache")),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];

/// An answer with a body, or without one.
pub(super) fn answer(status: StatusCode, body: Body) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer
}

pub(super) fn nothing(status: StatusCode) -> Answer {
    answer(status, Body::empty())
}

pub(super) fn problem(problem: &Problem) -> Answer {
    let mut told = answer(problem.status, Body::whole(problem.to_json()));
    let json = HeaderValue::from_static("application/problem+json");
    told.headers_mut().insert(CONTENT_TYPE, json);
    if let Some((name, value)) = &problem.header {
        told.headers_mut().insert(name, value.clone());
    }
    told
}

/// Sets a header whose value is made of ASCII; one that is not is left out.
pub(super) fn set(headers: &mut HeaderMap, name: HeaderName, value: impl ToString) {
    if let Ok(value) = HeaderValue::try_from(value.to_string()) {
        headers.insert(name, value);
    }
}

pub(super) fn guard(mut answer: Answer) -> Answer {
    for (name, value) in GUARDS {
        answer.headers_mut().insert(name, value);
    }
    answer
}
