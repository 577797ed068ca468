//! The way to the accounts of a configured server.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::AdminError;
use sealane_base::types::Username;
use sealane_core::accounts::{
    AccountManager, AccountStore, DirectoryStore, LoginSettings, ManageError,
};

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

/// Removes an account, also one whose record cannot be read, and says where below `data` its files
/// are, if that can be told. They stay.
///
/// # Errors
/// [`ManageError::Account`].
pub fn remove_account(
    manager: &AccountManager,
    name: &Username,
    data: &Path,
) -> Result<Option<PathBuf>, ManageError> {
    let home = manager.show(name).ok().and_then(|summary| summary.home.ok());
    manager.remove(name)?;
    Ok(home.map(|home| data.join(home.as_str())))
}
