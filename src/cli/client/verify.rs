//! `verify`: are the copies on the server what is here? Nothing but digests moves.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use super::args::Verify;
use super::progress::Progress;
use super::remembered::Remembered;
use super::remote::{self, Access};
use crate::cli::{Exit, Failure, Ui, errors};
use crate::client::DigestCache;
use crate::client::tree::cached_root;
use crate::session::{Client, SessionError};
use crate::storage::{FileSource, Source};
use crate::transfer::{Meter, TransferError};
use crate::types::{Address, Digest, RemotePath};

/// Compares files with their copies; each end reads its own disk.
pub(super) async fn verify(ui: Ui, access: &Access, args: Verify) -> Result<(), Failure> {
    let into_directory = args.sources.len() > 1 || args.address.is_directory;
    let client = access.login(&args.address).await?;
    let cache = Remembered::open(ui, !args.no_cache);
    let meter = Arc::new(Meter::default());
    let progress = Progress::start(ui, meter.clone());
    let mut failures = Vec::new();
    for source in &args.sources {
        let name = source.display().to_string();
        let compared = match remote_path(source, &args.address, into_directory) {
            Ok(path) => compare(&client, source, &path, cache.get(), &meter).await,
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
    remote::close(client).await;
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
    client: &Client,
    source: &Path,
    path: &RemotePath,
    cache: Option<Arc<DigestCache>>,
    meter: &Arc<Meter>,
) -> Result<Digest, Failure> {
    let name = source.display().to_string();
    let (local, meter) = (source.to_owned(), meter.clone());
    let here = tokio::task::spawn_blocking(move || -> Result<_, TransferError> {
        let source = FileSource::open(&local)?;
        meter.expect(source.size());
        let root = cached_root(cache.as_deref(), &source, &meter)?;
        Ok((source.size(), root))
    });
    // Both ends read at the same time.
    let (here, there) = tokio::join!(here, client.digest(path));
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
