//! Where records live: a small trait, and the directory of `NAME.db` files behind it.
//!
//! Every writer, in this process or another, holds one lock; readers need none, because a record
//! is replaced in one rename. Everything blocks.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use sealane_base::fsio::{self, FsError, LockGuard};
use sealane_base::types::Username;
use sealane_base::types::text::printable;

use super::record::{MAX_RECORD, Record, RecordProblem};

const LOCK: &str = ".lock";
const EXTENSION: &str = ".db";
const MODE: u32 = 0o600;

/// A failed operation on the store.
#[derive(Debug, Error)]
pub enum AccountError {
    /// There is a record of that name already.
    #[error("the account '{0}' exists already")]
    Exists(Username),
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] FsError),
    /// There is no record of that name.
    #[error("there is no account '{0}'")]
    NotFound(Username),
    /// The record cannot be used.
    #[error("cannot use '{place}': {problem}")]
    Record {
        /// Where the record is, such as the path of its file.
        place: String,
        /// What is wrong with it.
        problem: RecordProblem,
    },
}

/// What a store holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The accounts, sorted by name.
    pub names: Vec<Username>,
    /// File names that look like records but cannot be accounts (`A:B.db`, `X.DB`), escaped.
    pub strangers: Vec<String>,
}

/// Holds account records. Implementations keep every key they do not know.
pub trait AccountStore: fmt::Debug + Send + Sync {
    /// The record of `name`; `None` if there is none.
    ///
    /// # Errors
    /// [`AccountError::File`], [`AccountError::Record`]; other accounts are not affected.
    fn load(&self, name: &Username) -> Result<Option<Record>, AccountError>;

    /// Sets the stored password to `new` if it still is `expected`, and says whether it did. All
    /// other keys are those found at that moment, not at an earlier [`AccountStore::load`].
    ///
    /// # Errors
    /// [`AccountError::File`], [`AccountError::Record`].
    fn compare_and_swap_password(
        &self,
        name: &Username,
        expected: &str,
        new: &str,
    ) -> Result<bool, AccountError>;

    /// Applies `change` to the record while no other writer can, and stores the result if it is
    /// another one.
    ///
    /// # Errors
    /// [`AccountError::NotFound`], [`AccountError::File`], [`AccountError::Record`].
    fn update(
        &self,
        name: &Username,
        change: &mut dyn FnMut(&mut Record),
    ) -> Result<(), AccountError>;

    /// Stores a new record.
    ///
    /// # Errors
    /// [`AccountError::Exists`], [`AccountError::File`], [`AccountError::Record`] if it is too
    /// long.
    fn create(&self, record: &Record) -> Result<(), AccountError>;

    /// Stores what `change` makes of the record of `old` as that of `new`, and removes the first,
    /// while no other writer can change either. After a crash both may be there.
    ///
    /// # Errors
    /// [`AccountError::NotFound`], [`AccountError::Exists`], [`AccountError::File`],
    /// [`AccountError::Record`].
    fn rename(
        &self,
        old: &Username,
        new: &Username,
        change: &mut dyn FnMut(&Record) -> Record,
    ) -> Result<(), AccountError>;

    /// Removes a record, also one that cannot be used.
    ///
    /// # Errors
    /// [`AccountError::NotFound`], [`AccountError::File`].
    fn remove(&self, name: &Username) -> Result<(), AccountError>;

    /// Where the record of `name` is or would be, for people: the path of its file, say. Safe to
    /// print.
    fn place(&self, name: &Username) -> String;

    /// Which accounts there are; their records are not read.
    ///
    /// # Errors
    /// [`AccountError::File`].
    fn list(&self) -> Result<Listing, AccountError>;
}

/// A directory of `NAME.db` files, written with mode 0600.
#[derive(Debug)]
pub struct DirectoryStore {
    directory: PathBuf,
    lock_timeout: Duration,
}

impl DirectoryStore {
    /// Opens a directory, which must exist, and removes what crashed writers left in it.
    ///
    /// # Errors
    /// [`AccountError::File`].
    pub fn open(directory: &Path) -> Result<Self, AccountError> {
        let store = Self { directory: directory.to_owned(), lock_timeout: fsio::LOCK_TIMEOUT };
        let lock = store.lock()?;
        fsio::remove_temporaries(directory)?;
        drop(lock);
        Ok(store)
    }

    /// The same, waiting no longer than `lock_timeout` for other writers.
    #[must_use]
    pub fn with_lock_timeout(self, lock_timeout: Duration) -> Self {
        Self { lock_timeout, ..self }
    }

    fn lock(&self) -> Result<LockGuard, AccountError> {
        Ok(fsio::lock_within(&self.directory.join(LOCK), self.lock_timeout)?)
    }

    fn path(&self, name: &Username) -> PathBuf {
        self.directory.join(format!("{name}{EXTENSION}"))
    }

    fn write(&self, record: &Record) -> Result<(), AccountError> {
        Ok(fsio::write_atomic(&self.path(record.name()), &self.bytes_of(record)?, MODE)?)
    }

    /// What is written of a record; one that is longer could not be read back.
    fn bytes_of(&self, record: &Record) -> Result<Vec<u8>, AccountError> {
        let bytes = record.to_bytes();
        if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_RECORD) {
            let (place, problem) = (self.place(record.name()), RecordProblem::TooLong);
            return Err(AccountError::Record { place, problem });
        }
        Ok(bytes)
    }
}

impl AccountStore for DirectoryStore {
    fn load(&self, name: &Username) -> Result<Option<Record>, AccountError> {
        let path = self.path(name);
        let bytes = match fsio::read_bounded_no_follow(&path, MAX_RECORD) {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        match Record::parse(name, &bytes) {
            Ok(record) => Ok(Some(record)),
            Err(problem) => Err(AccountError::Record { place: self.place(name), problem }),
        }
    }

    fn compare_and_swap_password(
        &self,
        name: &Username,
        expected: &str,
        new: &str,
    ) -> Result<bool, AccountError> {
        let _lock = self.lock()?;
        // Read again under the lock: whoever held it before may have reset the password.
        let Some(mut record) = self.load(name)? else { return Ok(false) };
        if record.password_text() != Ok(expected) {
            return Ok(false);
        }
        record.set_password(new);
        self.write(&record)?;
        Ok(true)
    }

    fn update(
        &self,
        name: &Username,
        change: &mut dyn FnMut(&mut Record),
    ) -> Result<(), AccountError> {
        let _lock = self.lock()?;
        let mut record = self.load(name)?.ok_or_else(|| AccountError::NotFound(name.clone()))?;
        let before = record.clone();
        change(&mut record);
        if record == before {
            // The change may be one that failed half way, and is in place without being durable.
            Ok(fsio::sync_directory(&self.directory)?)
        } else {
            self.write(&record)
        }
    }

    fn create(&self, record: &Record) -> Result<(), AccountError> {
        let _lock = self.lock()?;
        match fsio::create_new(&self.path(record.name()), &self.bytes_of(record)?, MODE) {
            Err(error) if error.is_exists() => Err(AccountError::Exists(record.name().clone())),
            outcome => Ok(outcome?),
        }
    }

    fn rename(
        &self,
        old: &Username,
        new: &Username,
        change: &mut dyn FnMut(&Record) -> Record,
    ) -> Result<(), AccountError> {
        let _lock = self.lock()?;
        let record = self.load(old)?.ok_or_else(|| AccountError::NotFound(old.clone()))?;
        let bytes = self.bytes_of(&change(&record))?;
        match fsio::create_new(&self.path(new), &bytes, MODE) {
            Err(error) if error.is_exists() => return Err(AccountError::Exists(new.clone())),
            outcome => outcome?,
        }
        Ok(fsio::remove_durably(&self.path(old))?)
    }

    fn remove(&self, name: &Username) -> Result<(), AccountError> {
        let _lock = self.lock()?;
        match fsio::remove_durably(&self.path(name)) {
            Err(error) if error.is_not_found() => Err(AccountError::NotFound(name.clone())),
            outcome => Ok(outcome?),
        }
    }

    fn place(&self, name: &Username) -> String {
        printable(&self.path(name).to_string_lossy())
    }

    fn list(&self) -> Result<Listing, AccountError> {
        let mut listing = Listing::default();
        for file in fsio::list_names(&self.directory)? {
            match account_of(&file) {
                Some(name) => listing.names.push(name),
                None if looks_like_record(&file) => {
                    listing.strangers.push(printable(&file.to_string_lossy()));
                }
                None => {}
            }
        }
        listing.names.sort_unstable();
        Ok(listing)
    }
}

fn account_of(file: &OsStr) -> Option<Username> {
    let stem = file.to_str()?.strip_suffix(EXTENSION)?;
    // A file whose letters are written apart would never be found again under the account's name.
    Username::parse(stem).ok().filter(|name| name.as_str() == stem)
}

fn looks_like_record(file: &OsStr) -> bool {
    file.to_string_lossy().to_ascii_lowercase().ends_with(EXTENSION)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests lay out the files that are read")]
mod tests;
