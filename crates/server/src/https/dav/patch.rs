//! `PROPPATCH`: the time of a file or directory. Other properties cannot be set.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use hyper::StatusCode;
use sealane_base::files::{EntryKind, FileMeta};

use super::asked::{Asked, as_xml};
use super::locking::{Change, require_unlocked, submitted};
use super::properties::{CLOSING, OPENING, href, propstat, response};
use super::xml::{self, DAV, Element, Name};
use crate::https::answer::{Answer, answer};
use crate::https::body::Body;
use crate::https::problem::Problem;

/// The names under which clients set the time of a file.
const TIMES: [(&str, &str); 2] =
    [(DAV, "getlastmodified"), ("urn:schemas-microsoft-com:", "Win32LastModifiedTime")];

/// Answers `PROPPATCH`: all of it is done, or nothing.
pub(super) async fn serve(asked: Asked<'_>) -> Result<Answer, Problem> {
    let Asked { session, login, place, headers, body } = asked;
    let path = place.path;
    let tokens = submitted(session, login, headers, &path).await?;
    require_unlocked(session, login, &tokens, &path, Change::Content)?;
    let request = xml::parse(&body.collect(xml::MAX_BODY).await?)?;
    let request = request.filter(|root| root.name.is_dav("propertyupdate"));
    let request = request.ok_or_else(|| Problem::bad_request("the body sets no properties"))?;
    let steps: Vec<_> = request.children.iter().flat_map(steps).collect();
    let outcomes: Vec<_> = steps.iter().map(|(name, value)| time(name, value.as_deref())).collect();
    let home = Arc::clone(login.home());
    let modified = outcomes.iter().rev().find_map(|outcome| *outcome);
    let is_good = outcomes.iter().all(Option::is_some);
    let at = path.clone();
    let set = move || {
        let entry = home.stat(&at)?;
        if let (true, Some(modified)) = (is_good, modified) {
            home.set_meta(&at, FileMeta { modified: Some(modified), mode: None })?;
        }
        Ok::<_, Problem>(entry.kind == EntryKind::Directory)
    };
    let is_directory = login.queue().run(set).await?;
    let stats = steps.iter().zip(&outcomes).map(|((name, _), outcome)| {
        let status = match (is_good, outcome) {
            (true, _) => "200 OK",
            (false, Some(_)) => "424 Failed Dependency",
            (false, None) => "403 Forbidden",
        };
        propstat(&format!("<{}/>", name.opening()), status)
    });
    let told = response(&href(&path, is_directory), &stats.collect::<String>());
    let told = format!("{OPENING}{told}{CLOSING}");
    Ok(as_xml(answer(StatusCode::MULTI_STATUS, Body::whole(told))))
}

/// What one instruction sets, or removes: `None` for the value then.
fn steps(instruction: &Element) -> Vec<(Name, Option<String>)> {
    let is_set = instruction.name.is_dav("set");
    if !is_set && !instruction.name.is_dav("remove") {
        return Vec::new();
    }
    let named = instruction.child("prop").into_iter().flat_map(|prop| &prop.children);
    named.map(|one| (one.name.clone(), is_set.then(|| one.text.clone()))).collect()
}

/// The time that a step sets, in nanoseconds since 1970; `None` if it cannot be done.
fn time(name: &Name, value: Option<&str>) -> Option<i64> {
    let is_time = TIMES.contains(&(name.namespace.as_str(), name.local.as_str()));
    let time = httpdate::parse_http_date(value.filter(|_| is_time)?.trim()).ok()?;
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_nanos()).ok()
}
