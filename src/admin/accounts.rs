//! The way to the accounts of a configured server.

use std::path::Path;
use std::sync::Arc;

use super::AdminError;
use sealane_base::fsio;
use sealane_base::types::{RemotePath, Username};
use sealane_core::accounts::{AccountManager, AccountStore, DirectoryStore, LoginSettings};

/// A manager for the accounts in `directory`, with the server's own cost and rules for homes.
///
/// # Errors
/// [`AdminError::Account`] if the directory cannot be used, [`AdminError::Hash`].
pub fn open_accounts(
    directory: &Path,
    login: &LoginSettings,
) -> Result<AccountManager, AdminError> {
    let store: Arc<dyn AccountStore> = Arc::new(DirectoryStore::open(directory)?);
    Ok(AccountManager::new(store, login.cost, login.homes.clone())?)
}

/// Checks that `name` can have `home`, or `homes/NAME`, without being handed the files of somebody
/// else: the directory below `data` is empty or missing, and it is no other account's home, nor in
/// or around one.
///
/// # Errors
/// [`AdminError::Inhabited`], [`AdminError::Shared`]; [`AdminError::Manage`] if the home cannot be
/// used or the accounts not be listed.
pub fn check_home(
    manager: &AccountManager,
    name: &Username,
    home: Option<&str>,
    data: &Path,
) -> Result<(), AdminError> {
    if manager.show(name).is_ok() {
        // That it exists already says `add`.
        return Ok(());
    }
    let home = manager.resolve_home(name, home)?;
    for other in manager.list()? {
        let taken = other.home.ok().filter(|_| other.name != name.as_str());
        if taken.is_some_and(|taken| overlap(taken.path(), home.path())) {
            return Err(AdminError::Shared { home: home.as_str().to_owned(), other: other.name });
        }
    }
    let place = data.join(home.as_str());
    match fsio::list_names(&place) {
        Ok(names) if names.is_empty() => Ok(()),
        Ok(_) => Err(AdminError::Inhabited(place)),
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn overlap(one: &RemotePath, other: &RemotePath) -> bool {
    one.contains(other) || other.contains(one) || one == other
}
