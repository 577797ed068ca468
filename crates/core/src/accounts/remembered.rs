//! What guessing has cost so far, kept in a small file: a restart must not give guessers a fresh
//! start.
//!
//! The file holds no secrets but the names that were tried. Its times are relative to the moment it
//! was written, so that it outlives a reboot. It is read once and written in the background;
//! whatever is wrong with it, the server goes on with what it has in memory.

use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::bounded::Bounded;
use super::guessing::{
    Account, Bucket, KNOWN_FOR, LONGEST_DELAY, LONGEST_PENALTY, MEMORY, MOST_ENTRIES, MOST_PLACES,
    Tables,
};
use super::keys::MAX_KEYS;
use super::login::Authenticator;
use sealane_base::fsio::{self, FsError};
use sealane_base::types::{Pin, Username};

/// Longest file that is read, and written: the accounts that were guessed at least are left out
/// first.
const MAX_FILE: u64 = 16 << 20;
const FORMAT: u32 = 1;
const MODE: u32 = 0o600;

/// Why a server knows nothing of the failures before its start. It serves all the same.
#[derive(Debug, Error)]
pub enum NotRemembered {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FsError),
    /// It is not what an earlier server wrote.
    #[error("'{file}' is damaged: {problem}")]
    Damaged {
        /// Its path.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    format: u32,
    /// When, in seconds since 1970. Ages and waits below are in seconds before and after this.
    at: u64,
    accounts: Vec<SavedAccount>,
    invented: Vec<(String, Count)>,
    sources: Vec<(IpAddr, u64)>,
    key_sources: Vec<(IpAddr, u64)>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct SavedAccount {
    name: String,
    strangers: Count,
    places: Vec<(IpAddr, Count)>,
    keys: Vec<(String, u64)>,
}

/// Failures, the age of the last one, and how long to wait.
type Count = (u32, u64, u64);

impl Authenticator {
    /// Takes up what an earlier server kept in `file`, which need not be there, and keeps it there
    /// from now on whenever [`Authenticator::keep`] is called.
    ///
    /// # Errors
    /// [`NotRemembered`]: nothing was taken up. The file is replaced by the next one all the same.
    pub fn keep_in(&self, file: &Path) -> Result<(), NotRemembered> {
        let _ = self.kept.set(file.to_owned());
        let bytes = match fsio::read_bounded_no_follow(file, MAX_FILE) {
            Err(error) if error.is_not_found() => return Ok(()),
            read => read?,
        };
        let damaged =
            |problem| NotRemembered::Damaged { file: file.display().to_string(), problem };
        let tables = restore(&bytes, Instant::now(), SystemTime::now()).map_err(damaged)?;
        *self.guard.tables() = tables;
        Ok(())
    }

    /// Writes what is to be remembered, if any of it is new. Blocks, but holds up no login.
    ///
    /// # Errors
    /// [`FsError`]; it is tried again the next time.
    pub fn keep(&self) -> Result<(), FsError> {
        let Some(file) = self.kept.get() else { return Ok(()) };
        let tables = {
            let mut tables = self.guard.tables();
            if !std::mem::take(&mut tables.is_changed) {
                return Ok(());
            }
            tables.clone()
        };
        let bytes = save(&tables, Instant::now(), SystemTime::now());
        let written = fsio::write_atomic(file, &bytes, MODE);
        if written.is_err() {
            self.guard.tables().is_changed = true;
        }
        written
    }
}

pub(super) fn save(tables: &Tables, now: Instant, at: SystemTime) -> Vec<u8> {
    let left = |until: &Instant| until.saturating_duration_since(now).as_secs_f64().ceil() as u64;
    let count = |bucket: &Bucket| {
        (bucket.counted(now), age(bucket.last, now).as_secs(), left(&bucket.next))
    };
    let penalties = |table: &Bounded<IpAddr, Instant>| -> Vec<_> {
        let all = table.iter().map(|(block, until)| (*block, left(until)));
        all.filter(|(_, left)| *left > 0).collect()
    };
    let mut accounts: Vec<_> = tables.accounts.iter().collect();
    // Who is guessed at most comes first, for what does not fit is cut off at the end.
    accounts.sort_by_key(|(name, one)| (std::cmp::Reverse(one.strangers.counted(now)), *name));
    let accounts = accounts.into_iter().map(|(name, account)| SavedAccount {
        name: name.clone(),
        strangers: count(&account.strangers),
        places: account.places.iter().map(|(block, place)| (*block, count(place))).collect(),
        keys: account
            .good_keys
            .iter()
            .map(|(key, last)| (key.to_string(), age(*last, now).as_secs()))
            .collect(),
    });
    let invented = tables.invented.iter().filter(|(_, bucket)| bucket.counted(now) > 0);
    let mut saved = Saved {
        format: FORMAT,
        at: at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
        accounts: accounts.collect(),
        invented: invented.map(|(name, bucket)| (name.clone(), count(bucket))).collect(),
        sources: penalties(&tables.sources),
        key_sources: penalties(&tables.key_sources),
    };
    loop {
        let bytes = serde_json::to_vec(&saved).unwrap_or_default();
        if bytes.len() as u64 <= MAX_FILE || saved.accounts.is_empty() {
            return bytes;
        }
        saved.accounts.truncate(saved.accounts.len() * 3 / 4);
    }
}

pub(super) fn restore(bytes: &[u8], now: Instant, at: SystemTime) -> Result<Tables, String> {
    let saved: Saved = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if saved.format != FORMAT {
        return Err(format!("it is of format {}", saved.format));
    }
    let then = UNIX_EPOCH.checked_add(Duration::from_secs(saved.at)).unwrap_or(at);
    // A clock that was set back counts as no time at all.
    let back = Back { now, passed: at.duration_since(then).unwrap_or_default() };
    let mut tables = Tables::default();
    for account in saved.accounts {
        let name = Username::parse(&account.name).map_err(|error| error.to_string())?;
        tables.accounts.insert(name.to_string(), back.account(account)?);
    }
    for (name, count) in saved.invented.into_iter().take(MOST_ENTRIES) {
        // The empty one stands for all that cannot be names.
        if !name.is_empty() {
            Username::parse(&name).map_err(|error| error.to_string())?;
        }
        back.enter(&mut tables.invented, name, back.bucket(count));
    }
    for (saved, table) in
        [(saved.sources, &mut tables.sources), (saved.key_sources, &mut tables.key_sources)]
    {
        for (block, left) in saved.into_iter().take(MOST_ENTRIES) {
            back.enter(table, block, back.until(left, LONGEST_PENALTY));
        }
    }
    Ok(tables)
}

/// From times in the file to those of this process.
struct Back {
    now: Instant,
    passed: Duration,
}

impl Back {
    fn account(&self, saved: SavedAccount) -> Result<Account, String> {
        let mut account = Account::new(self.now);
        account.strangers = self.bucket(saved.strangers);
        for (block, count) in saved.places.into_iter().take(MOST_PLACES) {
            self.enter(&mut account.places, block, self.place(count));
        }
        for (key, seconds) in saved.keys.into_iter().take(MAX_KEYS) {
            let key = Pin::parse(&key).map_err(|error| error.to_string())?;
            self.enter(&mut account.good_keys, key, self.since(seconds, KNOWN_FOR));
        }
        Ok(account)
    }

    fn bucket(&self, (failures, seconds, wait): Count) -> Bucket {
        let (next, last) = (self.until(wait, LONGEST_DELAY), self.since(seconds, MEMORY));
        Bucket { failures, next, last }
    }

    fn place(&self, (failures, seconds, wait): Count) -> Bucket {
        let last = self.since(seconds, KNOWN_FOR);
        Bucket { failures, next: self.until(wait, LONGEST_DELAY), last }
    }

    fn until(&self, seconds: u64, most: Duration) -> Instant {
        self.now + Duration::from_secs(seconds).saturating_sub(self.passed).min(most)
    }

    /// At most one second longer ago than what is forgotten at `most`.
    fn since(&self, seconds: u64, most: Duration) -> Instant {
        let age = Duration::from_secs(seconds).saturating_add(self.passed);
        let forgotten = most + Duration::from_secs(1);
        self.now.checked_sub(age.min(forgotten)).unwrap_or(self.now)
    }

    fn enter<K: Clone + Eq + std::hash::Hash, V: Copy>(
        &self,
        table: &mut Bounded<K, V>,
        key: K,
        value: V,
    ) {
        table.entry(key, value, |_| 0, |_| value);
    }
}

fn age(last: Instant, now: Instant) -> Duration {
    now.saturating_duration_since(last)
}
