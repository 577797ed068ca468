//! `LOCK` and `UNLOCK`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::StatusCode;
use hyper::header::HeaderMap;
use sealane_base::files::{FileMeta, SmallFile, StorageError};
use sealane_base::types::Permission;
use sealane_core::service::Login;

use super::asked::{Asked, as_xml, in_missing};
use super::locking::{Change, require_unlocked, seen, submitted, whole};
use super::properties::active;
use super::table::{Lock, Refused};
use super::xml::{self, Element};
use crate::https::answer::{Answer, answer, nothing, set};
use crate::https::body::Body;
use crate::https::problem::Problem;

/// Longest time of a lock, and that of one that asks for none.
const MOST: Duration = Duration::from_secs(3600);
const USUAL: Duration = Duration::from_secs(600);

/// Longest text by which a holder calls itself.
const MAX_OWNER: usize = 1024;

/// Answers `LOCK`: a new lock, or more time for one that is held.
pub(super) async fn lock(asked: Asked<'_>) -> Result<Answer, Problem> {
    let Asked { session, login, place, headers, body } = asked;
    let path = place.path;
    require_writer(login)?;
    let tokens = submitted(session, login, headers, &path).await?;
    let (account, at) = (login.principal().name(), whole(login, &path)?);
    let Some(wanted) = xml::parse(&body.collect(xml::MAX_BODY).await?)? else {
        let lock = session.door.locks.refresh(account, &at, &tokens, time(headers));
        let lock = lock.ok_or_else(Problem::precondition)?;
        return Ok(told(StatusCode::OK, &active(&seen(login, lock))));
    };
    let lock = read(&wanted, headers, at)?;
    let (home, look_at) = (Arc::clone(login.home()), path.clone());
    let is_there = match login.queue().run(move || home.stat(&look_at)).await {
        Ok(_) => true,
        Err(StorageError::NotFound) => false,
        Err(error) => return Err(error.into()),
    };
    if !is_there {
        require_unlocked(session, login, &tokens, &path, Change::Comes)?;
    }
    match session.door.locks.add(account, lock.clone()) {
        Ok(()) => {}
        Err(Refused::Conflict) => {
            let detail = "somebody else has locked it";
            return Err(Problem::new(StatusCode::LOCKED, "locked", detail));
        }
        Err(Refused::TooMany) => {
            return Err(Problem::busy("the account has as many locks as it may have"));
        }
    }
    if !is_there {
        let file = SmallFile { path: path.clone(), bytes: Vec::new(), meta: FileMeta::default() };
        if let Err(error) = login.put(file).await {
            session.door.locks.remove(account, &lock.path, &lock.token);
            return Err(in_missing(error));
        }
    }
    let status = if is_there { StatusCode::OK } else { StatusCode::CREATED };
    let token = lock.token.clone();
    let mut told = told(status, &active(&seen(login, lock)));
    let name = hyper::header::HeaderName::from_static("lock-token");
    set(told.headers_mut(), name, format!("<{token}>"));
    Ok(told)
}

/// A lock keeps writers away, so only a writer may have one.
fn require_writer(login: &Login) -> Result<(), Problem> {
    match login.principal().grant().permissions.allows(Permission::Write) {
        true => Ok(()),
        false => Err(StorageError::Forbidden.into()),
    }
}

/// Answers `UNLOCK`.
pub(super) fn unlock(asked: &Asked<'_>) -> Result<Answer, Problem> {
    require_writer(asked.login)?;
    let token = asked.headers.get("lock-token").and_then(|token| token.to_str().ok());
    let token = token.and_then(|token| token.trim().strip_prefix('<')?.strip_suffix('>'));
    let token = token.ok_or_else(|| Problem::bad_request("the Lock-Token header is missing"))?;
    let (account, path) = (asked.login.principal().name(), whole(asked.login, &asked.place.path)?);
    if asked.session.door.locks.remove(account, &path, token) {
        return Ok(nothing(StatusCode::NO_CONTENT));
    }
    let detail = "there is no such lock here";
    Err(Problem::new(StatusCode::CONFLICT, "no-such-lock", detail))
}

fn told(status: StatusCode, lock: &str) -> Answer {
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<D:prop xmlns:D=\"DAV:\">\
         <D:lockdiscovery>{lock}</D:lockdiscovery></D:prop>\n"
    );
    as_xml(answer(status, Body::whole(xml)))
}

fn read(
    wanted: &Element,
    headers: &HeaderMap,
    path: sealane_base::types::RemotePath,
) -> Result<Lock, Problem> {
    let wrong = || Problem::bad_request("the body asks for no lock that there is");
    if !wanted.name.is_dav("lockinfo") {
        return Err(wrong());
    }
    let scope = wanted.child("lockscope").ok_or_else(wrong)?;
    let is_shared = scope.child("shared").is_some();
    let is_write = wanted.child("locktype").is_some_and(|kind| kind.child("write").is_some());
    if !is_write || is_shared == scope.child("exclusive").is_some() {
        return Err(wrong());
    }
    let owner = wanted.child("owner").map(Element::inner).unwrap_or_default();
    let owner = owner.trim();
    if owner.len() > MAX_OWNER {
        return Err(Problem::bad_request("the owner of a lock has too long a name"));
    }
    let is_deep = match headers.get("depth").map(|depth| depth.as_bytes()) {
        Some(b"0") => false,
        None => true,
        Some(depth) if depth.eq_ignore_ascii_case(b"infinity") => true,
        Some(_) => return Err(Problem::bad_request("a lock is of depth 0 or infinity")),
    };
    let (owner, until) = (owner.to_owned(), Instant::now() + time(headers));
    Ok(Lock { token: token()?, path, is_deep, is_shared, owner, until })
}

fn token() -> Result<String, Problem> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).map_err(|_| Problem::busy("the system has no randomness"))?;
    let number = u128::from_be_bytes(bytes);
    // Version 4, as the digits say.
    let number = (number & !(0xf << 76) & !(0xc << 60)) | (0x4 << 76) | (0x8 << 60);
    let hex = format!("{number:032x}");
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    let parts = [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)];
    Ok(format!("urn:uuid:{}", parts.join("-")))
}

/// The first time that is asked for and understood, no longer than [`MOST`].
fn time(headers: &HeaderMap) -> Duration {
    let text = headers.get("timeout").and_then(|time| time.to_str().ok()).unwrap_or_default();
    let mut known = text.split(',').filter_map(|one| {
        let one = one.trim();
        if one.eq_ignore_ascii_case("infinite") {
            return Some(MOST);
        }
        let seconds = one.strip_prefix("Second-")?.parse().ok()?;
        Some(Duration::from_secs(seconds).clamp(Duration::from_secs(1), MOST))
    });
    known.next().unwrap_or(USUAL)
}
