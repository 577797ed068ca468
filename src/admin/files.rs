//! What becomes of the files of an account that is removed or renamed.
//!
//! The account is gone, or disabled, and its sessions have ended: the caller sees to that. Links
//! are followed nowhere, and a directory of any depth costs two handles.

use std::ffi::CString;
use std::path::{Path, PathBuf};

use super::AdminError;
use sealane_base::files::jail::Directory;
use sealane_base::files::{EntryKind, StorageError};
use sealane_base::types::{RemotePath, Username};
use sealane_core::accounts::AccountManager;

/// Below the data directory: what interrupted uploads left, a directory for each account.
const PARTIALS: &str = "partials";
/// Below the data directory: homes of removed accounts that are kept out of reach.
const ARCHIVE: &str = "archive";
const MODE: u32 = 0o700;

/// Checks that no other account has `home`, or one in or around it: its files are not `name`'s
/// alone then.
///
/// # Errors
/// [`AdminError::Shared`]; [`AdminError::Manage`] if the accounts cannot be listed.
pub fn check_alone(
    manager: &AccountManager,
    name: &Username,
    home: &RemotePath,
) -> Result<(), AdminError> {
    for other in manager.list()?.into_iter().filter(|other| other.name != name.as_str()) {
        let taken = other.home.ok();
        if taken.is_some_and(|taken| super::accounts::overlap(taken.path(), home)) {
            return Err(AdminError::Shared { home: home.to_string(), other: other.name });
        }
    }
    Ok(())
}

/// Removes `home` below `data` with all it holds, and what interrupted uploads of `name` left.
///
/// # Errors
/// [`AdminError::Files`]; a part of it may be gone then.
pub fn delete(data: &Path, name: &Username, home: &RemotePath) -> Result<(), AdminError> {
    let failed = |problem| AdminError::Files { place: data.join(home.as_str()), problem };
    remove_tree(data, home).map_err(failed)?;
    forget_partials(data, name)
}

/// Moves `home` out of the reach of any account, to `archive/NAME-STAMP` below `data`; gives that
/// place, or nothing if there is no home. What interrupted uploads left is removed.
///
/// # Errors
/// [`AdminError::Files`]; the home stays where it is then.
pub fn archive(
    data: &Path,
    name: &Username,
    home: &RemotePath,
    stamp: &str,
) -> Result<Option<PathBuf>, AdminError> {
    let new = format!("{name}-{stamp}");
    let moving = || {
        let root = Directory::open_root(data)?;
        let target = root.child_or_make(ARCHIVE, MODE)?;
        move_to(&root, home, &target, &new)
    };
    let failed = |problem| AdminError::Files { place: data.join(home.as_str()), problem };
    let is_moved = moving().map_err(failed)?;
    forget_partials(data, name)?;
    Ok(is_moved.then(|| data.join(ARCHIVE).join(new)))
}

/// Gives the home of an account that is renamed its new place below `data`, and what interrupted
/// uploads left the new name. What was moved before stays.
///
/// # Errors
/// [`AdminError::Files`], also if something has the new place.
pub fn rename(
    data: &Path,
    names: [&Username; 2],
    homes: [&RemotePath; 2],
) -> Result<(), AdminError> {
    let moving = |from: &RemotePath, to: &RemotePath| {
        let root = Directory::open_root(data)?;
        let (target, new) = match root.holder(to) {
            Err(StorageError::NotFound) => return Ok(false),
            holder => holder?,
        };
        let (holder, old) = root.holder(from)?;
        if holder.look(old)?.is_some() {
            // Nothing is lost with an empty directory, as `account add` allows one.
            let _ = target.remove_directory(new);
        }
        move_to(&root, from, &target, new)
    };
    let partials = names.map(partials_of);
    let pairs = [(homes[0], homes[1]), (&partials[0], &partials[1])];
    for (from, to) in pairs.into_iter().filter(|(from, to)| from != to) {
        let failed = |problem| AdminError::Files { place: data.join(from.as_str()), problem };
        moving(from, to).map_err(failed)?;
    }
    Ok(())
}

fn partials_of(name: &Username) -> RemotePath {
    RemotePath::default()
        .join(PARTIALS)
        .and_then(|path| path.join(name.as_str()))
        .unwrap_or_default()
}

fn forget_partials(data: &Path, name: &Username) -> Result<(), AdminError> {
    let partials = partials_of(name);
    let place = data.join(partials.as_str());
    remove_tree(data, &partials).map_err(|problem| AdminError::Files { place, problem })
}

/// Moves `from` below `root`, durably; false if it is not there. Nothing is replaced.
fn move_to(
    root: &Directory,
    from: &RemotePath,
    target: &Directory,
    new: &str,
) -> Result<bool, StorageError> {
    let (holder, old) = match root.holder(from) {
        Err(StorageError::NotFound) => return Ok(false),
        holder => holder?,
    };
    match holder.rename(old, target, new, false) {
        Err(StorageError::NotFound) => return Ok(false),
        outcome => outcome?,
    }
    target.sync()?;
    holder.sync()?;
    Ok(true)
}

fn remove_tree(data: &Path, path: &RemotePath) -> Result<(), StorageError> {
    let removing = || {
        let root = Directory::open_root(data)?;
        let (holder, name) = root.holder(path)?;
        clear(&holder.child(name)?)?;
        holder.remove_directory(name)?;
        holder.sync()
    };
    match removing() {
        Err(StorageError::NotFound) => Ok(()),
        outcome => outcome,
    }
}

/// Empties a directory: what a directory in it holds comes up to the top, until nothing is left.
fn clear(top: &Directory) -> Result<(), StorageError> {
    let mut number = 0_u64;
    loop {
        let names = names_in(top)?;
        if names.is_empty() {
            return Ok(());
        }
        for name in &names {
            if !is_directory(top, name)? {
                top.unlink(name.as_c_str())?;
                continue;
            }
            let child = top.child(name.as_c_str())?;
            for inner in &names_in(&child)? {
                if is_directory(&child, inner)? {
                    number = come_up(&child, inner, top, number)?;
                } else {
                    child.unlink(inner.as_c_str())?;
                }
            }
            top.remove_directory(name.as_c_str())?;
        }
    }
}

fn names_in(directory: &Directory) -> Result<Vec<CString>, StorageError> {
    directory.names()?.collect()
}

/// Moves a directory to the top under a number that nothing has; gives the next one.
fn come_up(
    from: &Directory,
    name: &CString,
    top: &Directory,
    mut number: u64,
) -> Result<u64, StorageError> {
    loop {
        let moved = from.rename(name.as_c_str(), top, format!(".{number}"), false);
        number += 1;
        match moved {
            Err(StorageError::Exists) => {}
            outcome => return outcome.map(|()| number),
        }
    }
}

fn is_directory(holder: &Directory, name: &CString) -> Result<bool, StorageError> {
    Ok(holder.look(name.as_c_str())?.is_some_and(|facts| facts.kind == EntryKind::Directory))
}
