//! What an administrator has: how records are stored, which passwords are weak, what is odd.
//!
//! It compares stored MD5 values with one another and with a few well-known passwords. It never
//! holds or gives a stored value, and it knows a password only if it is one of those few.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use crate::accounts::encodings::{PasswordEncoding, forms};
use crate::accounts::home::HomeDirectory;
use crate::accounts::manage::{AccountManager, ManageError};
use crate::accounts::password::{HashCost, PasswordProblem, StoredPassword, md5_of};
use crate::accounts::record::{Record, RecordProblem};
use crate::accounts::store::AccountError;

use super::common::COMMON;
use super::folder::read_folder;
use super::homes::overlaps;
use super::remains::Remains;

/// How an account's password is stored, as far as the way out of MD5 is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashState {
    /// argon2id at the configured cost or above.
    Argon2id,
    /// argon2id below the configured cost; the next login raises it.
    Weak,
    /// argon2id over MD5.
    Wrapped,
    /// Raw MD5.
    Md5,
    /// Nobody can log in with it.
    Unusable,
}

/// How many records are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateCounts {
    /// [`HashState::Argon2id`].
    pub argon2id: u64,
    /// [`HashState::Weak`].
    pub weak: u64,
    /// [`HashState::Wrapped`].
    pub wrapped: u64,
    /// [`HashState::Md5`].
    pub md5: u64,
    /// [`HashState::Unusable`].
    pub unusable: u64,
}

/// One account of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountLine {
    /// Its name; the file's if that is not an account's. Safe to print.
    pub name: String,
    /// How its password is stored.
    pub state: HashState,
    /// Day of the last login, `YYYY-MM-DD` in UTC, if there was one since this was recorded.
    pub last_login: Option<String>,
    /// Switched off.
    pub disabled: bool,
    /// What keeps it from being used, one text each.
    pub problems: Vec<String>,
}

/// Everything that [`AccountManager::report`] found. Names within a list are sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MigrationReport {
    /// Every record.
    pub accounts: Vec<AccountLine>,
    /// Accounts with the same MD5, and so the same password; groups of two or more.
    pub same_password: Vec<Vec<String>>,
    /// Accounts whose password is empty. Nobody can log in to them.
    pub empty_password: Vec<String>,
    /// Accounts whose password is their own name.
    pub name_as_password: Vec<String>,
    /// Accounts with one of the commonest passwords.
    pub common_password: Vec<String>,
    /// Accounts whose names differ in case only.
    pub case_collisions: Vec<Vec<String>>,
    /// Accounts whose `limitsize` is not a positive whole number, with what is wrong.
    pub quota_oddities: Vec<(String, String)>,
    /// Pairs of accounts whose homes are the same or inside one another.
    pub shared_homes: Vec<(String, String)>,
    /// Files of the accounts' directory in which MD5 stands, besides records in the state
    /// [`HashState::Md5`]. [`AccountManager::report`] leaves it empty;
    /// [`AccountManager::md5_remains`] finds them.
    pub md5_elsewhere: Vec<Remains>,
}

impl HashState {
    /// The state of a record with this password, when hashes of the cost `wanted` are made.
    pub(in crate::accounts) fn of(
        password: Result<&StoredPassword, &RecordProblem>,
        wanted: HashCost,
    ) -> Self {
        match password {
            Err(_) => Self::Unusable,
            Ok(StoredPassword::Md5(_)) => Self::Md5,
            Ok(StoredPassword::Wrapped(_)) => Self::Wrapped,
            Ok(native) if native.wants_upgrade(wanted) => Self::Weak,
            Ok(_) => Self::Argon2id,
        }
    }
}

impl StateCounts {
    /// Counts one more.
    pub(in crate::accounts) fn add(&mut self, state: HashState) {
        *match state {
            HashState::Argon2id => &mut self.argon2id,
            HashState::Weak => &mut self.weak,
            HashState::Wrapped => &mut self.wrapped,
            HashState::Md5 => &mut self.md5,
            HashState::Unusable => &mut self.unusable,
        } += 1;
    }

    /// All records.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.argon2id + self.weak + self.wrapped + self.md5 + self.unusable
    }
}

impl MigrationReport {
    /// How many records are in each state.
    #[must_use]
    pub fn counts(&self) -> StateCounts {
        let mut counts = StateCounts::default();
        for account in &self.accounts {
            counts.add(account.state);
        }
        counts
    }
}

impl AccountManager {
    /// Looks at every account, or at every record of a legacy folder if one is given.
    ///
    /// # Errors
    /// [`ManageError::Account`] if the store or the folder cannot be listed.
    pub fn report(&self, folder: Option<&Path>) -> Result<MigrationReport, ManageError> {
        let records = match folder {
            Some(folder) => read_folder(folder)?
                .into_iter()
                .map(|file| {
                    let name = file.name.map_or(file.file, |name| name.to_string());
                    (name, file.content.map(|(record, _)| record))
                })
                .collect(),
            None => self.records()?,
        };
        let mut builder = Builder { manager: self, report: MigrationReport::default() };
        builder.look_at_all(&records);
        Ok(builder.report)
    }

    fn records(&self) -> Result<Vec<Named>, ManageError> {
        let listing = self.store.list()?;
        let mut records = Vec::with_capacity(listing.names.len());
        for name in &listing.names {
            match self.store.load(name) {
                Ok(Some(record)) => records.push((name.to_string(), Ok(record))),
                // Removed since the listing.
                Ok(None) => {}
                Err(AccountError::Record { problem, .. }) => {
                    records.push((name.to_string(), Err(problem.to_string())));
                }
                Err(AccountError::File(error)) => {
                    records.push((name.to_string(), Err(error.kind.to_string())));
                }
                Err(error) => records.push((name.to_string(), Err(error.to_string()))),
            }
        }
        let stranger = "its file name is not that of an account (NAME.db)";
        records.extend(listing.strangers.into_iter().map(|file| (file, Err(stranger.into()))));
        Ok(records)
    }
}

/// The name of a record, and the record or what is wrong with it.
type Named = (String, Result<Record, String>);

struct Builder<'a> {
    manager: &'a AccountManager,
    report: MigrationReport,
}

impl Builder<'_> {
    fn look_at_all(&mut self, records: &[Named]) {
        let mut same: HashMap<[u8; 16], Vec<String>> = HashMap::new();
        let mut folded: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut homes: Vec<(String, HomeDirectory)> = Vec::new();
        let common: Vec<[u8; 16]> = COMMON.iter().map(md5_of).collect();
        for (name, record) in records {
            folded.entry(name.to_lowercase()).or_default().push(name.clone());
            match record {
                Ok(record) => {
                    self.look_at(name, record, &mut homes);
                    if let Ok(StoredPassword::Md5(md5)) = record.password() {
                        same.entry(md5).or_default().push(name.clone());
                        if common.contains(&md5) {
                            self.report.common_password.push(name.clone());
                        }
                    }
                }
                Err(problem) => self.report.accounts.push(AccountLine {
                    name: name.clone(),
                    state: HashState::Unusable,
                    last_login: None,
                    disabled: false,
                    problems: vec![problem.clone()],
                }),
            }
        }
        let report = &mut self.report;
        report.same_password = groups(same.into_values());
        report.case_collisions = groups(folded.into_values());
        for (outer, inner) in overlaps(homes.iter().map(|(_, home)| home)) {
            if let (Some((outer, _)), Some((inner, _))) = (homes.get(outer), homes.get(inner)) {
                report.shared_homes.push((outer.clone(), inner.clone()));
            }
        }
    }

    fn look_at(&mut self, name: &str, record: &Record, homes: &mut Vec<(String, HomeDirectory)>) {
        let mut problems = Vec::new();
        let password = record.password();
        if password == Err(RecordProblem::Password(PasswordProblem::Empty)) {
            self.report.empty_password.push(name.to_owned());
        }
        if let Ok(StoredPassword::Md5(md5)) = &password
            && [name, &name.to_lowercase()].iter().any(|text| is_of(text, md5))
        {
            self.report.name_as_password.push(name.to_owned());
        }
        problems.extend(password.as_ref().err().map(ToString::to_string));
        if let Err(problem) = record.quota() {
            self.report.quota_oddities.push((name.to_owned(), problem.to_string()));
            problems.push(problem.to_string());
        }
        let disabled = record.is_disabled();
        problems.extend(disabled.as_ref().err().map(ToString::to_string));
        match record.home_path().map(|home| self.manager.homes.resolve(home)) {
            Ok(Ok(home)) => homes.push((name.to_owned(), home)),
            Ok(Err(problem)) => problems.push(problem.to_string()),
            Err(problem) => problems.push(problem.to_string()),
        }
        let state = HashState::of(password.as_ref(), self.manager.hasher.cost());
        self.report.accounts.push(AccountLine {
            name: name.to_owned(),
            state,
            last_login: record.last_login().map(str::to_owned),
            disabled: disabled.unwrap_or(true),
            problems,
        });
    }
}

/// True if `md5` is that of `text` in an encoding that old programs used.
fn is_of(text: &str, md5: &[u8; 16]) -> bool {
    let encodings = [PasswordEncoding::Utf8, PasswordEncoding::Gbk];
    forms(&encodings, text).iter().any(|form| md5_of(form) == *md5)
}

/// Those with two names or more, each sorted, in the order of their first names.
fn groups(all: impl Iterator<Item = Vec<String>>) -> Vec<Vec<String>> {
    let mut groups: Vec<Vec<String>> = all.filter(|names| names.len() > 1).collect();
    for names in &mut groups {
        names.sort_unstable();
    }
    groups.sort_unstable();
    groups
}
