//! Raw MD5 to argon2id over it, without knowing the password, in two halves: what is to be replaced
//! can be put away safely before it is.

use std::fmt;

use zeroize::Zeroizing;

use crate::accounts::manage::{AccountManager, ManageError};
use crate::accounts::password::StoredPassword;
use sealane_base::types::Username;

/// A stored password and what is to replace it. Both let whoever has them guess; `Debug` shows
/// stars.
#[derive(Clone, PartialEq, Eq)]
pub struct Wrapping {
    /// The account.
    pub name: Username,
    /// The MD5 as the record has it.
    pub original: Zeroizing<String>,
    /// argon2id over it.
    pub wrapped: Zeroizing<String>,
}

impl fmt::Debug for Wrapping {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Wrapping({}, ***)", self.name)
    }
}

impl AccountManager {
    /// The accounts that store a raw MD5, sorted, and those whose records cannot be read: nobody
    /// knows what they store, and [`AccountManager::prepare_wrap`] says why.
    ///
    /// # Errors
    /// [`ManageError::Account`] if the store cannot be listed.
    pub fn raw_accounts(&self) -> Result<Vec<Username>, ManageError> {
        let mut names = self.store.list()?.names;
        names.retain(|name| {
            let record = self.store.load(name).map(|record| record.map(|record| record.password()));
            matches!(record, Ok(Some(Ok(StoredPassword::Md5(_)))) | Err(_))
        });
        Ok(names)
    }

    /// Computes what is to replace a raw MD5; `None` if there is none, or no such account, any
    /// more. Nothing is changed. One argon2 evaluation.
    ///
    /// # Errors
    /// [`ManageError`].
    pub fn prepare_wrap(&self, name: &Username) -> Result<Option<Wrapping>, ManageError> {
        let Some(record) = self.store.load(name)? else { return Ok(None) };
        let (Ok(text), Ok(StoredPassword::Md5(md5))) = (record.password_text(), record.password())
        else {
            return Ok(None);
        };
        Ok(Some(Wrapping {
            name: name.clone(),
            original: Zeroizing::new(text.to_owned()),
            wrapped: Zeroizing::new(self.hasher.wrap(&md5)?),
        }))
    }

    /// Puts the wrapped form in the place of the original. Says whether it did: false if a login or
    /// a reset came first.
    ///
    /// # Errors
    /// [`ManageError::Account`]; the record is then as it was.
    pub fn apply_wrap(&self, wrapping: &Wrapping) -> Result<bool, ManageError> {
        let Wrapping { name, original, wrapped } = wrapping;
        Ok(self.store.compare_and_swap_password(name, original, wrapped)?)
    }

    /// Puts the original back in the place of the wrapped form. Says whether it did: false if the
    /// record changed since it was wrapped, or is gone.
    ///
    /// # Errors
    /// [`ManageError::Account`]; the record is then as it was.
    pub fn undo_wrap(&self, wrapping: &Wrapping) -> Result<bool, ManageError> {
        let Wrapping { name, original, wrapped } = wrapping;
        Ok(self.store.compare_and_swap_password(name, wrapped, original)?)
    }
}
