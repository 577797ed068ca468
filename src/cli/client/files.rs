//! `ls`, `stat`, `mkdir`, `rm`, `mv`, `df`: one question each.

use serde_json::json;
use time::OffsetDateTime;

use super::args::{List, MakeDirectory, Remove, Rename};
use super::names::{self, one_server, same_server};
use super::remote::{Access, Job};
use crate::cli::{Exit, Failure, Ui};
use sealane_base::types::size::human;
use sealane_base::types::{Address, RemotePath};
use sealane_client::session::ListingMemory;
use sealane_protocol::Status;
use sealane_protocol::message::Entry;

/// Lists a directory.
pub(super) async fn list(ui: Ui, access: &Access, args: List) -> Result<(), Failure> {
    let path = &args.address.path;
    let remote = access.connect(&args.address, Job::Requests).await?;
    let client = &remote.client;
    let memory = ListingMemory::default();
    let all = client.list_within(path, &memory).await;
    let all = all.map_err(|error| remote.failure(path, &error))?;
    let (mut count, mut hidden, mut failed) = (0, all.hidden, 0_u64);
    let show = |entry: &Entry| {
        ui.object(&object("entry", entry));
        ui.line(&if args.long { long_line(entry) } else { short_line(entry) });
    };
    // One directory at a time, each before what is in it: no more is held than what lies beside the
    // way down.
    let mut waiting = vec![(RemotePath::default(), all.entries.into_iter())];
    while let Some((below, entries)) = waiting.last_mut() {
        let Some(entry) = entries.next() else {
            waiting.pop();
            continue;
        };
        memory.give_back([entry.name.len()]);
        count += 1;
        let seen = below.join(&entry.name);
        let shown = seen.as_ref().map_or_else(|_| entry.name.clone(), ToString::to_string);
        show(&Entry { name: shown.clone(), ..entry.clone() });
        if !args.recursive || entry.kind != 1 {
            continue;
        }
        // What a listing says comes from the server: a path that cannot be is not asked for.
        let (Ok(seen), Ok(inside)) = (&seen, seen.as_ref().map(|seen| path.prefix(seen))) else {
            hidden += 1;
            continue;
        };
        let Ok(inside) = inside else {
            hidden += 1;
            continue;
        };
        match client.list_within(&inside, &memory).await {
            Ok(more) => {
                memory.give_back(more.unfit.iter().flatten().map(String::len));
                hidden += more.hidden;
                waiting.push((seen.clone(), more.entries.into_iter()));
            }
            Err(error) => {
                failed += 1;
                ui.failure(&remote.failure(&inside, &error));
            }
        }
    }
    remote.close().await;
    ui.object(&json!({
        "type": "result", "ok": failed == 0, "entries": count, "hidden": hidden, "failed": failed,
    }));
    if hidden > 0 {
        ui.note(&format!("{hidden} more with names that cannot be shown or fetched"));
    }
    if failed > 0 { Err(Failure::told(Exit::Partial)) } else { Ok(()) }
}

/// Shows one entry.
pub(super) async fn stat(ui: Ui, access: &Access, address: &Address) -> Result<(), Failure> {
    let remote = access.connect(address, Job::Requests).await?;
    let entry = remote.client.stat(&address.path).await;
    let entry = entry.map_err(|error| remote.failure(&address.path, &error))?;
    remote.close().await;
    ui.object(&object("result", &entry));
    ui.line(&long_line(&Entry { name: address.path.to_string(), ..entry }));
    Ok(())
}

/// Makes a directory.
pub(super) async fn make_directory(
    ui: Ui,
    access: &Access,
    args: MakeDirectory,
) -> Result<(), Failure> {
    let path = &args.address.path;
    let remote = access.connect(&args.address, Job::Requests).await?;
    let made = remote.client.make_directory(path, args.parents).await;
    made.map_err(|error| remote.failure(path, &error))?;
    remote.close().await;
    done(ui);
    Ok(())
}

/// Removes files or directories; a failure does not stop the rest.
pub(super) async fn remove(ui: Ui, access: &Access, args: Remove) -> Result<(), Failure> {
    let first = one_server(&args.addresses)?;
    let remote = access.connect(first, Job::Requests).await?;
    let mut failures = Vec::new();
    for address in &args.addresses {
        if let Err(error) = remote.client.remove(&address.path, args.recursive).await {
            failures.push(remote.failure(&address.path, &error));
        }
    }
    remote.close().await;
    match (failures.len(), args.addresses.len()) {
        (0, _) => {
            done(ui);
            Ok(())
        }
        (1, 1) => Err(failures.remove(0)),
        _ => {
            failures.iter().for_each(|failure| ui.failure(failure));
            Err(Failure::told(Exit::Partial))
        }
    }
}

/// Moves or renames.
pub(super) async fn rename(ui: Ui, access: &Access, args: Rename) -> Result<(), Failure> {
    let wrong = |error: String| Failure::new(Exit::Usage, error);
    let to = if names::looks_like_address(&args.to) {
        let to = names::address(&args.to).map_err(|error| wrong(error.to_string()))?;
        same_server(&args.address, &to)?;
        to.path
    } else {
        RemotePath::parse_typed(&args.to).map_err(|error| wrong(error.to_string()))?
    };
    let from = &args.address.path;
    let remote = access.connect(&args.address, Job::Requests).await?;
    let mut moved = remote.client.rename(from, &to, args.force).await;
    // As mv does it: into a directory that is there.
    if moved.as_ref().is_err_and(|error| is_in_the_way(error.status()))
        && remote.client.stat(&to).await.is_ok_and(|there| there.kind == 1)
        && let Some(inside) = from.name().and_then(|name| to.join(name).ok())
    {
        moved = remote.client.rename(from, &inside, args.force).await;
    }
    moved.map_err(|error| {
        let failure = remote.failure(&format!("{from} -> {to}"), &error);
        match error.status() {
            Some(Status::Exists) => failure.hint("-f replaces it"),
            _ => failure,
        }
    })?;
    remote.close().await;
    done(ui);
    Ok(())
}

/// Something has the new name; only of a directory is it worth knowing.
fn is_in_the_way(status: Option<Status>) -> bool {
    matches!(status, Some(Status::Exists | Status::IsDirectory | Status::NotEmpty))
}

/// Shows what the account uses.
pub(super) async fn usage(ui: Ui, access: &Access, address: &Address) -> Result<(), Failure> {
    let remote = access.connect(address, Job::Requests).await?;
    let usage = remote.client.usage().await;
    let usage = usage.map_err(|error| remote.failure(&address.host_port(), &error))?;
    remote.close().await;
    let free = usage.limit.saturating_sub(usage.used.saturating_add(usage.reserved));
    ui.object(&json!({
        "type": "result", "ok": true, "used": usage.used, "reserved": usage.reserved,
        "limit": usage.limit, "free": free,
    }));
    ui.line(&format!(
        "{} used, {} reserved by uploads, {} free of {}",
        human(usage.used),
        human(usage.reserved),
        human(free),
        human(usage.limit)
    ));
    Ok(())
}

fn done(ui: Ui) {
    ui.object(&json!({ "type": "result", "ok": true }));
}

fn kind(entry: &Entry) -> &'static str {
    match entry.kind {
        0 => "file",
        1 => "directory",
        2 => "link",
        _ => "special",
    }
}

fn object(of: &str, entry: &Entry) -> serde_json::Value {
    json!({
        "type": of, "name": entry.name, "kind": kind(entry), "size": entry.size,
        "modified": modified(entry), "mode": format!("{:04o}", entry.mode),
    })
}

fn short_line(entry: &Entry) -> String {
    let mark = match entry.kind {
        1 => "/",
        2 => "@",
        _ => "",
    };
    format!("{}{mark}", entry.name)
}

fn long_line(entry: &Entry) -> String {
    let (kind, mode, size) = (kind(entry), entry.mode, entry.size);
    format!("{kind:<9}  {mode:04o}  {size:>14}  {}  {}", modified(entry), short_line(entry))
}

fn modified(entry: &Entry) -> String {
    utc(entry.modified)
}

/// A time in nanoseconds since 1970, in UTC, to the second.
pub(super) fn utc(nanoseconds: i64) -> String {
    match OffsetDateTime::from_unix_timestamp_nanos(i128::from(nanoseconds)) {
        Ok(time) => format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
            time.year(),
            u8::from(time.month()),
            time.day(),
            time.hour(),
            time.minute(),
            time.second()
        ),
        Err(_) => "-".to_owned(),
    }
}
