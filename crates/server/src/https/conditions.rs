//! Whether a file is as a request expects it (RFC 9110, section 13).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::StatusCode;
use hyper::header::{
    HeaderMap, HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE,
};
use sealane_base::files::Version;

/// What has the name that a request is about.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Present {
    /// `None` if nothing has it.
    pub(super) version: Option<Version>,
    /// When it was last changed, in nanoseconds since 1970.
    pub(super) modified: i64,
}

/// The entity tag of a version. It is strong: it changes with the file's bytes, time, permissions
/// and name.
pub(super) fn tag(version: Version) -> String {
    format!("\"{version}\"")
}

/// A time as HTTP writes it; `None` before 1970, which HTTP can hardly say.
pub(super) fn date(nanoseconds: i64) -> Option<String> {
    let since = Duration::from_nanos(u64::try_from(nanoseconds).ok()?);
    let time = UNIX_EPOCH.checked_add(since)?;
    // HTTP knows four digits of a year.
    (since.as_secs() < 253_402_300_800).then(|| httpdate::fmt_http_date(time))
}

/// Nothing if the request is to be done, else with what it is answered.
pub(super) fn check(
    headers: &HeaderMap,
    present: Present,
    is_read: bool,
) -> Result<(), StatusCode> {
    let failed = Err(StatusCode::PRECONDITION_FAILED);
    if let Some(tags) = all(headers, IF_MATCH) {
        if !is_among(&tags, present.version, false) {
            return failed;
        }
    } else if let Some(then) = time(headers, IF_UNMODIFIED_SINCE)
        && (present.version.is_none() || seconds(present.modified) > then)
    {
        return failed;
    }
    let not_modified = if is_read { Err(StatusCode::NOT_MODIFIED) } else { failed };
    if let Some(tags) = all(headers, IF_NONE_MATCH) {
        if is_among(&tags, present.version, true) {
            return not_modified;
        }
    } else if is_read
        && let Some(then) = time(headers, IF_MODIFIED_SINCE)
        && present.version.is_some()
        && seconds(present.modified) <= then
    {
        return not_modified;
    }
    Ok(())
}

/// Whether there is a condition on what has the name.
pub(super) fn are_any(headers: &HeaderMap) -> bool {
    [IF_MATCH, IF_NONE_MATCH, IF_UNMODIFIED_SINCE].iter().any(|name| headers.contains_key(name))
}

/// Whether a part may be sent: a request that names another version wants the whole. Our dates are
/// not exact enough to name one.
pub(super) fn allow_range(headers: &HeaderMap, present: Version) -> bool {
    let mut named = headers.get_all(IF_RANGE).iter();
    named.all(|named| named.as_bytes() == tag(present).as_bytes())
}

fn all(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    if !headers.contains_key(&name) {
        return None;
    }
    // What is not ASCII matches nothing.
    let lines = headers.get_all(name).iter().map(|line| line.to_str().unwrap_or(""));
    Some(lines.collect::<Vec<_>>().join(","))
}

fn is_among(tags: &str, present: Option<Version>, weakly: bool) -> bool {
    let Some(present) = present.map(tag) else { return false };
    // Our tags hold no comma.
    tags.split(',').map(str::trim).any(|one| {
        one == "*" || one == present || (weakly && one.strip_prefix("W/") == Some(&present))
    })
}

fn time(headers: &HeaderMap, name: HeaderName) -> Option<u64> {
    let text = headers.get(name)?.to_str().ok()?;
    let time: SystemTime = httpdate::parse_http_date(text).ok()?;
    time.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}

fn seconds(nanoseconds: i64) -> u64 {
    u64::try_from(nanoseconds / 1_000_000_000).unwrap_or(0)
}
