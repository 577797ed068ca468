//! What is in a home and among its partials, counted in steps before the home is opened.

use std::ffi::{CStr, CString};

use super::names::PART;
use super::walk::{self, Clearing, Count, Walk};
use sealane_base::files::StorageError;
use sealane_base::files::jail::{Directory, EntryKind, Names};
use sealane_base::types::path::MAX_LEVELS;

/// A home that is being counted. What a crash left half removed is cleared.
#[derive(Debug)]
pub(super) struct Counting {
    root: Directory,
    partials: Directory,
    /// What lies among the partials and was not looked at yet.
    left: Names,
    total: Count,
    now: Now,
}

/// What is being done.
#[derive(Debug)]
enum Now {
    Home(Walk),
    Partials,
    Trash(CString, Clearing),
    /// Trash that cannot be removed, and goes on counting.
    Kept(Walk),
}

impl Counting {
    pub(super) fn new(root: Directory, partials: Directory) -> Result<Self, StorageError> {
        let (left, now) = (partials.names()?, Now::Home(Walk::new(&root, MAX_LEVELS)?));
        Ok(Self { root, partials, left, total: Count::default(), now })
    }

    /// Goes on for some milliseconds; gives all there is once that is known.
    pub(super) fn step(&mut self) -> Result<Option<Count>, StorageError> {
        match &mut self.now {
            Now::Home(walk) => {
                if walk.step()? {
                    self.total = walk.count;
                    self.now = Now::Partials;
                }
            }
            Now::Kept(walk) => {
                if walk.step()? {
                    self.total.add(walk.count);
                    self.now = Now::Partials;
                }
            }
            Now::Trash(name, clearing) => {
                let unlink = |directory: &Directory, name: &CStr| directory.unlink(name);
                let cleared = match clearing.step(unlink, || (), || ()) {
                    Ok(false) => return Ok(None),
                    Ok(true) => self.partials.remove_directory(name.as_c_str()),
                    Err(error) => Err(error),
                };
                self.now = match cleared {
                    Ok(()) => Now::Partials,
                    Err(_) => {
                        let trash = self.partials.child(name.as_c_str())?;
                        Now::Kept(Walk::new(&trash, MAX_LEVELS)?)
                    }
                };
            }
            Now::Partials => return self.look_at_partials(),
        }
        Ok(None)
    }

    /// The home, and where its partials are.
    pub(super) fn places(self) -> (Directory, Directory) {
        (self.root, self.partials)
    }

    fn look_at_partials(&mut self) -> Result<Option<Count>, StorageError> {
        for _ in 0..walk::STEP {
            let Some(name) = self.left.next() else { return Ok(Some(self.total)) };
            let name = name?;
            let Some(facts) = self.partials.look(&name)? else { continue };
            if facts.kind == EntryKind::Directory {
                let clearing = Clearing::new(self.partials.child(&name)?)?;
                self.now = Now::Trash(name, clearing);
                return Ok(None);
            }
            // A partial is no file yet.
            let is_partial = name.to_bytes().ends_with(PART.as_bytes());
            self.total
                .add(Count { bytes: if is_partial { facts.size } else { 0 }, ..Count::default() });
        }
        Ok(None)
    }
}
