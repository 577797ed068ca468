//! `sync`: one directory becomes what another is.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::args::Sync;
use super::names;
use super::progress::Progress;
use super::remembered::Remembered;
use super::remote::{self, Access};
use super::report::Report;
use super::trees::{self, Job};
use crate::cli::{Exit, Failure, Ui, errors};
use crate::client::tree::{Compare, Exclude, Preserve, Rules};
use crate::storage::Tree;
use crate::transfer::Meter;
use crate::types::Address;

enum Way {
    Up { tree: Tree, from: String, to: Address },
    Down { from: Address, to: String },
}

/// Brings one tree over.
pub(super) async fn sync(ui: Ui, access: &Access, args: Sync) -> Result<(), Failure> {
    let started = Instant::now();
    let way = way(args.source, args.target)?;
    let exclude = Exclude::new(&args.excludes);
    let exclude = exclude.map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    let compare = if args.checksum { Compare::Digest } else { Compare::Time };
    let rules = Rules { compare, delete: args.delete, preserve: Preserve::No };
    let (Way::Up { to: address, .. } | Way::Down { from: address, .. }) = &way;
    let client = access.login(address).await?;
    let meter = Arc::new(Meter::default());
    let progress = Progress::start(ui, meter.clone());
    let mut report = Report::new(ui).planning(args.dry_run);
    let (dry_run, preserve) = (args.dry_run, true);
    let cache = Remembered::open(ui, !args.no_cache && args.checksum);
    let remembered = cache.get();
    let job =
        Job { client: client.clone(), meter, rules, exclude, preserve, dry_run, cache: remembered };
    match way {
        Way::Up { tree, from, to } => {
            job.upload(tree, &from, &to.path, &mut report, &progress).await?;
        }
        Way::Down { from, to } => {
            let open = |make| trees::open_or_make(Path::new(&to), make);
            job.download(&from.path, open, &to, &mut report, &progress).await?;
        }
    }
    drop(job);
    drop(progress);
    remote::close(client).await;
    report.finish(1, started.elapsed())
}

fn way(source: String, target: String) -> Result<Way, Failure> {
    let wrong = |text: String| Failure::new(Exit::Usage, text);
    let address =
        |text: &str| names::address(text).map_err(|error| wrong(format!("'{text}': {error}")));
    match (names::looks_like_address(&source), names::looks_like_address(&target)) {
        (false, true) => {
            let to = address(&target)?;
            // Opened before anybody is asked for a password.
            let tree = Tree::open(Path::new(&source));
            let tree = tree.map_err(|error| errors::storage(&source, &error))?;
            Ok(Way::Up { tree, from: source, to })
        }
        (true, false) => Ok(Way::Down { from: address(&source)?, to: target }),
        (true, true) => Err(wrong("one end must be a directory of this machine".into())
            .hint("'sealane get -r' first, then sync")),
        (false, false) => {
            Err(wrong("one end must be an address (sealane://… or NAME:PATH)".into())
                .hint("between two directories of this machine, use rsync"))
        }
    }
}
