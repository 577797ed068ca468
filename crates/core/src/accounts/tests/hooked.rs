//! A store with a test in it.

use std::fmt;

use crate::accounts::{AccountError, AccountStore, DirectoryStore, Listing, Record};
use sealane_base::types::Username;

/// A store that lets a test in just after a load and before a swap.
pub(super) struct Hooked<L, S> {
    pub(super) inner: DirectoryStore,
    pub(super) after_load: L,
    pub(super) before_swap: S,
}

impl<L, S> fmt::Debug for Hooked<L, S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Hooked")
    }
}

impl<L, S> AccountStore for Hooked<L, S>
where
    L: Fn() -> Result<(), AccountError> + Send + Sync,
    S: Fn() -> Result<(), AccountError> + Send + Sync,
{
    fn load(&self, name: &Username) -> Result<Option<Record>, AccountError> {
        let outcome = self.inner.load(name);
        (self.after_load)()?;
        outcome
    }

    fn compare_and_swap_password(
        &self,
        name: &Username,
        expected: &str,
        new: &str,
    ) -> Result<bool, AccountError> {
        (self.before_swap)()?;
        self.inner.compare_and_swap_password(name, expected, new)
    }

    fn rename(
        &self,
        old: &Username,
        new: &Username,
        change: &mut dyn FnMut(&Record) -> Record,
    ) -> Result<(), AccountError> {
        self.inner.rename(old, new, change)
    }

    fn update(
        &self,
        name: &Username,
        change: &mut dyn FnMut(&mut Record),
    ) -> Result<(), AccountError> {
        self.inner.update(name, change)
    }

    fn create(&self, record: &Record) -> Result<(), AccountError> {
        self.inner.create(record)
    }

    fn remove(&self, name: &Username) -> Result<(), AccountError> {
        self.inner.remove(name)
    }

    fn place(&self, name: &Username) -> String {
        self.inner.place(name)
    }

    fn list(&self) -> Result<Listing, AccountError> {
        self.inner.list()
    }
}
