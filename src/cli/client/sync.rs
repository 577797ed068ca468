//! `sync`: one directory becomes what another is.

use std::path::Path;

use super::args::Sync;
use super::deletions::Deletions;
use super::moving::Moving;
use super::names;
use super::remembered::Remembered;
use super::remote::{Access, Job};
use super::trees::Names;
use crate::cli::{Exit, Failure, errors};
use sealane_base::files::Tree;
use sealane_base::types::Address;
use sealane_client::tree::{Compare, Copy, Exclude, Preserve, Rules};

enum Direction {
    Up { tree: Tree, from: String, to: Address },
    Down { from: Address, to: String },
}

/// Brings one tree over.
pub(super) async fn sync(access: &Access, args: Sync) -> Result<(), Failure> {
    let direction = direction(args.source, args.target)?;
    let exclude = Exclude::new(&args.excludes);
    let exclude = exclude.map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    let compare = if args.checksum { Compare::Digest } else { Compare::Time };
    let rules = Rules { compare, delete: args.delete, preserve: Preserve::No };
    let (Direction::Up { to: address, .. } | Direction::Down { from: address, .. }) = &direction;
    let mut moving = Moving::begin(access, address, Job::Files).await?;
    moving.report.planning = args.dry_run;
    let wanted = !args.no_cache && args.checksum;
    let cache = Remembered::open(access.ui, wanted, moving.client.logged_in());
    let (client, meter) = (moving.client.clone(), moving.meter.clone());
    let (cache, dry_run) = (cache.get(), args.dry_run);
    let copy = Copy { client, meter, rules, exclude, preserve: true, dry_run, cache };
    let deletions = Deletions { max: args.max_delete, force: args.force };
    let report = &mut moving.report;
    let (here, there, brought, refused) = match direction {
        Direction::Up { tree, from, to } => {
            let base = to.path.to_string();
            let mut names = Names { deletions, ..Names::new(&from, &base, report) };
            let brought = copy.upload(tree, &to.path, false, |event| names.tell(event)).await;
            let refused = names.refused;
            (from, base, brought, refused)
        }
        Direction::Down { from, to } => {
            report.down = true;
            let base = from.path.to_string();
            let mut names = Names { deletions, ..Names::new(&base, &to, report) };
            let (path, here) = (&from.path, Path::new(&to));
            let brought = copy.download(path, here, None, |event| names.tell(event)).await;
            let refused = names.refused;
            (to, base, brought, refused)
        }
    };
    if let Some(refused) = refused {
        moving.failed(refused).await;
    }
    drop(copy);
    moving.ended(&here, &there, brought).await;
    moving.finish(1).await
}
fn direction(source: String, target: String) -> Result<Direction, Failure> {
    let wrong = |text: String| Failure::new(Exit::Usage, text);
    let address =
        |text: &str| names::address(text).map_err(|error| wrong(format!("'{text}': {error}")));
    match (names::looks_like_address(&source), names::looks_like_address(&target)) {
        (false, true) => {
            let to = address(&target)?;
            // Opened before anybody is asked for a password.
            let tree = Tree::open(Path::new(&source));
            let tree = tree.map_err(|error| errors::storage(&source, &error))?;
            Ok(Direction::Up { tree, from: source, to })
        }
        (true, false) => Ok(Direction::Down { from: address(&source)?, to: target }),
        (true, true) => Err(wrong("one end must be a directory of this machine".into())
            .hint("'sealane get -r' first, then sync")),
        (false, false) => {
            Err(wrong("one end must be an address (sealane://… or NAME:PATH)".into())
                .hint("between two directories of this machine, use rsync"))
        }
    }
}
