//! How much `sync --delete` may remove without being asked twice.
//!
//! A source that is empty, or holds little of what it held, is mostly a disk that is not mounted or
//! a wrong path. So nothing is done then, at a terminal and in a script alike, unless `--force`
//! says so.

use crate::cli::{Exit, Failure};
use sealane_client::tree::Plan;

/// What the command line says about it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Deletions {
    /// Most names that may be removed.
    pub(super) max: Option<u64>,
    /// More than half of them, or all because the source is empty, is what is wanted.
    pub(super) force: bool,
}

impl Deletions {
    /// Nothing, unless `plan`, which makes `to` what `from` is, removes more.
    pub(super) fn check(self, plan: &Plan, from: &str, to: &str) -> Result<(), Failure> {
        let removed = plan.obstacles.len() + plan.extras.len();
        let of = plan.there;
        if let Some(max) = self.max.filter(|max| removed as u64 > *max) {
            let message = format!(
                "{removed} names would be removed from {to}, and --max-delete allows {max}: nothing was done"
            );
            return Err(Failure::new(Exit::Other, message).hint("-n shows what would be removed"));
        }
        if self.force || removed == 0 {
            return Ok(());
        }
        let why = if plan.source_is_empty {
            format!("{from} is empty, and --delete would remove {removed} of {of} names from {to}")
        } else if removed * 2 > of {
            format!("--delete would remove {removed} of {of} names from {to}, more than half")
        } else {
            return Ok(());
        };
        Err(Failure::new(Exit::Other, format!("{why}: nothing was done")).hint(
            "is the source the right one, and mounted? -n shows what would be removed, --force does it",
        ))
    }
}
