//! A new name for an account, in steps that a crash may come between.
//!
//! The record has its new name first, disabled; its caller ends sessions and moves files; then the
//! account can be used. What is begun is in the record, so that the same call goes on.

use sealane_base::types::Username;

use super::home::HomeDirectory;
use super::manage::{AccountManager, ManageError, home_of};
use super::record::Record;
use super::store::AccountError;

impl AccountManager {
    /// Gives an account another name; it is disabled until [`AccountManager::end_rename`]. A home
    /// that is called as the account, `homes/OLD`, becomes `homes/NEW`; its directory is not moved
    /// here. One that was begun and did not end goes on. Gives the old and the new home.
    ///
    /// # Errors
    /// [`ManageError`]; nothing is changed then.
    pub fn begin_rename(
        &self,
        old: &Username,
        new: &Username,
    ) -> Result<[HomeDirectory; 2], ManageError> {
        let own = |name| self.resolve_home(name, None);
        let begun = self.store.load(new)?;
        let begun = begun.filter(|record| record.renamed_from() == Some(old.as_str()));
        if let Some(record) = begun {
            match self.store.remove(old) {
                Ok(()) | Err(AccountError::NotFound(_)) => {}
                Err(error) => return Err(error.into()),
            }
            let now = self.usable_home(&record)?;
            let moves = now.as_str() == own(new)?.as_str();
            return Ok(if moves { [own(old)?, now] } else { [now.clone(), now] });
        }
        let record = self.store.load(old)?.ok_or_else(|| AccountError::NotFound(old.clone()))?;
        let home = self.usable_home(&record)?;
        let moves = home.as_str() == own(old)?.as_str();
        let target = if moves { own(new)? } else { home.clone() };
        self.store.rename(old, new, &mut |record| {
            let kept = record.home_path().unwrap_or_default().to_owned();
            record.renamed(new, &if moves { home_of(new, None) } else { kept })
        })?;
        Ok([home, target])
    }

    /// Lets a renamed account be used.
    ///
    /// # Errors
    /// [`ManageError::Account`].
    pub fn end_rename(&self, new: &Username) -> Result<(), ManageError> {
        Ok(self.store.update(new, &mut Record::end_rename)?)
    }

    fn usable_home(&self, record: &Record) -> Result<HomeDirectory, ManageError> {
        let home = record.home_path().unwrap_or_default().to_owned();
        self.homes.resolve(&home).map_err(|problem| ManageError::Home { home, problem })
    }
}
