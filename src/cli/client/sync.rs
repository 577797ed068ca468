//! `sync`: one directory becomes what another is.

use std::path::Path;

use super::args::Sync;
use super::deletions::Deletions;
use super::moving::Moving;
use super::names;
use super::remembered::Remembered;
use super::remote::Access;
use super::trees::{self, Job};
use crate::cli::{Exit, Failure, errors};
use sealane_base::files::Tree;
use sealane_base::types::Address;
use sealane_client::tree::{Compare, Exclude, Preserve, Rules};

enum Way {
    Up { tree: Tree, from: String, to: Address },
    Down { from: Address, to: String },
}

/// Brings one tree over.
pub(super) async fn sync(access: &Access, args: Sync) -> Result<(), Failure> {
    let way = way(args.source, args.target)?;
    let exclude = Exclude::new(&args.excludes);
    let exclude = exclude.map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    let compare = if args.checksum { Compare::Digest } else { Compare::Time };
    let rules = Rules { compare, delete: args.delete, preserve: Preserve::No };
    let (Way::Up { to: address, .. } | Way::Down { from: address, .. }) = &way;
    let mut moving = Moving::begin(access, address, args.dry_run).await?;
    let wanted = !args.no_cache && args.checksum;
    let cache = Remembered::open(access.ui, wanted, moving.link.admitted());
    let deletions = Deletions { max: args.max_delete, force: args.force };
    let copying = Job::copying(&moving, true, args.dry_run);
    let job = Job { rules, exclude, deletions, cache: cache.get(), ..copying };
    if matches!(way, Way::Down { .. }) {
        moving.report.is_download();
    }
    let (report, progress) = (&mut moving.report, &moving.progress);
    let brought = match way {
        Way::Up { tree, from, to } => {
            job.upload(tree, &from, &to.path, false, report, progress).await
        }
        Way::Down { from, to } => {
            let open = |make| trees::open_or_make(Path::new(&to), make);
            job.download(&from.path, open, &to, report, progress).await
        }
    };
    drop(job);
    if let Err(failure) = brought {
        moving.failed(failure).await;
    }
    moving.finish(1).await
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
