//! From a request to what answers it.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::HOST;
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode, Version};

use super::answer::{self, Answer};
use super::body::{Body, Unread};
use super::dav::{self, Change, require_unlocked, submitted};
use super::place::Place;
use super::problem::Problem;
use super::receive::Arriving;
use super::session::Session;
use super::{get, put, remove};

/// Methods of what is below `/files/`.
const FILES: &str = "GET, HEAD, PUT, DELETE";

/// Answers a request, whatever comes of it.
pub(super) async fn answer(session: Arc<Session>, request: Request<Incoming>) -> Answer {
    let busy = session.activity.begin();
    let (request, body) = request.into_parts();
    let is_head = request.method == Method::HEAD;
    let mut body = Arriving::new(&session, body);
    let told = respond(&session, &request, &mut body).await;
    let told = answer::guard(told.unwrap_or_else(|problem| answer::problem(&problem)));
    // The length of an answer to `HEAD` stays that of what `GET` answers.
    let told = if is_head { told.map(|_| Body::empty()) } else { told };
    let is_stream = request.version == Version::HTTP_2;
    let stop = session.stop.clone();
    let unread = is_stream.then(|| Unread { body: body.unread(), stop });
    told.map(|told| told.holding(busy, unread))
}

async fn respond(
    session: &Arc<Session>,
    request: &Parts,
    body: &mut Arriving,
) -> Result<Answer, Problem> {
    require_clear(request)?;
    let headers = &request.headers;
    let login = session.log_in(headers).await?;
    let path = request.uri.path();
    let (place, is_dav) = match (below(path, "/files"), below(path, dav::PREFIX)) {
        (Some(place), _) => (Place::parse(place)?, false),
        (None, Some(place)) => (Place::parse(place)?, true),
        (None, None) => return Err(Problem::not_found()),
    };
    match request.method.as_str() {
        "GET" => get::serve(session, &login, &place, headers, false).await,
        "HEAD" => get::serve(session, &login, &place, headers, true).await,
        "PUT" => {
            let tokens = submitted(session, &login, headers, &place.path).await?;
            put::serve(session, &login, place, headers, body, |path, is_new| {
                let change = if is_new { Change::Comes } else { Change::Content };
                require_unlocked(session, &login, &tokens, path, change)
            })
            .await
        }
        "DELETE" => {
            let tokens = submitted(session, &login, headers, &place.path).await?;
            require_unlocked(session, &login, &tokens, &place.path, Change::Goes)?;
            let gone = dav::whole(&login, &place.path)?;
            let told = remove::serve(&login, place, headers).await?;
            session.door.locks.forget(login.principal().name(), &gone);
            Ok(told)
        }
        method if is_dav => {
            let login = &login;
            dav::serve(method, dav::Asked { session, login, place, headers, body }).await
        }
        _ => Err(Problem::method_not_allowed(FILES)),
    }
}

/// What follows `prefix` in `path`, if that is a whole part of it.
fn below<'p>(path: &'p str, prefix: &str) -> Option<&'p str> {
    path.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Refuses what two readers could take for two different requests, as far as hyper has not: it
/// takes a body with a length and an encoding by its encoding, and refuses two lengths.
fn require_clear(request: &Parts) -> Result<(), Problem> {
    let headers = &request.headers;
    let hosts = headers.get_all(HOST).iter().count();
    let needs_host = request.version == Version::HTTP_11 && request.uri.host().is_none();
    if hosts > 1 || (needs_host && hosts == 0) {
        return Err(Problem::bad_request("a request names one host"));
    }
    if request.method == Method::CONNECT {
        let detail = "this is no proxy";
        return Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail));
    }
    Ok(())
}
