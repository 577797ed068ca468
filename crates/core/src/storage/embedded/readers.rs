//! Files of a home that are open: their bytes are on the disk, and count, until the last one that
//! reads them has gone, whatever became of their names.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::ledger::Ledger;
use sealane_base::files::jail::Facts;

/// Device and inode.
pub(super) type Identity = (u64, u64);

/// Which files are open.
#[derive(Debug, Default)]
pub(super) struct Readers(Mutex<HashMap<Identity, Open>>);

#[derive(Debug, Default)]
struct Open {
    readers: u64,
    /// Bytes that go once nobody reads them: the last name is gone.
    gone: u64,
}

impl Readers {
    fn lock(&self) -> MutexGuard<'_, HashMap<Identity, Open>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One reader more of the file that is `identity`.
    pub(super) fn enter(&self, identity: Identity) {
        self.lock().entry(identity).or_default().readers += 1;
    }

    /// One reader less; what is gone with the last one is refunded to `ledger`.
    pub(super) fn leave(&self, identity: Identity, ledger: &Ledger) {
        let mut all = self.lock();
        let Some(open) = all.get_mut(&identity) else { return };
        open.readers = open.readers.saturating_sub(1);
        if open.readers == 0 {
            ledger.refund(open.gone);
            all.remove(&identity);
        }
    }

    /// A name of the file that `facts` are about is gone. Gives the bytes that went with it now.
    pub(super) fn gone(&self, facts: &Facts) -> u64 {
        match self.lock().get_mut(&facts.identity).filter(|_| facts.links <= 1) {
            Some(open) => {
                // A file is closed before its reader leaves: another may have its inode by then.
                open.gone = open.gone.saturating_add(facts.size);
                0
            }
            None => facts.size,
        }
    }

    /// What `ledger` says at this moment, and how much of that has no name any more.
    pub(super) fn snapshot<T>(&self, ledger: impl FnOnce() -> T) -> (T, u64) {
        let open = self.lock();
        (ledger(), open.values().map(|open| open.gone).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_takes_the_inode_of_a_closed_one_hides_none_of_its_bytes() {
        let (readers, ledger) = (Readers::default(), Ledger::new(12, 100));
        let file = Facts::of(tempfile::tempfile().unwrap()).unwrap();
        readers.enter(file.identity);
        for size in [5, 7] {
            assert_eq!(readers.gone(&Facts { size, ..file }), 0);
        }
        assert_eq!(readers.snapshot(|| ()).1, 12);
        readers.leave(file.identity, &ledger);
        assert_eq!(ledger.usage().used, 0);
    }
}
