//! The quota of one account: what it uses and what its running transfers may still write, in bytes
//! and in names.
//!
//! `used + reserved` never passes the limit by a reservation, however many threads ask, and neither
//! do the names that there are with those that uploads will make. It does no IO: callers report
//! what happened on the disk.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::walk::Count;
use crate::storage::types::Usage;
use sealane_base::files::StorageError;

/// By how much the reservation of an upload of unknown size grows: at least and at most.
const STEP: (u64, u64) = (1 << 20, 16 << 20);

/// The shared account book.
#[derive(Debug)]
pub(super) struct Ledger(Mutex<Book>);

#[derive(Debug)]
struct Book {
    usage: Usage,
    /// The partials that reservations stand for, by their stems: their bytes are not in `used`.
    reserved_for: HashSet<String>,
    /// Files and directories. Each reservation stands for one more.
    names: u64,
    most_names: u64,
}

impl Ledger {
    pub(super) fn new(used: u64, limit: u64) -> Arc<Self> {
        Self::of(Count { bytes: used, ..Count::default() }, limit, u64::MAX)
    }

    pub(super) fn of(used: Count, limit: u64, most_names: u64) -> Arc<Self> {
        let usage = Usage { used: used.bytes, reserved: 0, limit };
        let names = used.names;
        let book = Book { usage, reserved_for: HashSet::new(), names, most_names };
        Arc::new(Self(Mutex::new(book)))
    }

    // Every change below is one step, so a poisoned lock still guards a whole state.
    fn lock(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn usage(&self) -> Usage {
        self.lock().usage
    }

    /// What it says at this moment, and which partials (by their stems) reservations stand for.
    pub(super) fn snapshot(&self) -> (Usage, HashSet<String>) {
        let book = self.lock();
        (book.usage, book.reserved_for.clone())
    }

    /// Adds `drift` bytes, which may be negative, to what is used.
    pub(super) fn correct(&self, drift: i64) {
        let mut book = self.lock();
        book.usage.used = book.usage.used.saturating_add_signed(drift);
    }

    pub(super) fn set_limit(&self, limit: u64) {
        self.lock().usage.limit = limit;
    }

    /// Takes `names` for what was found.
    pub(super) fn set_names(&self, names: u64) {
        self.lock().names = names;
    }

    /// A directory is about to be made.
    pub(super) fn add_name(&self) -> Result<(), StorageError> {
        let mut book = self.lock();
        book.require_name()?;
        book.names += 1;
        Ok(())
    }

    /// A file or directory is gone, and its `bytes` with it.
    pub(super) fn remove_name(&self, bytes: u64) {
        let mut book = self.lock();
        book.names = book.names.saturating_sub(1);
        book.usage.used = book.usage.used.saturating_sub(bytes);
    }

    /// Bytes left the disk.
    pub(super) fn refund(&self, bytes: u64) {
        let mut book = self.lock();
        book.usage.used = book.usage.used.saturating_sub(bytes);
    }

    /// Reserves `size` bytes for an upload whose partial `stem`, counted as used so far, has
    /// `partial` bytes: those are converted and not counted twice. One reservation a stem at a
    /// time.
    pub(super) fn reserve(
        self: &Arc<Self>,
        stem: &str,
        size: u64,
        partial: u64,
    ) -> Result<Reservation, StorageError> {
        let bytes = size.max(partial);
        let mut book = self.lock();
        book.require_name()?;
        book.usage.require(bytes - partial)?;
        Ok(self.reserved(&mut book, stem, bytes, partial))
    }

    /// Reserves nothing but what the partial `stem` has, for an upload that may turn out to need no
    /// more: a file that is there already. See [`Reservation::reserve_whole`].
    pub(super) fn reserve_nothing(self: &Arc<Self>, stem: &str, partial: u64) -> Reservation {
        self.reserved(&mut self.lock(), stem, partial, partial)
    }

    fn reserved(
        self: &Arc<Self>,
        book: &mut Book,
        stem: &str,
        bytes: u64,
        partial: u64,
    ) -> Reservation {
        book.usage.used = book.usage.used.saturating_sub(partial);
        book.usage.reserved = book.usage.reserved.saturating_add(bytes);
        book.reserved_for.insert(stem.to_owned());
        let (ledger, stem) = (Arc::clone(self), stem.to_owned());
        Reservation { ledger, stem, bytes, kept: partial, replaced: 0, is_new: false }
    }
}

impl Usage {
    /// Nothing, if there may be `bytes` more.
    fn require(&self, bytes: u64) -> Result<(), StorageError> {
        let wanted = self.used.checked_add(self.reserved).and_then(|sum| sum.checked_add(bytes));
        match wanted.unwrap_or(u64::MAX).saturating_sub(self.limit) {
            0 => Ok(()),
            short => Err(StorageError::Quota { short, limit: self.limit }),
        }
    }
}

impl Book {
    /// Nothing, if there may be one name more.
    fn require_name(&self) -> Result<(), StorageError> {
        self.require_names(1)
    }

    fn require_names(&self, more: u64) -> Result<(), StorageError> {
        let names = self.names.saturating_add(self.reserved_for.len() as u64);
        let names = names.saturating_add(more).saturating_sub(1);
        let limit = self.most_names;
        if names < limit { Ok(()) } else { Err(StorageError::TooManyFiles { limit }) }
    }
}

/// Bytes set aside for one upload. Dropping it releases them all and counts what stayed on disk.
#[derive(Debug)]
pub(super) struct Reservation {
    ledger: Arc<Ledger>,
    stem: String,
    bytes: u64,
    kept: u64,
    replaced: u64,
    /// There is a name now that was not there before.
    is_new: bool,
}

impl Reservation {
    /// Reserves less from now on: the partial was cut to `bytes`.
    pub(super) fn shrink(&mut self, bytes: u64) {
        let released = self.bytes.saturating_sub(bytes);
        self.bytes = self.bytes.saturating_sub(released);
        self.kept = self.kept.min(bytes);
        let usage = &mut self.ledger.lock().usage;
        usage.reserved = usage.reserved.saturating_sub(released);
    }

    /// Reserves until `needed` bytes are, and some more if there is room for more.
    pub(super) fn grow(&mut self, needed: u64) -> Result<(), StorageError> {
        let Some(missing) = needed.checked_sub(self.bytes).filter(|missing| *missing > 0) else {
            return Ok(());
        };
        let usage = &mut self.ledger.lock().usage;
        let taken = usage.used.saturating_add(usage.reserved);
        let free = usage.limit.saturating_sub(taken);
        if missing > free {
            return Err(StorageError::Quota { short: missing - free, limit: usage.limit });
        }
        // Not all that is left: others upload, too.
        let more = missing.max(self.bytes.clamp(STEP.0, STEP.1).min(free / 8));
        usage.reserved = usage.reserved.saturating_add(more);
        self.bytes = self.bytes.saturating_add(more);
        Ok(())
    }

    /// Reserves `bytes` in all from now on, if there is room, and a name.
    pub(super) fn reserve_whole(&mut self, bytes: u64) -> Result<(), StorageError> {
        let mut book = self.ledger.lock();
        let more = bytes.saturating_sub(self.bytes);
        // Its own name is counted already.
        book.require_names(0)?;
        book.usage.require(more)?;
        book.usage.reserved = book.usage.reserved.saturating_add(more);
        self.bytes = self.bytes.saturating_add(more);
        Ok(())
    }

    /// Ends it with `bytes` still on disk as a partial.
    pub(super) fn keep(mut self, bytes: u64) {
        self.kept = bytes.min(self.bytes);
    }

    /// Ends it with everything on disk under its name, where a file of `replaced` bytes was before.
    pub(super) fn convert(mut self, replaced: Option<u64>) {
        self.kept = self.bytes;
        self.replaced = replaced.unwrap_or(0);
        self.is_new = replaced.is_none();
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut book = self.ledger.lock();
        book.reserved_for.remove(&self.stem);
        book.names = book.names.saturating_add(self.is_new.into());
        let usage = &mut book.usage;
        usage.reserved = usage.reserved.saturating_sub(self.bytes);
        usage.used = usage.used.saturating_add(self.kept).saturating_sub(self.replaced);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_of_thirty_two_threads_fit() {
        let ledger = Ledger::new(5, 1005);
        let start = std::sync::Barrier::new(32);
        let held: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..32)
                .map(|number| {
                    let (ledger, start) = (&ledger, &start);
                    scope.spawn(move || {
                        start.wait();
                        let outcome = ledger.reserve(&number.to_string(), 100, 0);
                        let Usage { used, reserved, limit } = ledger.usage();
                        assert!(used + reserved <= limit);
                        outcome.ok()
                    })
                })
                .collect();
            threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(held.len(), 10);
        assert!(matches!(
            ledger.reserve("x", 1, 0),
            Err(StorageError::Quota { short: 1, limit: 1005 })
        ));
        drop(held);
        assert_eq!(ledger.usage(), Usage { used: 5, reserved: 0, limit: 1005 });
    }

    #[test]
    fn a_partial_is_never_counted_twice() {
        let ledger = Ledger::new(60, 100);
        let resumed = ledger.reserve("x", 80, 40).unwrap();
        assert_eq!(ledger.usage(), Usage { used: 20, reserved: 80, limit: 100 });
        resumed.keep(50);
        assert_eq!(ledger.usage(), Usage { used: 70, reserved: 0, limit: 100 });
        ledger.reserve("x", 80, 50).unwrap().convert(Some(15));
        assert_eq!(ledger.usage(), Usage { used: 85, reserved: 0, limit: 100 });
    }

    #[test]
    fn an_upload_that_ends_leaves_the_others_what_they_reserved() {
        let ledger = Ledger::new(0, 100);
        let (one, two) = (ledger.reserve("x", 40, 0).unwrap(), ledger.reserve("y", 30, 0).unwrap());
        one.convert(None);
        assert_eq!(ledger.usage(), Usage { used: 40, reserved: 30, limit: 100 });
        drop(two);
        assert_eq!(ledger.usage(), Usage { used: 40, reserved: 0, limit: 100 });
    }

    #[test]
    fn a_larger_partial_holds_its_bytes_until_it_is_cut() {
        let ledger = Ledger::new(90, 100);
        let mut cut = ledger.reserve("x", 10, 90).unwrap();
        assert_eq!(ledger.usage(), Usage { used: 0, reserved: 90, limit: 100 });
        cut.shrink(10);
        assert_eq!(ledger.usage(), Usage { used: 0, reserved: 10, limit: 100 });
        drop(cut);
        assert_eq!(ledger.usage(), Usage { used: 10, reserved: 0, limit: 100 });
    }

    #[test]
    fn names_are_counted_and_each_upload_stands_for_one() {
        let ledger = Ledger::of(Count { names: 1, ..Count::default() }, 100, 3);
        let is_full = || matches!(ledger.add_name(), Err(StorageError::TooManyFiles { limit: 3 }));
        let (new, replacing) = (ledger.reserve("x", 1, 0), ledger.reserve("y", 1, 0));
        assert!(is_full() && ledger.reserve("z", 1, 0).is_err());
        replacing.unwrap().convert(Some(1));
        ledger.add_name().unwrap();
        assert!(is_full());
        new.unwrap().convert(None);
        assert!(is_full());
        ledger.remove_name(0);
        drop(ledger.reserve("x", 1, 0).unwrap());
        ledger.add_name().unwrap();
        assert!(is_full());
    }

    #[test]
    fn sums_that_overflow_are_refused() {
        let ledger = Ledger::new(1, u64::MAX - 1);
        assert!(matches!(ledger.reserve("x", u64::MAX, 0), Err(StorageError::Quota { .. })));
    }
}
