//! Whole trees: how much is in one, and how to be rid of one.
//!
//! Neither recurses and neither holds more than a few handles, however deep the tree: moving
//! directories into one another makes trees deeper than any path can name.

use std::ffi::{CStr, CString};

use sealane_base::files::StorageError;
use sealane_base::files::jail::{Directory, EntryKind};
use sealane_base::types::RemotePath;
use sealane_base::types::path::KEPT;

/// What is below a directory.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Count {
    /// Sizes of all regular files.
    pub(super) bytes: u64,
    /// Files, directories, and whatever else has a name.
    pub(super) names: u64,
}

/// Counts what is below `root`, without what a home keeps for the server. Nothing may change there
/// meanwhile.
pub(super) fn count(root: &Directory) -> Result<Count, StorageError> {
    let mut total = Count::default();
    let mut here = root.descend(&RemotePath::default())?;
    let mut levels = vec![Level::read(&here, &mut total)?];
    while let Some(level) = levels.last_mut() {
        if let Some(name) = level.below.pop() {
            match here.child(&name) {
                Ok(child) => {
                    levels.push(Level::read(&child, &mut total)?);
                    here = child;
                }
                // What the server may not enter was not put there through it.
                Err(StorageError::Denied | StorageError::NotFound) => {}
                Err(error) => return Err(error),
            }
            continue;
        }
        levels.pop();
        if let Some(level) = levels.last() {
            here = here.parent()?;
            if here.identity()? != level.identity {
                return Err(StorageError::Changed);
            }
        }
    }
    Ok(total)
}

/// A directory on the way down, and those in it that were not entered yet.
struct Level {
    identity: (u64, u64),
    below: Vec<CString>,
}

impl Level {
    fn read(directory: &Directory, total: &mut Count) -> Result<Self, StorageError> {
        let mut below = Vec::new();
        for name in directory.names()? {
            let name = name?;
            if name.to_bytes() == KEPT.as_bytes() {
                continue;
            }
            let Some(facts) = directory.look(&name)? else { continue };
            total.bytes = total.bytes.saturating_add(facts.size);
            total.names += 1;
            if facts.kind == EntryKind::Directory {
                below.push(name);
            }
        }
        Ok(Self { identity: directory.identity()?, below })
    }
}

/// Removes everything in `trash`, with `unlink` for each name that is not a directory. What `hold`
/// gives is kept while a directory is moved or removed; `gone` is called for each that was removed.
///
/// Directories are lifted to the top of `trash` before they are emptied, so that each is reached
/// from there in one step.
pub(super) fn clear<G>(
    trash: &Directory,
    mut unlink: impl FnMut(&Directory, &CStr) -> Result<(), StorageError>,
    hold: impl Fn() -> G,
    gone: impl Fn(),
) -> Result<(), StorageError> {
    let mut lifted = 0u64;
    loop {
        let mut empty = true;
        for name in trash.names()? {
            let name = name?;
            empty = false;
            if !is_directory(trash, &name)? {
                unlink(trash, &name)?;
                continue;
            }
            let directory = trash.child(&name)?;
            for name in directory.names()? {
                let name = name?;
                if is_directory(&directory, &name)? {
                    let _held = hold();
                    lift(&directory, &name, trash, &mut lifted)?;
                } else {
                    unlink(&directory, &name)?;
                }
            }
            let _held = hold();
            match trash.remove_directory(&name) {
                Ok(()) => gone(),
                // An upload that was running put its file there just now.
                Err(StorageError::NotEmpty) => {}
                Err(error) => return Err(error),
            }
        }
        if empty {
            return Ok(());
        }
    }
}

fn is_directory(directory: &Directory, name: &CStr) -> Result<bool, StorageError> {
    Ok(directory.look(name)?.is_some_and(|facts| facts.kind == EntryKind::Directory))
}

fn lift(
    from: &Directory,
    name: &CStr,
    trash: &Directory,
    lifted: &mut u64,
) -> Result<(), StorageError> {
    loop {
        *lifted += 1;
        match from.rename(name, trash, lifted.to_string(), false) {
            Err(StorageError::Exists) => {}
            outcome => return outcome,
        }
    }
}
