//! `verify`: are the copies on the server what is here? Nothing but digests moves.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use super::args::Verify;
use super::progress::Progress;
use super::remote::Access;
use crate::cli::{Exit, Failure, Ui, errors};
use crate::client::Link;
use crate::session::SessionError;
use crate::storage::{FileSource, Source};
use crate::transfer::{self, Meter, TransferError};
use crate::types::{Address, Digest, RemotePath};

/// Compares files with their copies; each end reads its own disk.
pub(super) async fn verify(ui: Ui, access: &Access, args: Verify) -> Result<(), Failure> {
    let into_directory = args.sources.len() > 1 || args.address.is_directory;
    let remote = access.link(&args.address).await?;
    let meter = Arc::new(Meter::default());
    let progress = Progress::start(ui, access.bar.clone(), meter.clone());
    let mut failures = Vec::new();
    for source in &args.sources {
        let name = source.display().to_string();
        let compared = match remote_path(source, &args.address, into_directory) {
            Ok(path) => compare(&remote.link, source, &path, &meter).await,
            Err(failure) => Err(failure),
        };
        progress.around(|| match &compared {
            Ok(root) => {
                ui.object(
                    &json!({ "type": "file", "path": name, "ok": true, "root": root.to_string() }),
                );
                ui.line(&format!("{root}  {name}"));
            }
            Err(failure) => ui.failure(failure),
        });
        failures.extend(compared.err());
    }
    drop(progress);
    remote.close().await;
    let (failed, all) = (failures.len(), args.sources.len());
    ui.object(&json!({ "type": "result", "ok": failed == 0, "files": all, "failed": failed }));
    match failures.first() {
        None => Ok(()),
        Some(only) if all == 1 => Err(Failure::told(only.exit)),
        Some(_) => Err(Failure::told(Exit::Partial)),
    }
}

fn remote_path(
    source: &Path,
    address: &Address,
    into_directory: bool,
) -> Result<RemotePath, Failure> {
    if !into_directory {
        return Ok(address.path.clone());
    }
    let name = source.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    address
        .path
        .join(name)
        .map_err(|error| Failure::new(Exit::Usage, format!("'{}': {error}", source.display())))
}

async fn compare(
    link: &Link,
    source: &Path,
    path: &RemotePath,
    meter: &Arc<Meter>,
) -> Result<Digest, Failure> {
    let name = source.display().to_string();
    let (local, meter) = (source.to_owned(), meter.clone());
    let here = tokio::task::spawn_blocking(move || -> Result<_, TransferError> {
        let source = FileSource::open(&local)?;
        meter.expect(source.size());
        let root = transfer::root_of(&source, &meter, &|| false)?;
        Ok((source.size(), root))
    });
    // Both ends read at the same time.
    let (here, there) = tokio::join!(here, link.digest(path));
    let here = here.unwrap_or(Err(TransferError::Thread)).map_err(SessionError::from);
    let (size, root) = here.map_err(|error| errors::session(&name, &error))?;
    let there = there.map_err(|error| errors::session(&path.to_string(), &error))?;
    if (there.size, there.root) == (size, root) {
        return Ok(root);
    }
    Err(Failure::new(
        Exit::Integrity,
        format!("{name} differs from {path}: {root} here, {} there", there.root),
    )
    .hint("'sealane put' or 'sealane get' moves only the chunks that differ"))
}
