//! Removing and renaming in a home: every change keeps the ledger exact.

use std::ffi::CStr;
use std::sync::atomic::Ordering;

use rustix::path::Arg;

use super::home::Home;
use super::jail::{Directory, EntryKind, Facts};
use super::{StorageError, walk};
use crate::types::RemotePath;

impl Home {
    /// Removes a file, a link, a special file or an empty directory; with `recursive` a directory
    /// and all in it. Links are removed, never followed.
    ///
    /// A directory that is removed with all in it vanishes in one step before anything in it is
    /// deleted. Quota comes back file by file.
    ///
    /// # Errors
    /// [`StorageError::NotFound`], [`StorageError::NotEmpty`], [`StorageError::Root`] or another
    /// [`StorageError`]. If deleting fails half way, what remains stays invisible, goes on
    /// counting and is tried again when the home is next opened.
    pub fn remove(&self, path: &RemotePath, recursive: bool) -> Result<(), StorageError> {
        let (directory, name) = self.root.holder(path)?;
        let facts = directory.look(name)?.ok_or(StorageError::NotFound)?;
        match (facts.kind, recursive) {
            (EntryKind::Directory, true) => return self.remove_tree(&directory, name),
            (EntryKind::Directory, false) => {
                let _names = self.lock_names();
                directory.remove_directory(name)?;
            }
            _ => self.unlink(&directory, name)?,
        }
        directory.sync()
    }

    fn remove_tree(&self, directory: &Directory, name: &str) -> Result<(), StorageError> {
        let (trash, trash_name) = self.new_trash()?;
        let moved = {
            let _names = self.lock_names();
            directory.rename(name, &trash, "0", false)
        };
        let moved = moved.and_then(|()| directory.sync());
        let unlink = |directory: &Directory, name: &CStr| self.unlink(directory, name);
        walk::clear(&trash, unlink, || self.lock_names())?;
        let _names = self.lock_names();
        self.partials.remove_directory(trash_name.as_str())?;
        moved
    }

    fn new_trash(&self) -> Result<(Directory, String), StorageError> {
        loop {
            let number = self.trash_number.fetch_add(1, Ordering::Relaxed);
            let name = format!("{number}.trash");
            match self.partials.make(name.as_str(), 0o700) {
                Ok(()) => return Ok((self.partials.child(name.as_str())?, name)),
                Err(StorageError::Exists) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Unlinks what is not a directory, and refunds it.
    fn unlink(&self, directory: &Directory, name: impl Arg + Copy) -> Result<(), StorageError> {
        let _names = self.lock_names();
        let facts = directory.look(name)?.ok_or(StorageError::NotFound)?;
        directory.unlink(name)?;
        self.ledger.refund(facts.size);
        Ok(())
    }

    /// Gives a file, link or directory another name. With `replace` it takes the place of a file,
    /// or a directory that of an empty directory.
    ///
    /// # Errors
    /// [`StorageError::Exists`] without `replace`; [`StorageError::NotFound`];
    /// [`StorageError::IntoItself`]; [`StorageError::Root`]; [`StorageError::IsDirectory`],
    /// [`StorageError::NotDirectory`], [`StorageError::NotEmpty`], [`StorageError::NotRegular`]
    /// if what has the name cannot be replaced by this.
    pub fn rename(
        &self,
        from: &RemotePath,
        to: &RemotePath,
        replace: bool,
    ) -> Result<(), StorageError> {
        let (source, old_name) = self.root.holder(from)?;
        if from != to && from.contains(to) {
            return Err(StorageError::IntoItself);
        }
        let (target, new_name) = self.root.holder(to)?;
        {
            let _names = self.lock_names();
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
            source.rename(old_name, &target, new_name, present.is_some())?;
            self.ledger.refund(present.map_or(0, |present| present.size));
        }
        target.sync()?;
        source.sync()
    }
}

fn require_replaceable(moved: &Facts, present: &Facts) -> Result<(), StorageError> {
    match (moved.kind, present.kind) {
        (EntryKind::Directory, EntryKind::Directory) => Ok(()),
        (EntryKind::Directory, EntryKind::File) => Err(StorageError::NotDirectory),
        _ => present.require_file(),
    }
}
