//! How much of what a server lists is kept in memory: a server that lists for ever is left.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::error::SessionError;
use sealane_protocol::message::{Entries, Partial};

/// Bytes that the listings of one command may take: 1.5 million names of 60 bytes.
const MOST: usize = 192 << 20;
/// What an entry or a text takes besides its own bytes.
const EACH: usize = 64;

/// Memory for listings, of one command or tree. Cloning shares it.
#[derive(Clone, Debug)]
pub struct ListingMemory(Arc<AtomicUsize>);

impl Default for ListingMemory {
    fn default() -> Self {
        Self(Arc::new(AtomicUsize::new(MOST)))
    }
}

impl ListingMemory {
    /// Takes as much as `texts` of so many bytes need.
    ///
    /// # Errors
    /// [`SessionError::TooLong`]: nothing is taken then.
    pub(crate) fn take(&self, texts: impl IntoIterator<Item = usize>) -> Result<(), SessionError> {
        self.take_bytes(sum(texts))
    }

    /// As [`ListingMemory::take`], of what comes to texts that were taken before.
    pub(crate) fn take_bytes(&self, bytes: usize) -> Result<(), SessionError> {
        let rest = |left: usize| left.checked_sub(bytes);
        let taken = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, rest);
        taken.map(drop).map_err(|_| SessionError::TooLong { mebibytes: MOST >> 20 })
    }

    /// Gives back what the entries of a directory took, once they are forgotten. `texts` is what
    /// was taken.
    pub fn give_back(&self, texts: impl IntoIterator<Item = usize>) {
        self.0.fetch_add(sum(texts), Ordering::Relaxed);
    }
}

fn sum(texts: impl IntoIterator<Item = usize>) -> usize {
    texts.into_iter().fold(0, |sum: usize, text| sum.saturating_add(EACH + text))
}

/// The texts of a page.
pub(crate) fn of_page(page: &Entries) -> impl Iterator<Item = usize> {
    let names = page.entries.iter().map(|entry| entry.name.len());
    names.chain(page.unfit.iter().flatten().map(String::len))
}

pub(crate) fn of_partials(partials: &[Partial]) -> impl Iterator<Item = usize> {
    let path = |partial: &Partial| partial.path.as_ref().map_or(0, String::len);
    partials.iter().flat_map(move |partial| [partial.id.len(), path(partial)])
}
