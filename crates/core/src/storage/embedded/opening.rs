//! A home that is being opened: counted in steps, once for all who open it.
//!
//! The count is kept with the account's [`Lease`]. So all who wait for the same home go on with
//! it where another has stopped, and it is forgotten once nobody waits any more.

use std::sync::Arc;

use super::counting::Counting;
use super::home::EmbeddedHome;
use super::view::{Files, Lease};
use crate::storage::seam::{HomeStore, Opening};
use crate::storage::types::{Caps, View};
use sealane_base::files::StorageError;
use sealane_base::files::jail::Directory;
use sealane_base::types::path::KEPT;

/// See [`Opening`].
#[derive(Debug)]
pub(super) struct EmbeddedOpening {
    pub(super) lease: Arc<Lease>,
    pub(super) limit: u64,
    pub(super) view: View,
    pub(super) caps: Caps,
    /// The directories of all homes, and of all accounts' partials.
    pub(super) homes: Directory,
    pub(super) partials: Arc<Directory>,
}

impl Opening for EmbeddedOpening {
    fn step(&mut self) -> Result<Option<Arc<dyn HomeStore>>, StorageError> {
        let Some(files) = self.files()? else { return Ok(None) };
        Ok(Some(Arc::new(EmbeddedHome::new(files, self.view.clone())?)))
    }
}

impl EmbeddedOpening {
    fn files(&self) -> Result<Option<Arc<Files>>, StorageError> {
        let mut opened = self.lease.opened();
        if let Some(files) = opened.files.upgrade() {
            files.set_limit(self.limit);
            return Ok(Some(files));
        }
        // One that fails is forgotten.
        let mut counting = match opened.counting.take() {
            Some(counting) => counting,
            None => self.begin()?,
        };
        let Some(count) = counting.step()? else {
            opened.counting = Some(counting);
            return Ok(None);
        };
        let (places, lease) = (counting.places(), Arc::clone(&self.lease));
        let files = Arc::new(Files::new(places, count, self.limit, self.caps, lease)?);
        opened.files = Arc::downgrade(&files);
        Ok(Some(files))
    }

    fn begin(&self) -> Result<Counting, StorageError> {
        let mut root = self.homes.descend(&Default::default())?;
        for name in self.lease.place.components().skip(1) {
            root = root.child_or_make(name, 0o700)?;
        }
        let is_apart = root.mount()? != self.partials.mount()?;
        let partials = match is_apart {
            true => root.child_or_make(KEPT, 0o700)?,
            false => self.partials.child_or_make(self.lease.owner.as_str(), 0o700)?,
        };
        Counting::new(root, partials)
    }
}
