//! `partial ls` and `partial rm`: what interrupted uploads left on the server.

use serde_json::json;

use super::args::Remove;
use super::files::utc;
use super::names::one_server;
use super::remote::{Access, Job};
use crate::cli::{Exit, Failure, Ui};
use sealane_base::types::{Address, RemotePath};
use sealane_protocol::message::Partial;

/// Lists the partials of files at or below the address.
pub(super) async fn list(ui: Ui, access: &Access, address: &Address) -> Result<(), Failure> {
    let remote = access.connect(address, Job::Requests).await?;
    let partials = remote.client.partials().await;
    let partials = partials.map_err(|error| remote.failure(&address.host_port(), &error))?;
    remote.close().await;
    let (mut count, mut bytes) = (0u64, 0u64);
    for partial in partials.iter().filter(|partial| is_meant(partial, &address.path, true)) {
        count += 1;
        bytes = bytes.saturating_add(partial.received);
        ui.object(&json!({
            "type": "partial", "id": partial.id, "path": partial.path, "received": partial.received,
            "size": partial.size, "modified": utc(partial.modified),
        }));
        let (received, size, time) = (partial.received, partial.size, utc(partial.modified));
        ui.line(&format!("{received:>14} of {size:>14}  {time}  {}", name(partial)));
    }
    ui.object(&json!({ "type": "result", "ok": true, "partials": count, "bytes": bytes }));
    Ok(())
}

/// Removes partials; a failure does not stop the rest.
pub(super) async fn remove(ui: Ui, access: &Access, args: Remove) -> Result<(), Failure> {
    let first = one_server(&args.addresses)?;
    let remote = access.connect(first, Job::Requests).await?;
    let partials = remote.client.partials().await;
    let partials = partials.map_err(|error| remote.failure(&first.host_port(), &error))?;
    let (mut removed, mut failures) = (0u64, Vec::new());
    for address in &args.addresses {
        let mut found = false;
        for partial in partials.iter().filter(|it| is_meant(it, &address.path, args.recursive)) {
            found = true;
            match remote.client.discard_partial(&partial.id).await {
                Ok(()) => removed += 1,
                Err(error) => failures.push(remote.failure(&name(partial), &error)),
            }
        }
        if !found && !args.recursive {
            let what = format!("{}: no partial of this file", address.path);
            let hint = "'sealane partial ls' shows what is there; -r means all below a path";
            failures.push(Failure::new(Exit::NotFound, what).hint(hint));
        }
    }
    remote.close().await;
    let (failed, only) = (failures.len(), failures.len() == 1 && args.addresses.len() == 1);
    ui.object(
        &json!({ "type": "result", "ok": failed == 0, "removed": removed, "failed": failed }),
    );
    match failures.pop() {
        None => Ok(()),
        Some(failure) if only => Err(failure),
        Some(last) => {
            failures.iter().chain([&last]).for_each(|failure| ui.failure(failure));
            Err(Failure::told(Exit::Partial))
        }
    }
}

/// Whether a partial is of the file at `path` or, if `below`, of one below it. One whose path is
/// not known is below the home.
fn is_meant(partial: &Partial, path: &RemotePath, below: bool) -> bool {
    match partial.path.as_deref().map(RemotePath::parse) {
        Some(Ok(of)) => of == *path || (below && path.contains(&of)),
        _ => below && path.is_root(),
    }
}

fn name(partial: &Partial) -> String {
    partial.path.clone().unwrap_or_else(|| format!("(partial {})", partial.id))
}
