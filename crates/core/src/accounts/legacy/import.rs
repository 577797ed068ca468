//! Bringing a legacy folder in: first a plan, record by record, then the records that are good.
//!
//! It never replaces an account that is there, so it can be run again at any time: after a crash,
//! or when what was refused has been repaired.

use std::collections::HashMap;
use std::path::Path;

use crate::accounts::home::HomeDirectory;
use crate::accounts::manage::{AccountManager, ManageError};
use crate::accounts::record::Record;
use crate::accounts::store::AccountError;
use sealane_base::types::Username;

use super::folder::{Encoding, LegacyFile, read_folder};
use super::homes::overlaps;

/// One file of a legacy folder and what is to become of it.
#[derive(Clone, Debug)]
pub struct ImportEntry {
    /// The file's name, safe to print.
    pub file: String,
    /// The account, if the file's name can be that of one.
    pub name: Option<Username>,
    /// What is to become of it.
    pub verdict: ImportVerdict,
    record: Option<Record>,
}

/// What is to become of a legacy record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportVerdict {
    /// It is good.
    Ready {
        /// How its text is written; it is stored as UTF-8.
        encoding: Encoding,
        /// Its home.
        home: HomeDirectory,
        /// Another account whose home is the same, inside this one or around it: allowed by the
        /// caller, but only one of them can be logged in at a time.
        shares_with: Option<String>,
    },
    /// There is an account of that name; it stays as it is.
    Present,
    /// It is not brought in; the text says why.
    Refused(String),
}

impl AccountManager {
    /// Looks at every record of a legacy folder. Nothing is changed. With `allow_shared`, homes
    /// that overlap are no reason to refuse.
    ///
    /// # Errors
    /// [`ManageError::Account`] if the folder or the store cannot be listed.
    pub fn plan_import(
        &self,
        folder: &Path,
        allow_shared: bool,
    ) -> Result<Vec<ImportEntry>, ManageError> {
        let listing = self.store.list()?;
        let mut entries: Vec<ImportEntry> = read_folder(folder)?
            .into_iter()
            .map(|file| self.look_at(file, |name| listing.names.binary_search(name).is_ok()))
            .collect();
        refuse_twins(&mut entries);
        let taken = listing.names.iter().filter_map(|name| {
            let record = self.store.load(name).ok()??;
            Some((name.to_string(), self.homes.resolve(record.home_path().ok()?).ok()?))
        });
        let taken: Vec<(String, HomeDirectory)> = taken.collect();
        settle_shared(&mut entries, &taken, allow_shared);
        Ok(entries)
    }

    /// Stores the record of an entry that is ready. Says whether it did: false if it is not ready,
    /// or an account of that name came first.
    ///
    /// # Errors
    /// [`ManageError::Account`] if it cannot be written; nothing is stored then.
    pub fn bring_in(&self, entry: &ImportEntry) -> Result<bool, ManageError> {
        let (ImportVerdict::Ready { .. }, Some(record)) = (&entry.verdict, &entry.record) else {
            return Ok(false);
        };
        match self.store.create(record) {
            Ok(()) => Ok(true),
            Err(AccountError::Exists(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn look_at(&self, file: LegacyFile, is_present: impl Fn(&Username) -> bool) -> ImportEntry {
        let LegacyFile { file, name, content } = file;
        let outcome = content.and_then(|(record, encoding)| {
            let home = self.check(&record)?;
            Ok((record, ImportVerdict::Ready { encoding, home, shares_with: None }))
        });
        let (record, verdict) = match outcome {
            _ if name.as_ref().is_some_and(is_present) => (None, ImportVerdict::Present),
            Ok((record, verdict)) => (Some(record), verdict),
            Err(reason) => (None, ImportVerdict::Refused(reason)),
        };
        ImportEntry { file, name, verdict, record }
    }

    /// Everything a login will ask of the record.
    fn check(&self, record: &Record) -> Result<HomeDirectory, String> {
        let text = |problem: crate::accounts::RecordProblem| problem.to_string();
        record.password().map_err(text)?;
        record.quota().map_err(text)?;
        record.is_disabled().map_err(text)?;
        let home = record.home_path().map_err(text)?;
        self.homes.resolve(home).map_err(|problem| problem.to_string())
    }
}

/// Two files for one account (`a.db`, `a.DB`): which one counts is not for us to say.
fn refuse_twins(entries: &mut [ImportEntry]) {
    let mut count: HashMap<Username, usize> = HashMap::new();
    for name in entries.iter().filter_map(|entry| entry.name.clone()) {
        *count.entry(name).or_default() += 1;
    }
    for entry in entries {
        let is_twin = entry.name.as_ref().is_some_and(|name| count.get(name) > Some(&1));
        if is_twin && entry.verdict != ImportVerdict::Present {
            entry.verdict = ImportVerdict::Refused("there are two files for this account".into());
        }
    }
}

/// Marks entries whose homes overlap with one another or with those `taken`.
fn settle_shared(
    entries: &mut [ImportEntry],
    taken: &[(String, HomeDirectory)],
    allow_shared: bool,
) {
    let mut holders: Vec<(String, HomeDirectory, Option<usize>)> =
        taken.iter().map(|(name, home)| (name.clone(), home.clone(), None)).collect();
    for (at, entry) in entries.iter().enumerate() {
        if let (ImportVerdict::Ready { home, .. }, Some(name)) = (&entry.verdict, &entry.name) {
            holders.push((name.to_string(), home.clone(), Some(at)));
        }
    }
    for (outer, inner) in overlaps(holders.iter().map(|(_, home, _)| home)) {
        for (mine, other) in [(outer, inner), (inner, outer)] {
            let (Some((_, _, Some(at))), Some((name, ..))) =
                (holders.get(mine), holders.get(other))
            else {
                continue;
            };
            let Some(entry) = entries.get_mut(*at) else { continue };
            mark_shared(entry, name, allow_shared);
        }
    }
}

fn mark_shared(entry: &mut ImportEntry, other: &str, allow_shared: bool) {
    let ImportVerdict::Ready { home, shares_with, .. } = &mut entry.verdict else { return };
    if allow_shared {
        shares_with.get_or_insert_with(|| other.to_owned());
    } else {
        let reason =
            format!("its home '{home}' is the same as, inside or around that of '{other}'");
        entry.verdict = ImportVerdict::Refused(reason);
    }
}
