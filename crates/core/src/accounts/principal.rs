//! What a successful login yields: who it is and what is theirs.

use sealane_base::types::{Grant, Username};

use super::home::HomeDirectory;
use super::keys::AccountKey;

/// An account that has proved its password, or a key of its own. Only a successful login makes one.
#[derive(Clone, Debug)]
pub struct Principal {
    name: Username,
    home: HomeDirectory,
    quota: u64,
    grant: Grant,
    key: Option<AccountKey>,
    upgrade: Upgrade,
}

/// What became of the stored password at a successful login; for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upgrade {
    /// It is replaced by a native argon2id hash of the configured cost.
    Done,
    /// Replacing it failed; the login is good and the next one tries again. The text says why.
    Failed(String),
    /// It is as it should be.
    NotNeeded,
    /// Somebody else replaced it in the meantime; theirs was kept.
    Superseded,
}

impl Principal {
    pub(super) fn new(name: Username, home: HomeDirectory, quota: u64) -> Self {
        Self { name, home, quota, grant: Grant::full(), key: None, upgrade: Upgrade::NotNeeded }
    }

    pub(super) fn with_key(self, key: AccountKey) -> Self {
        Self { grant: key.grant(), key: Some(key), ..self }
    }

    pub(super) fn with_upgrade(self, upgrade: Upgrade) -> Self {
        Self { upgrade, ..self }
    }

    /// The account's name.
    #[must_use]
    pub fn name(&self) -> &Username {
        &self.name
    }

    /// The account's home, relative to the data directory.
    #[must_use]
    pub fn home(&self) -> &HomeDirectory {
        &self.home
    }

    /// Most bytes the account may store; never 0.
    #[must_use]
    pub fn quota(&self) -> u64 {
        self.quota
    }

    /// What may be done with the home.
    #[must_use]
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// The key that logged in; `None` if a password did.
    #[must_use]
    pub fn key(&self) -> Option<&AccountKey> {
        self.key.as_ref()
    }

    /// What became of the stored password.
    #[must_use]
    pub fn upgrade(&self) -> &Upgrade {
        &self.upgrade
    }
}
