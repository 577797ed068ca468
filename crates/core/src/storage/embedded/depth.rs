//! How deep a home is, and that it becomes no deeper than [`MAX_LEVELS`].
//!
//! Deeper trees take quadratic time to count, and moving directories into one another would make
//! them as deep as there are directories. How deep something lies is found by walking up from where
//! it is, not from its path: others may have moved what is above it since the path was walked.

use sealane_base::files::StorageError;
use sealane_base::files::jail::Directory;
use sealane_base::types::path::MAX_LEVELS;

use super::walk;

/// How deep the deepest directory of a home is at most. It may be less deep: what was removed or
/// moved up does not show before the home is counted again.
#[derive(Debug)]
pub(super) struct Depth {
    pub(super) deepest: usize,
}

impl Depth {
    /// A directory is about to be made in one that lies at `level`.
    pub(super) fn make(&mut self, level: usize) -> Result<(), StorageError> {
        self.reach(level.saturating_add(1))
    }

    /// The directory `moved` is about to be moved from one that lies at level `from` into one at
    /// level `to`.
    ///
    /// A small tree is looked at. For a large one, which would take long, what is known of the
    /// whole home must do.
    pub(super) fn shift(
        &mut self,
        moved: impl FnOnce() -> Result<Directory, StorageError>,
        from: usize,
        to: usize,
    ) -> Result<(), StorageError> {
        if to <= from {
            return Ok(());
        }
        let top = to.saturating_add(1);
        let most = MAX_LEVELS.checked_sub(top).ok_or(StorageError::TooDeep)?;
        let moved = match moved() {
            // What the server may not enter was not put there through it.
            Err(StorageError::Denied) => return self.reach(top),
            moved => moved?,
        };
        let levels = match walk::levels(&moved, most) {
            Err(StorageError::OverDeep { .. }) => return Err(StorageError::TooDeep),
            levels => levels?,
        };
        let at_most = self.deepest.saturating_sub(from.saturating_add(1));
        self.reach(top.saturating_add(levels.unwrap_or(at_most)))
    }

    fn reach(&mut self, level: usize) -> Result<(), StorageError> {
        if level > MAX_LEVELS {
            return Err(StorageError::TooDeep);
        }
        self.deepest = self.deepest.max(level);
        Ok(())
    }
}

/// At which level below `root` `directory` lies: 0 for the root itself.
pub(super) fn level(root: &Directory, directory: &Directory) -> Result<usize, StorageError> {
    let (root, mut identity) = (root.identity()?, directory.identity()?);
    let mut above: Option<Directory> = None;
    for level in 0..=MAX_LEVELS {
        if identity == root {
            return Ok(level);
        }
        let parent = match above.as_ref().unwrap_or(directory).parent() {
            // It was removed meanwhile, and its way up leads past the home.
            Err(StorageError::Denied) => return Err(StorageError::NotFound),
            parent => parent?,
        };
        let below = std::mem::replace(&mut identity, parent.identity()?);
        if identity == below {
            return Err(StorageError::NotFound);
        }
        above = Some(parent);
    }
    Err(StorageError::TooDeep)
}
