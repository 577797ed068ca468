//! Who must wait before guessing on: sources that fail, and accounts that are guessed at.
//!
//! A stranger cannot lock an owner out: delays of an account hold for places it has not logged in
//! from. A place is an address block (/32 or /64); one from which the account has logged in has a
//! count of its own. Accounts that exist are counted exactly, each for itself; names that do not
//! exist and sources share tables of a fixed size, which count too much when they are full and
//! never too little ([`Bounded`]). Until then existing and invented names are treated alike. It
//! decides only; it neither waits nor evaluates, and what it knows is kept over a restart by
//! [`super::remembered`].

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::bounded::Bounded;
use super::keys::MAX_KEYS;
use sealane_base::types::network::source_block;
use sealane_base::types::{Pin, Username};

/// A source is held back while its penalty is longer than this: the first failures are free.
const TOLERATED: Duration = Duration::from_secs(15);
/// What each failure adds to the penalty of its source.
const PENALTY: Duration = Duration::from_secs(5);
pub(super) const LONGEST_PENALTY: Duration = Duration::from_secs(600);
/// Failures of an account before its delays begin.
pub(super) const FREE_FAILURES: u32 = 5;
pub(super) const LONGEST_DELAY: Duration = Duration::from_secs(300);
/// Failures are forgotten after this long without another.
pub(super) const MEMORY: Duration = Duration::from_secs(3600);
/// Places known for an account are forgotten after this long without a login.
pub(super) const KNOWN_FOR: Duration = Duration::from_secs(90 * 24 * 3600);
/// Entries of each table of what anybody can invent.
pub(super) const MOST_ENTRIES: usize = 16_384;
/// Places that are known for one account; the one not heard of for longest is forgotten first.
pub(super) const MOST_PLACES: usize = 16;
/// Accounts that are kept before those are looked for of which nothing counts any more.
const PRUNE_FROM: usize = 1024;

/// Counts failures and says who must wait.
#[derive(Debug, Default)]
pub(super) struct Guard {
    tables: Mutex<Tables>,
}

#[derive(Clone, Debug)]
pub(super) struct Tables {
    /// Accounts that exist, or did within the hour.
    pub(super) accounts: HashMap<String, Account>,
    /// Names that were no account when they were tried.
    pub(super) invented: Bounded<String, Bucket>,
    /// When the penalty of a source has run off.
    pub(super) sources: Bounded<IpAddr, Instant>,
    /// When the penalty of a source for keys that were refused has run off.
    pub(super) key_sources: Bounded<IpAddr, Instant>,
    prune_at: usize,
    /// True if something was counted since the state was last saved.
    pub(super) is_changed: bool,
}

/// What is counted for one account.
#[derive(Clone, Debug)]
pub(super) struct Account {
    /// Failures from places that are not known.
    pub(super) strangers: Bucket,
    /// Places that it has logged in from.
    pub(super) places: Bounded<IpAddr, Bucket>,
    /// Keys that have logged in, and when last: nobody's failures delay them.
    pub(super) good_keys: Bounded<Pin, Instant>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    pub(super) failures: u32,
    pub(super) next: Instant,
    pub(super) last: Instant,
}

/// An attempt, as far as guessing is concerned.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    name: String,
    block: IpAddr,
}

/// What a guard holds against somebody at the moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blocks {
    /// Sources (an IPv4 address, or the first of an IPv6 /64) and how long they must wait.
    pub sources: Vec<(IpAddr, Duration)>,
    /// Accounts, or names that are none, and how long places they are not known at must wait.
    pub accounts: Vec<(String, Duration)>,
    /// Sources that showed keys which were refused, and how long other new keys from there must
    /// wait.
    pub keys: Vec<(IpAddr, Duration)>,
}

impl Attempt {
    pub(super) fn new(typed: &str, source: IpAddr) -> Self {
        // What cannot be a name is counted as one name, and is bounded.
        let name = Username::parse(typed).map(|name| name.to_string()).unwrap_or_default();
        Self { name, block: source_block(source) }
    }
}

impl Guard {
    /// True if the account has logged in from there.
    pub(super) fn is_known(&self, attempt: &Attempt, now: Instant) -> bool {
        self.tables().place(attempt, now).is_some()
    }

    /// How long this attempt must wait; nothing if it may go on. Changes nothing.
    pub(super) fn wait(&self, attempt: &Attempt, now: Instant) -> Option<Duration> {
        self.tables().wait(attempt, now)
    }

    /// As [`Guard::wait`], for an attempt that is evaluated now: of many at once on an account that
    /// is being guessed at, one goes on.
    pub(super) fn admit(&self, attempt: &Attempt, now: Instant) -> Result<(), Duration> {
        let mut tables = self.tables();
        if let Some(wait) = tables.wait(attempt, now) {
            return Err(wait);
        }
        if let Some(bucket) = tables.bucket(attempt, now)
            && bucket.counted(now) >= FREE_FAILURES
        {
            bucket.next = now + delay(bucket.failures.saturating_add(1));
        }
        Ok(())
    }

    /// Counts a failure; `exists` if there is an account of that name.
    pub(super) fn failed(&self, attempt: &Attempt, exists: bool, now: Instant) {
        let mut tables = self.tables();
        tables.is_changed = true;
        if exists {
            tables.make_account(attempt, now);
        }
        if tables.place(attempt, now).is_none() {
            penalise(&mut tables.sources, attempt.block, now);
        }
        if tables.bucket(attempt, now).is_none() {
            tables.invent(attempt, now);
        }
        if let Some(bucket) = tables.bucket(attempt, now) {
            bucket.failures = bucket.counted(now).saturating_add(1);
            bucket.next = now + delay(bucket.failures);
            bucket.last = now;
        }
    }

    pub(super) fn succeeded(&self, attempt: &Attempt, now: Instant) {
        let mut tables = self.tables();
        tables.is_changed = true;
        let account = tables.make_account(attempt, now);
        let fresh = Bucket::new(now);
        *account.places.entry(attempt.block, fresh, |place| place.last, |_| fresh) = fresh;
    }

    /// How long this attempt with a key must wait. Passwords that failed do not count, whoever
    /// typed them; keys that were refused do, for their source, unless this very key has logged in
    /// before.
    pub(super) fn wait_with_key(
        &self,
        attempt: &Attempt,
        key: Pin,
        now: Instant,
    ) -> Option<Duration> {
        let tables = self.tables();
        let account = tables.accounts.get(&attempt.name);
        if account.is_some_and(|account| account.good_keys.get(&key).is_some()) {
            return None;
        }
        held_back(*tables.key_sources.get(&attempt.block)?, now)
    }

    pub(super) fn key_refused(&self, attempt: &Attempt, key: Pin, now: Instant) {
        let mut tables = self.tables();
        tables.is_changed = true;
        // It was good once: from now on it waits as any other.
        if let Some(account) = tables.accounts.get_mut(&attempt.name) {
            account.good_keys.remove(&key);
        }
        penalise(&mut tables.key_sources, attempt.block, now);
    }

    pub(super) fn key_succeeded(&self, attempt: &Attempt, key: Pin, now: Instant) {
        let mut tables = self.tables();
        tables.is_changed = true;
        let account = tables.make_account(attempt, now);
        *account.good_keys.entry(key, now, |last| *last, |_| now) = now;
    }

    /// Forgets what is held against an account and, if one is given, against a source.
    pub(super) fn unblock(&self, name: &Username, source: Option<IpAddr>) {
        let mut tables = self.tables();
        tables.is_changed = true;
        tables.invented.remove(&name.to_string());
        if let Some(account) = tables.accounts.get_mut(name.as_str()) {
            account.strangers.failures = 0;
            account.places.values_mut().for_each(|place| place.failures = 0);
        }
        if let Some(source) = source {
            tables.sources.remove(&source_block(source));
            tables.key_sources.remove(&source_block(source));
        }
    }

    /// Everybody who must wait now.
    pub(super) fn blocks(&self, now: Instant) -> Blocks {
        let tables = self.tables();
        let held = |table: &Bounded<IpAddr, Instant>| {
            let all = table.iter();
            let held = all.filter_map(|(block, until)| Some((*block, held_back(*until, now)?)));
            let mut held: Vec<_> = held.collect();
            held.sort();
            held
        };
        let existing = tables.accounts.iter().map(|(name, account)| (name, &account.strangers));
        let mut accounts: Vec<_> = existing
            .chain(tables.invented.iter())
            .filter_map(|(name, bucket)| Some((name.clone(), bucket.wait(now)?)))
            .collect();
        accounts.sort();
        let (sources, keys) = (held(&tables.sources), held(&tables.key_sources));
        Blocks { sources, accounts, keys }
    }

    pub(super) fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Tables {
    fn default() -> Self {
        Self {
            accounts: HashMap::new(),
            invented: Bounded::new(MOST_ENTRIES),
            sources: Bounded::new(MOST_ENTRIES),
            key_sources: Bounded::new(MOST_ENTRIES),
            prune_at: PRUNE_FROM,
            is_changed: false,
        }
    }
}

impl Tables {
    fn wait(&self, attempt: &Attempt, now: Instant) -> Option<Duration> {
        if let Some(place) = self.place(attempt, now) {
            return place.wait(now);
        }
        let source = self.sources.get(&attempt.block).and_then(|until| held_back(*until, now));
        let account = self.accounts.get(&attempt.name).map(|account| &account.strangers);
        let name = account.or_else(|| self.invented.get(&attempt.name));
        source.max(name.and_then(|bucket| bucket.wait(now)))
    }

    fn place(&self, attempt: &Attempt, now: Instant) -> Option<&Bucket> {
        let place = self.accounts.get(&attempt.name)?.places.get(&attempt.block)?;
        (now.saturating_duration_since(place.last) < KNOWN_FOR).then_some(place)
    }

    fn bucket(&mut self, attempt: &Attempt, now: Instant) -> Option<&mut Bucket> {
        let is_known = self.place(attempt, now).is_some();
        match self.accounts.get_mut(&attempt.name) {
            Some(account) if is_known => account.places.get_mut(&attempt.block),
            Some(account) => Some(&mut account.strangers),
            None => self.invented.get_mut(&attempt.name),
        }
    }

    fn invent(&mut self, attempt: &Attempt, now: Instant) {
        let rank = |bucket: &Bucket| (bucket.counted(now), bucket.last);
        let inherit = |old: Bucket| Bucket { failures: old.counted(now), ..Bucket::new(now) };
        self.invented.entry(attempt.name.clone(), Bucket::new(now), rank, inherit);
    }

    /// The entry of an account that exists. What was counted before it did goes on counting.
    fn make_account(&mut self, attempt: &Attempt, now: Instant) -> &mut Account {
        if self.accounts.len() >= self.prune_at {
            self.accounts.retain(|_, account| account.counts(now));
            self.prune_at = (self.accounts.len() * 2).max(PRUNE_FROM);
        }
        let before = self.invented.remove(&attempt.name);
        self.accounts.entry(attempt.name.clone()).or_insert_with(|| Account {
            strangers: before.unwrap_or(Bucket::new(now)),
            ..Account::new(now)
        })
    }
}

impl Account {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            strangers: Bucket::new(now),
            places: Bounded::new(MOST_PLACES),
            good_keys: Bounded::new(MAX_KEYS),
        }
    }

    /// Whether anything of it still matters; forgets places and keys that were not heard of for
    /// long.
    fn counts(&mut self, now: Instant) -> bool {
        let is_recent = |last: Instant| now.saturating_duration_since(last) < KNOWN_FOR;
        self.places.retain(|place| is_recent(place.last));
        self.good_keys.retain(|last| is_recent(*last));
        self.strangers.counted(now) > 0 || !self.places.is_empty() || !self.good_keys.is_empty()
    }
}

impl Bucket {
    pub(super) fn new(now: Instant) -> Self {
        Self { failures: 0, next: now, last: now }
    }

    /// Failures that are not forgotten yet.
    pub(super) fn counted(&self, now: Instant) -> u32 {
        let is_fresh = now.saturating_duration_since(self.last) <= MEMORY;
        if is_fresh { self.failures } else { 0 }
    }

    fn wait(&self, now: Instant) -> Option<Duration> {
        let left = self.next.saturating_duration_since(now);
        (self.counted(now) >= FREE_FAILURES && !left.is_zero()).then_some(left)
    }
}

/// 1 second after the last free failure, then twice as long each time.
fn delay(failures: u32) -> Duration {
    let steps = failures.saturating_sub(FREE_FAILURES).min(16);
    Duration::from_secs(1 << steps).min(LONGEST_DELAY)
}

fn penalise(table: &mut Bounded<IpAddr, Instant>, block: IpAddr, now: Instant) {
    let until = table.entry(block, now, |until| *until, |until| until.max(now));
    *until = ((*until).max(now) + PENALTY).min(now + LONGEST_PENALTY);
}

fn held_back(until: Instant, now: Instant) -> Option<Duration> {
    let left = until.saturating_duration_since(now);
    left.checked_sub(TOLERATED).filter(|left| !left.is_zero())
}
