//! What is in a directory, however large it is: a page in name order, or all of it in one pass.
//!
//! Neither holds more names than a page has, so a directory of a million entries costs no memory. A
//! page in name order costs a pass of its own; whoever wants all takes a [`Scan`].

use std::collections::BinaryHeap;
use std::ffi::CStr;

use crate::storage::seam::Scan;
use crate::storage::types::{Entry, Page};
use sealane_base::files::StorageError;
use sealane_base::files::jail::{Directory, EntryKind, Facts, Names};
use sealane_base::types::path::{KEPT, check_name};

/// Names in one page that cannot be told and are shown nevertheless.
const MOST_UNFIT: usize = 64;

impl Entry {
    pub(super) fn new(name: &str, facts: &Facts) -> Self {
        Self {
            name: name.to_owned(),
            kind: facts.kind,
            size: facts.size,
            modified: facts.modified,
            mode: facts.mode,
            version: facts.version(),
        }
    }
}

/// The first `max` entries whose names come after `after`.
pub(super) fn page(
    directory: &Directory,
    after: Option<&str>,
    max: usize,
) -> Result<Page, StorageError> {
    let mut page = Page::default();
    let mut smallest = BinaryHeap::new();
    for name in directory.names()? {
        let name = name?;
        let Some(name) = page.tell(directory, &name, after.is_none()) else { continue };
        if after.is_some_and(|after| name <= after) {
            continue;
        }
        if smallest.len() < max {
            smallest.push(name.to_owned());
            continue;
        }
        page.more = true;
        if let Some(mut largest) = smallest.peek_mut()
            && name < largest.as_str()
        {
            name.clone_into(&mut largest);
        }
    }
    for name in smallest.into_sorted_vec() {
        // What went away since is left out.
        if let Some(facts) = directory.look(name.as_str())? {
            page.entries.push(Entry::new(&name, &facts));
        }
    }
    Ok(page)
}

/// A directory being read once, from its beginning to its end.
pub(super) struct DirectoryScan {
    directory: Directory,
    names: Names,
    hidden: u64,
}

impl DirectoryScan {
    pub(super) fn new(directory: Directory) -> Result<Self, StorageError> {
        let names = directory.names()?;
        Ok(Self { directory, names, hidden: 0 })
    }
}

impl Scan for DirectoryScan {
    fn next_page(&mut self, max: usize) -> Result<Page, StorageError> {
        let mut page = Page { hidden: self.hidden, ..Page::default() };
        while page.entries.len() < max {
            let Some(name) = self.names.next() else { break };
            let name = name?;
            let Some(name) = page.tell(&self.directory, &name, true) else { continue };
            if let Some(facts) = self.directory.look(name)? {
                page.entries.push(Entry::new(name, &facts));
            }
        }
        page.more = page.entries.len() == max;
        self.hidden = page.hidden;
        Ok(page)
    }
}

impl Page {
    /// `name`, if it can be told. Else it is hidden, and shown among the unfit ones if `shows`.
    fn tell<'n>(&mut self, directory: &Directory, name: &'n CStr, shows: bool) -> Option<&'n str> {
        if name.to_bytes() == KEPT.as_bytes() {
            return None;
        }
        let told = name.to_str().ok().filter(|name| check_name(name).is_ok());
        if told.is_none() {
            self.hidden += 1;
            if shows && self.unfit.len() < MOST_UNFIT {
                self.unfit.extend(unfit(directory, name));
            }
        }
        told
    }
}

/// A name that cannot be told, as far as it is text.
fn unfit(directory: &Directory, name: &CStr) -> Option<String> {
    let facts = directory.look(name).ok()??;
    let slash = if facts.kind == EntryKind::Directory { "/" } else { "" };
    Some(format!("{}{slash}", name.to_string_lossy()))
}
