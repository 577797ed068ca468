//! What an administrator does to accounts: add, change, list, remove.
//!
//! Blocking functions that return values. Each change is one step under the store's lock, so two
//! administrators at once, or one and a login, never lose each other's work.

use std::sync::Arc;

use thiserror::Error;

use sealane_base::types::{Pin, Secret, Username};

use super::hasher::{HashError, Hasher};
use super::home::{DEFAULT_HOMES, HomeDirectory, HomeMap};
use super::keys::{AccountKey, KeyListError, KeyProblem};
use super::password::{HashCost, StoredPassword, TypedPasswordError, check_typed};
use super::record::Record;
use super::samples::record_is_sample;
use super::store::{AccountError, AccountStore};

/// Changes accounts in a store.
#[derive(Debug)]
pub struct AccountManager {
    pub(super) store: Arc<dyn AccountStore>,
    pub(super) hasher: Hasher,
    pub(super) homes: HomeMap,
}

/// A change that was not made.
#[derive(Debug, Error)]
pub enum ManageError {
    /// The store failed, or the account is not there, or is there already.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The password cannot be hashed.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// The home cannot be mapped; the text says why.
    #[error("the home '{home}' cannot be used: {problem}")]
    Home {
        /// The home as given.
        home: String,
        /// What is wrong with it.
        problem: super::home::HomeError,
    },
    /// The list of keys was not changed.
    #[error("{0}: {1}")]
    Keys(Username, KeyListError),
    /// The account does not have the key.
    #[error("{0} does not have the key {1}")]
    NoKey(Username, Pin),
    /// A quota of 0, which would not mean unlimited.
    #[error("the quota must be at least 1 byte")]
    Quota,
    /// The new password is empty or too long.
    #[error(transparent)]
    TypedPassword(#[from] TypedPasswordError),
}

impl ManageError {
    /// True if the disk has no room: the next record would fail alike.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Account(AccountError::File(file)) if file.is_full())
    }
}

/// How an account's password is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PasswordState {
    /// Native argon2id.
    Argon2id,
    /// Unusable: the record or its password; the text says why.
    Malformed(String),
    /// Raw MD5.
    Md5,
    /// argon2id over MD5.
    Wrapped,
}

/// One account as an administrator sees it. Problems are texts ready to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The account's name; the file's name if that is not an account name.
    pub name: String,
    /// How its password is stored.
    pub state: PasswordState,
    /// Switched off by an administrator, or by a `disabled` that says neither yes nor no.
    pub disabled: bool,
    /// Most bytes it may store, or why that cannot be told.
    pub quota: Result<u64, String>,
    /// Its home, or why it has none.
    pub home: Result<HomeDirectory, String>,
    /// Its password is one that tutorials print.
    pub is_sample: bool,
    /// Its keys; for each what it is, or why it counts for nothing.
    pub keys: Vec<Result<AccountKey, KeyProblem>>,
}

impl AccountManager {
    /// A manager for `store`; `homes` are the rules the server uses.
    ///
    /// # Errors
    /// [`HashError`] if the cost is out of bounds or the system has no randomness.
    pub fn new(
        store: Arc<dyn AccountStore>,
        cost: HashCost,
        homes: HomeMap,
    ) -> Result<Self, HashError> {
        Ok(Self { store, hasher: Hasher::new(cost)?, homes })
    }

    /// Adds an account. `quota` is in bytes; `home` is `homes/NAME` unless given, and its directory
    /// is not made here.
    ///
    /// # Errors
    /// [`ManageError`]; nothing is stored then.
    pub fn add(
        &self,
        name: &Username,
        password: &Secret,
        quota: u64,
        home: Option<&str>,
    ) -> Result<(), ManageError> {
        check_quota(quota)?;
        self.resolve_home(name, home)?;
        let home = home_of(name, home);
        let stored = self.hash(password)?;
        Ok(self.store.create(&Record::new(name, &stored, quota, &home))?)
    }

    /// The directory that `home` means for `name`: `homes/NAME` unless one is given.
    ///
    /// # Errors
    /// [`ManageError::Home`].
    pub fn resolve_home(
        &self,
        name: &Username,
        home: Option<&str>,
    ) -> Result<HomeDirectory, ManageError> {
        let home = home_of(name, home);
        self.homes.resolve(&home).map_err(|problem| ManageError::Home { home, problem })
    }

    /// Sets a new password, whatever was stored before. Logins that are just verifying the old one
    /// do not bring it back.
    ///
    /// # Errors
    /// [`ManageError`]; nothing is changed then.
    pub fn set_password(&self, name: &Username, password: &Secret) -> Result<(), ManageError> {
        let stored = self.hash(password)?;
        Ok(self.store.update(name, &mut |record| record.set_password(&stored))?)
    }

    /// Sets the quota in bytes.
    ///
    /// # Errors
    /// [`ManageError::Quota`] for 0, [`ManageError::Account`].
    pub fn set_quota(&self, name: &Username, quota: u64) -> Result<(), ManageError> {
        check_quota(quota)?;
        Ok(self.store.update(name, &mut |record| record.set_quota(quota))?)
    }

    /// Switches an account off or on. Sessions it has are not ended here.
    ///
    /// # Errors
    /// [`ManageError::Account`].
    pub fn set_disabled(&self, name: &Username, disabled: bool) -> Result<(), ManageError> {
        Ok(self.store.update(name, &mut |record| record.set_disabled(disabled))?)
    }

    /// Lets a key log in to an account.
    ///
    /// # Errors
    /// [`ManageError::Keys`], [`ManageError::Account`]; nothing is changed then.
    pub fn add_key(&self, name: &Username, key: &AccountKey) -> Result<(), ManageError> {
        let mut outcome = Ok(());
        self.store.update(name, &mut |record| outcome = record.add_key(key))?;
        outcome.map_err(|error| ManageError::Keys(name.clone(), error))
    }

    /// Ends that. Sessions it has are not ended here.
    ///
    /// # Errors
    /// [`ManageError::NoKey`], [`ManageError::Account`].
    pub fn revoke_key(&self, name: &Username, pin: &Pin) -> Result<(), ManageError> {
        let mut is_there = false;
        self.store.update(name, &mut |record| is_there = record.revoke_key(pin))?;
        if is_there { Ok(()) } else { Err(ManageError::NoKey(name.clone(), *pin)) }
    }

    /// Removes an account's record. Its home stays.
    ///
    /// # Errors
    /// [`ManageError::Account`].
    pub fn remove(&self, name: &Username) -> Result<(), ManageError> {
        Ok(self.store.remove(name)?)
    }

    /// Every account, sorted by name; then files that look like records but cannot be accounts.
    ///
    /// # Errors
    /// [`ManageError::Account`] if the store cannot be listed. A record that cannot be read is
    /// listed as malformed.
    pub fn list(&self) -> Result<Vec<Summary>, ManageError> {
        let listing = self.store.list()?;
        let mut summaries = Vec::with_capacity(listing.names.len());
        for name in &listing.names {
            match self.show(name) {
                Ok(summary) => summaries.push(summary),
                // Removed since the listing.
                Err(ManageError::Account(AccountError::NotFound(_))) => {}
                Err(error) => summaries.push(unusable(name.to_string(), &error.to_string())),
            }
        }
        summaries.extend(
            listing
                .strangers
                .into_iter()
                .map(|file| unusable(file, "its file name is not that of an account (NAME.db)")),
        );
        Ok(summaries)
    }

    /// One account.
    ///
    /// # Errors
    /// [`ManageError::Account`] if it is not there or its record cannot be read at all.
    pub fn show(&self, name: &Username) -> Result<Summary, ManageError> {
        let record = self.store.load(name)?.ok_or_else(|| AccountError::NotFound(name.clone()))?;
        Ok(Summary {
            name: name.to_string(),
            state: state_of(&record),
            disabled: record.is_disabled().unwrap_or(true),
            quota: record.quota().map_err(|problem| problem.to_string()),
            home: self.home_of(&record),
            is_sample: record_is_sample(&record, &self.hasher),
            keys: record.keys(),
        })
    }

    fn home_of(&self, record: &Record) -> Result<HomeDirectory, String> {
        let home_path = record.home_path().map_err(|problem| problem.to_string())?;
        self.homes.resolve(home_path).map_err(|problem| problem.to_string())
    }

    fn hash(&self, password: &Secret) -> Result<String, ManageError> {
        check_typed(password.expose())?;
        Ok(self.hasher.hash(password.expose())?)
    }
}

pub(super) fn home_of(name: &Username, home: Option<&str>) -> String {
    home.map_or_else(|| format!("{DEFAULT_HOMES}/{name}"), str::to_owned)
}

fn check_quota(quota: u64) -> Result<(), ManageError> {
    if quota == 0 { Err(ManageError::Quota) } else { Ok(()) }
}

fn state_of(record: &Record) -> PasswordState {
    match record.password() {
        Ok(StoredPassword::Md5(_)) => PasswordState::Md5,
        Ok(StoredPassword::Wrapped(_)) => PasswordState::Wrapped,
        Ok(StoredPassword::Argon2id(_)) => PasswordState::Argon2id,
        Err(problem) => PasswordState::Malformed(problem.to_string()),
    }
}

fn unusable(name: String, reason: &str) -> Summary {
    Summary {
        name,
        state: PasswordState::Malformed(reason.to_owned()),
        disabled: false,
        quota: Err(reason.to_owned()),
        home: Err(reason.to_owned()),
        is_sample: false,
        keys: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::DirectoryStore;

    const CHEAP: HashCost = HashCost { memory_kib: 8, iterations: 1, parallelism: 1 };

    fn name(text: &str) -> Username {
        Username::parse(text).unwrap()
    }

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    fn manager() -> (tempfile::TempDir, Arc<DirectoryStore>, AccountManager) {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(DirectoryStore::open(dir.path()).unwrap());
        let shared: Arc<dyn AccountStore> = Arc::<DirectoryStore>::clone(&store);
        let homes = HomeMap::new([(r"D:\FTP\home", "homes")]).unwrap();
        (dir, store, AccountManager::new(shared, CHEAP, homes).unwrap())
    }

    fn wrap(manager: &AccountManager, account: &str) -> bool {
        let wrapping = manager.prepare_wrap(&name(account)).unwrap();
        wrapping.is_some_and(|wrapping| manager.apply_wrap(&wrapping).unwrap())
    }

    #[test]
    fn an_account_is_added_changed_and_removed() {
        let (_dir, store, manager) = manager();
        let bob = name("bob");
        manager.add(&bob, &secret("first"), 10, None).unwrap();
        let again = manager.add(&bob, &secret("first"), 10, None);
        assert!(matches!(again, Err(ManageError::Account(AccountError::Exists(_)))));
        manager.set_quota(&bob, 20).unwrap();
        manager.set_disabled(&bob, true).unwrap();
        let summary = manager.show(&bob).unwrap();
        assert_eq!((summary.state, summary.disabled), (PasswordState::Argon2id, true));
        assert_eq!((summary.quota, summary.home.unwrap().as_str()), (Ok(20), "homes/bob"));
        manager.set_disabled(&bob, false).unwrap();
        assert!(!manager.show(&bob).unwrap().disabled);
        manager.set_password(&bob, &secret("second")).unwrap();
        let stored = store.load(&bob).unwrap().unwrap().password().unwrap();
        assert!(manager.hasher.verify(&stored, "second").unwrap());
        assert!(!manager.hasher.verify(&stored, "first").unwrap());
        manager.remove(&bob).unwrap();
        assert!(manager.list().unwrap().is_empty());
        let gone = manager.set_quota(&bob, 1);
        assert!(matches!(gone, Err(ManageError::Account(AccountError::NotFound(_)))));
    }

    #[test]
    fn what_could_never_log_in_is_not_added() {
        let (_dir, _store, manager) = manager();
        let bob = name("bob");
        let add = |password: &str, quota, home| manager.add(&bob, &secret(password), quota, home);
        assert!(matches!(add("", 1, None), Err(ManageError::TypedPassword(_))));
        assert!(matches!(add(&"x".repeat(1025), 1, None), Err(ManageError::TypedPassword(_))));
        assert!(matches!(add("x", 0, None), Err(ManageError::Quota)));
        for home in ["homes", "../bob", r"C:\bob", "/bob", ""] {
            assert!(matches!(add("x", 1, Some(home)), Err(ManageError::Home { .. })), "{home}");
        }
        assert!(manager.list().unwrap().is_empty());
        add("x", 1, Some(r"D:\FTP\home\elsewhere")).unwrap();
        assert_eq!(manager.show(&bob).unwrap().home.unwrap().as_str(), "homes/elsewhere");
    }

    #[test]
    fn the_list_shows_every_state_and_every_problem() {
        let (dir, store, manager) = manager();
        let md5 = "96E79218965EB72C92A549DD5A330112";
        store.create(&Record::new(&name("ahpu"), md5, 1, r"D:\FTP\home\ahpu")).unwrap();
        store.create(&Record::new(&name("bad"), "?", 0, r"C:\x")).unwrap();
        store.create(&Record::new(&name("wrapped"), md5, 1, "homes/w")).unwrap();
        assert!(wrap(&manager, "wrapped"));
        assert!(!wrap(&manager, "wrapped"));
        assert!(!wrap(&manager, "bad"));
        for link in ["link.db", "X.DB"] {
            std::os::unix::fs::symlink("nowhere", dir.path().join(link)).unwrap();
        }
        let list = manager.list().unwrap();
        let states: Vec<_> = list.iter().map(|one| (one.name.as_str(), &one.state)).collect();
        assert_eq!(states[0], ("ahpu", &PasswordState::Md5));
        assert!(matches!(states[1], ("bad", PasswordState::Malformed(_))));
        assert!(
            matches!(states[2], ("link", PasswordState::Malformed(text)) if text.contains("link.db"))
        );
        assert_eq!(states[3], ("wrapped", &PasswordState::Wrapped));
        assert!(matches!(states[4], ("X.DB", PasswordState::Malformed(_))));
        assert!(list[0].is_sample && !list[3].is_sample);
        assert!(list[1].quota.is_err() && list[1].home.is_err());
    }

    #[test]
    fn a_wrapped_password_is_the_same_password() {
        let (_dir, store, manager) = manager();
        let md5 = "96E79218965EB72C92A549DD5A330112";
        store.create(&Record::new(&name("ahpu"), md5, 1, "homes/ahpu")).unwrap();
        assert!(wrap(&manager, "ahpu"));
        let stored = store.load(&name("ahpu")).unwrap().unwrap().password().unwrap();
        assert!(manager.hasher.verify(&stored, "111111").unwrap());
        assert!(!manager.hasher.verify(&stored, "111112").unwrap());
    }
}
