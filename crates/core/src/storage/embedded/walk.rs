//! Whole trees, a step at a time: how much is in one, how deep it is, and how to be rid of one.
//!
//! A step looks at a bounded number of names, so a job can let others have their turn after each.
//! Nothing recurses. A [`Walk`] goes no deeper than it is told: it holds the directories on its way
//! down, and a tree without that bound would take quadratic time where Landlock looks at each
//! directory above the one that is opened. A [`Clearing`] has no such bound and needs none.

use std::ffi::{CStr, CString};

use sealane_base::files::StorageError;
use sealane_base::files::jail::{Directory, EntryKind, Names};
use sealane_base::types::path::{KEPT, MAX_LEVELS};
use sealane_base::types::text;

/// Names that one step looks at: some milliseconds on most disks.
pub(super) const STEP: usize = 256;
/// Characters of the path of a directory that is too deep which are told.
const BEGINNING: usize = 64;

/// What is below a directory.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Count {
    /// Sizes of all regular files.
    pub(super) bytes: u64,
    /// Files, directories, and whatever else has a name.
    pub(super) names: u64,
    /// Levels of directories: 0 if there is none.
    pub(super) levels: usize,
}

impl Count {
    /// Adds what is in another tree, whose depth does not matter.
    pub(super) fn add(&mut self, other: Self) {
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.names = self.names.saturating_add(other.names);
    }
}

/// Counts what is below `root`, without what a home keeps for the server. Nothing may change there
/// meanwhile.
pub(super) fn count(root: &Directory) -> Result<Count, StorageError> {
    let mut walk = Walk::new(root, MAX_LEVELS)?;
    while !walk.step()? {}
    Ok(walk.count)
}

/// A tree that is being counted.
#[derive(Debug)]
pub(super) struct Walk {
    /// The directories on the way down, the first of them the root.
    levels: Vec<Level>,
    most_levels: usize,
    pub(super) count: Count,
}

/// A directory that is being read.
#[derive(Debug)]
struct Level {
    name: CString,
    directory: Directory,
    names: Names,
}

impl Level {
    fn new(name: CString, directory: Directory) -> Result<Self, StorageError> {
        let names = directory.names()?;
        Ok(Self { name, directory, names })
    }
}

impl Walk {
    /// Goes at most `most_levels` of directories down.
    pub(super) fn new(root: &Directory, most_levels: usize) -> Result<Self, StorageError> {
        let root = Level::new(CString::default(), root.descend(&Default::default())?)?;
        Ok(Self { levels: vec![root], most_levels, count: Count::default() })
    }

    /// Looks at some names more; true once all are counted.
    ///
    /// [`StorageError::OverDeep`] at the first directory that is too deep.
    pub(super) fn step(&mut self) -> Result<bool, StorageError> {
        for _ in 0..STEP {
            let depth = self.levels.len();
            let Some(level) = self.levels.last_mut() else { return Ok(true) };
            let Some(name) = level.names.next() else {
                self.levels.pop();
                continue;
            };
            let name = name?;
            if name.to_bytes() == KEPT.as_bytes() {
                continue;
            }
            let Some(facts) = level.directory.look(&name)? else { continue };
            self.count.bytes = self.count.bytes.saturating_add(facts.size);
            self.count.names += 1;
            if facts.kind != EntryKind::Directory {
                continue;
            }
            if depth > self.most_levels {
                return Err(StorageError::OverDeep { beginning: self.beginning() });
            }
            self.count.levels = self.count.levels.max(depth);
            match level.directory.child(&name).and_then(|child| Level::new(name, child)) {
                Ok(child) => self.levels.push(child),
                // What the server may not enter was not put there through it.
                Err(StorageError::Denied | StorageError::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.levels.is_empty())
    }

    /// Where it is, as far as that can be told.
    fn beginning(&self) -> String {
        let names = self.levels.iter().skip(1).map(|level| level.name.to_string_lossy());
        let path = names.collect::<Vec<_>>().join("/");
        text::printable(&path.chars().take(BEGINNING).collect::<String>())
    }
}

/// How many levels of directories are below `root`, if it does not take long to find out and there
/// are no more than `most`.
pub(super) fn levels(root: &Directory, most: usize) -> Result<Option<usize>, StorageError> {
    /// Steps that are no long wait for those who want to change a name meanwhile.
    const STEPS: usize = 4;
    let mut walk = match Walk::new(root, most) {
        Err(StorageError::Denied | StorageError::NotFound) => return Ok(Some(0)),
        walk => walk?,
    };
    for _ in 0..STEPS {
        if walk.step()? {
            return Ok(Some(walk.count.levels));
        }
    }
    Ok(None)
}

/// A directory whose content is being removed.
///
/// Directories are lifted to its top before they are emptied, so that each is reached from there in
/// one step, however deep it was.
#[derive(Debug)]
pub(super) struct Clearing {
    trash: Directory,
    names: Names,
    /// Nothing was found since `names` began.
    is_empty: bool,
    inner: Option<Level>,
    lifted: u64,
}

impl Clearing {
    pub(super) fn new(trash: Directory) -> Result<Self, StorageError> {
        let names = trash.names()?;
        Ok(Self { trash, names, is_empty: true, inner: None, lifted: 0 })
    }

    /// Removes some names more, with `unlink` for each that is not a directory; true once nothing
    /// is left. What `hold` gives is kept while a directory is moved or removed; `gone` is called
    /// for each that was removed.
    pub(super) fn step<G>(
        &mut self,
        unlink: impl Fn(&Directory, &CStr) -> Result<(), StorageError>,
        hold: impl Fn() -> G,
        gone: impl Fn(),
    ) -> Result<bool, StorageError> {
        for _ in 0..STEP {
            if let Some(inner) = &mut self.inner {
                match inner.names.next() {
                    Some(name) => {
                        let name = name?;
                        if is_directory(&inner.directory, &name)? {
                            let _held = hold();
                            lift(&inner.directory, &name, &self.trash, &mut self.lifted)?;
                        } else {
                            unlink(&inner.directory, &name)?;
                        }
                    }
                    None => self.remove_emptied(&hold, &gone)?,
                }
                continue;
            }
            let Some(name) = self.names.next() else {
                if self.is_empty {
                    return Ok(true);
                }
                (self.names, self.is_empty) = (self.trash.names()?, true);
                continue;
            };
            let name = name?;
            self.is_empty = false;
            if is_directory(&self.trash, &name)? {
                let directory = self.trash.child(&name)?;
                self.inner = Some(Level::new(name, directory)?);
            } else {
                unlink(&self.trash, &name)?;
            }
        }
        Ok(false)
    }

    fn remove_emptied<G>(
        &mut self,
        hold: impl Fn() -> G,
        gone: impl Fn(),
    ) -> Result<(), StorageError> {
        let Some(emptied) = self.inner.take() else { return Ok(()) };
        let _held = hold();
        match self.trash.remove_directory(&emptied.name) {
            Ok(()) => gone(),
            // An upload that was running put its file there just now.
            Err(StorageError::NotEmpty) => {}
            Err(error) => return Err(error),
        }
        Ok(())
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
