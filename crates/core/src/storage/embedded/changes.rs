//! Removing and renaming in a home: every change keeps the ledger exact.

use std::ffi::CStr;

use rustix::path::Arg;

use super::view::Pass;
use super::walk::Clearing;
use sealane_base::files::jail::{Directory, EntryKind, Facts};
use sealane_base::files::set_meta;
use sealane_base::files::{FileMeta, OWNED_DIRECTORY, OWNED_FILE, StorageError};
use sealane_base::types::RemotePath;

/// See [`crate::storage::HomeStore::remove`].
pub(super) fn remove(pass: &Pass, path: &RemotePath, recursive: bool) -> Result<(), StorageError> {
    let (directory, name) = pass.root().holder(path)?;
    let facts = directory.look(name)?.ok_or(StorageError::NotFound)?;
    match (facts.kind, recursive) {
        (EntryKind::Directory, true) => return remove_tree(pass, &directory, name),
        (EntryKind::Directory, false) => {
            let _names = pass.lock_names();
            directory.remove_directory(name)?;
            pass.ledger().remove_name(0);
        }
        _ => unlink(pass, &directory, name)?,
    }
    directory.sync()
}

/// See [`crate::storage::HomeStore::set_meta`].
pub(super) fn set_metadata(
    pass: &Pass,
    path: &RemotePath,
    meta: FileMeta,
) -> Result<(), StorageError> {
    let (directory, name) = pass.root().holder(path)?;
    let facts = directory.look(name)?.ok_or(StorageError::NotFound)?;
    let with = |owner: u32| FileMeta { mode: meta.mode.map(|mode| mode | owner), ..meta };
    match facts.kind {
        EntryKind::Directory => set_meta(directory.child(name)?, with(OWNED_DIRECTORY)),
        _ => set_meta(directory.file(name)?.0, with(OWNED_FILE)),
    }
}

/// See [`crate::storage::HomeStore::rename`].
pub(super) fn rename(
    pass: &Pass,
    from: &RemotePath,
    to: &RemotePath,
    replace: bool,
) -> Result<(), StorageError> {
    let (source, old_name) = pass.root().holder(from)?;
    if from != to && from.contains(to) {
        return Err(StorageError::IntoItself);
    }
    let (target, new_name) = pass.root().holder(to)?;
    {
        let mut depth = pass.lock_names();
        let moved = source.look(old_name)?.ok_or(StorageError::NotFound)?;
        let present = target.look(new_name)?;
        if let Some(present) = &present {
            if present.identity == moved.identity {
                // The same file under both names: the system would do nothing either.
                return if replace { Ok(()) } else { Err(StorageError::Exists) };
            }
            if !replace {
                return Err(StorageError::Exists);
            }
            require_replaceable(&moved, present)?;
        }
        if moved.kind == EntryKind::Directory {
            let (from, to) = (pass.level(&source)?, pass.level(&target)?);
            depth.shift(|| source.child(old_name), from, to)?;
        }
        source.rename(old_name, &target, new_name, present.is_some())?;
        if let Some(present) = present {
            pass.ledger().remove_name(pass.gone(&present));
        }
    }
    target.sync()?;
    source.sync()
}

fn remove_tree(pass: &Pass, directory: &Directory, name: &str) -> Result<(), StorageError> {
    let (trash, trash_name) = new_trash(pass)?;
    let moved = {
        let _names = pass.lock_names();
        directory.rename(name, &trash, "0", false)
    };
    let moved = moved.and_then(|()| directory.sync());
    let unlink = |directory: &Directory, name: &CStr| unlink(pass, directory, name);
    let mut clearing = Clearing::new(trash)?;
    while !clearing.step(unlink, || pass.lock_names(), || pass.ledger().remove_name(0))? {}
    let _names = pass.lock_names();
    pass.partials().remove_directory(trash_name.as_str())?;
    moved
}

fn new_trash(pass: &Pass) -> Result<(Directory, String), StorageError> {
    loop {
        let number = pass.next_trash();
        let name = format!("{number}.trash");
        match pass.partials().make(name.as_str(), 0o700) {
            Ok(()) => return Ok((pass.partials().child(name.as_str())?, name)),
            Err(StorageError::Exists) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Unlinks what is not a directory, and refunds it.
fn unlink(pass: &Pass, directory: &Directory, name: impl Arg + Copy) -> Result<(), StorageError> {
    let _names = pass.lock_names();
    let facts = directory.look(name)?.ok_or(StorageError::NotFound)?;
    directory.unlink(name)?;
    pass.ledger().remove_name(pass.gone(&facts));
    Ok(())
}

fn require_replaceable(moved: &Facts, present: &Facts) -> Result<(), StorageError> {
    match (moved.kind, present.kind) {
        (EntryKind::Directory, EntryKind::Directory) => Ok(()),
        (EntryKind::Directory, EntryKind::File) => Err(StorageError::NotDirectory),
        _ => present.require_file(),
    }
}
