//! Who must wait before guessing on: sources that fail, and accounts that are guessed at.
//!
//! A stranger cannot lock an owner out: delays of an account hold for places it has not logged in
//! from. A place is an address block (/32 or /64); one from which the account has logged in has a
//! count of its own. Existing and unknown names are treated alike. It decides only; it neither
//! waits nor evaluates.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sealane_base::types::network::source_block;
use sealane_base::types::{Pin, Username};

/// A source is held back while its penalty is longer than this: the first failures are free.
const TOLERATED: Duration = Duration::from_secs(15);
/// What each failure adds to the penalty of its source.
const PENALTY: Duration = Duration::from_secs(5);
const LONGEST_PENALTY: Duration = Duration::from_secs(600);
/// Failures of an account before its delays begin.
const FREE_FAILURES: u32 = 5;
const LONGEST_DELAY: Duration = Duration::from_secs(300);
/// Failures are forgotten after this long without another.
const MEMORY: Duration = Duration::from_secs(3600);
/// Places known for an account are forgotten after this long without a login.
const KNOWN_FOR: Duration = Duration::from_secs(90 * 24 * 3600);
/// Entries of each table; when full of what still counts, newcomers are let through.
const MOST_ENTRIES: usize = 16_384;

/// Counts failures and says who must wait.
#[derive(Debug, Default)]
pub(super) struct Guard {
    tables: Mutex<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    /// When the penalty of a source has run off.
    sources: HashMap<IpAddr, Instant>,
    strangers: HashMap<String, Bucket>,
    known: HashMap<(String, IpAddr), Bucket>,
    /// When the penalty of a source for keys that were refused has run off.
    key_sources: HashMap<IpAddr, Instant>,
    /// Keys that have logged in, and when last: nobody's failures delay them.
    good_keys: HashMap<(String, Pin), Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    failures: u32,
    next: Instant,
    last: Instant,
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

    fn known_key(&self) -> (String, IpAddr) {
        (self.name.clone(), self.block)
    }
}

impl Guard {
    /// True if the account has logged in from there.
    pub(super) fn is_known(&self, attempt: &Attempt) -> bool {
        self.tables().known.contains_key(&attempt.known_key())
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
        if let Some(bucket) = tables.bucket(attempt)
            && bucket.failures >= FREE_FAILURES
        {
            bucket.next = now + delay(bucket.failures + 1);
        }
        Ok(())
    }

    pub(super) fn failed(&self, attempt: &Attempt, now: Instant) {
        let mut tables = self.tables();
        tables.make_room(now);
        if !tables.known.contains_key(&attempt.known_key()) {
            let until = tables.sources.get(&attempt.block).map_or(now, |until| (*until).max(now));
            let until = (until + PENALTY).min(now + LONGEST_PENALTY);
            insert(&mut tables.sources, attempt.block, until);
            if !tables.strangers.contains_key(&attempt.name) {
                let fresh = Bucket { failures: 0, next: now, last: now };
                insert(&mut tables.strangers, attempt.name.clone(), fresh);
            }
        }
        if let Some(bucket) = tables.bucket(attempt) {
            if now.saturating_duration_since(bucket.last) > MEMORY {
                bucket.failures = 0;
            }
            bucket.failures = bucket.failures.saturating_add(1);
            bucket.next = now + delay(bucket.failures);
            bucket.last = now;
        }
    }

    pub(super) fn succeeded(&self, attempt: &Attempt, now: Instant) {
        let mut tables = self.tables();
        tables.make_room(now);
        let bucket = Bucket { failures: 0, next: now, last: now };
        insert(&mut tables.known, attempt.known_key(), bucket);
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
        if tables.good_keys.contains_key(&(attempt.name.clone(), key)) {
            return None;
        }
        let left = tables.key_sources.get(&attempt.block)?.saturating_duration_since(now);
        left.checked_sub(TOLERATED).filter(|left| !left.is_zero())
    }

    pub(super) fn key_refused(&self, attempt: &Attempt, key: Pin, now: Instant) {
        let mut tables = self.tables();
        // It was good once: from now on it waits as any other.
        tables.good_keys.remove(&(attempt.name.clone(), key));
        if tables.key_sources.len() >= MOST_ENTRIES {
            tables.key_sources.retain(|_, until| *until > now);
        }
        let until = tables.key_sources.get(&attempt.block).map_or(now, |until| (*until).max(now));
        let until = (until + PENALTY).min(now + LONGEST_PENALTY);
        insert(&mut tables.key_sources, attempt.block, until);
    }

    pub(super) fn key_succeeded(&self, attempt: &Attempt, key: Pin, now: Instant) {
        let mut tables = self.tables();
        if tables.good_keys.len() >= MOST_ENTRIES {
            tables.good_keys.retain(|_, last| now.saturating_duration_since(*last) < KNOWN_FOR);
        }
        insert(&mut tables.good_keys, (attempt.name.clone(), key), now);
    }

    /// Forgets what is held against an account and, if one is given, against a source.
    pub(super) fn unblock(&self, name: &Username, source: Option<IpAddr>) {
        let mut tables = self.tables();
        tables.strangers.remove(name.as_str());
        for (_, bucket) in tables.known.iter_mut().filter(|((known, _), _)| known == name.as_str())
        {
            bucket.failures = 0;
        }
        if let Some(source) = source {
            tables.sources.remove(&source_block(source));
            tables.key_sources.remove(&source_block(source));
        }
    }

    /// Everybody who must wait now.
    pub(super) fn blocks(&self, now: Instant) -> Blocks {
        let tables = self.tables();
        let left = |until: Instant| until.saturating_duration_since(now);
        let held_back = |table: &HashMap<IpAddr, Instant>| {
            let all = table.iter().map(|(block, until)| (*block, left(*until)));
            let held = all.map(|(block, left)| (block, left.saturating_sub(TOLERATED)));
            let mut held: Vec<_> = held.filter(|(_, wait)| !wait.is_zero()).collect();
            held.sort();
            held
        };
        let mut accounts: Vec<_> = tables
            .strangers
            .iter()
            .filter_map(|(name, bucket)| Some((name.clone(), bucket.wait(now)?)))
            .collect();
        accounts.sort();
        let (sources, keys) = (held_back(&tables.sources), held_back(&tables.key_sources));
        Blocks { sources, accounts, keys }
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    fn wait(&self, attempt: &Attempt, now: Instant) -> Option<Duration> {
        if let Some(bucket) = self.known.get(&attempt.known_key()) {
            return bucket.wait(now);
        }
        let penalty =
            self.sources.get(&attempt.block).map(|until| until.saturating_duration_since(now));
        let account = self.strangers.get(&attempt.name).and_then(|bucket| bucket.wait(now));
        penalty.filter(|left| *left > TOLERATED).map(|left| left - TOLERATED).max(account)
    }

    fn bucket(&mut self, attempt: &Attempt) -> Option<&mut Bucket> {
        match self.known.get_mut(&attempt.known_key()) {
            Some(bucket) => Some(bucket),
            None => self.strangers.get_mut(&attempt.name),
        }
    }

    fn make_room(&mut self, now: Instant) {
        let age = |bucket: &Bucket| now.saturating_duration_since(bucket.last);
        if self.sources.len() >= MOST_ENTRIES {
            self.sources.retain(|_, until| *until > now);
        }
        if self.strangers.len() >= MOST_ENTRIES {
            self.strangers.retain(|_, bucket| age(bucket) < MEMORY);
        }
        if self.known.len() >= MOST_ENTRIES {
            self.known.retain(|_, bucket| age(bucket) < KNOWN_FOR);
        }
    }
}

impl Bucket {
    fn wait(&self, now: Instant) -> Option<Duration> {
        let is_fresh = now.saturating_duration_since(self.last) <= MEMORY;
        let left = self.next.saturating_duration_since(now);
        (is_fresh && self.failures >= FREE_FAILURES && !left.is_zero()).then_some(left)
    }
}

/// 1 second after the last free failure, then twice as long each time.
fn delay(failures: u32) -> Duration {
    let steps = failures.saturating_sub(FREE_FAILURES).min(16);
    Duration::from_secs(1 << steps).min(LONGEST_DELAY)
}

fn insert<K: Eq + Hash, V>(table: &mut HashMap<K, V>, key: K, value: V) {
    if table.len() < MOST_ENTRIES || table.contains_key(&key) {
        table.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(name: &str, source: &str) -> Attempt {
        Attempt::new(name, source.parse().unwrap())
    }

    fn guess(guard: &Guard, attempt: &Attempt, now: Instant) -> bool {
        let goes_on = guard.admit(attempt, now).is_ok();
        if goes_on {
            guard.failed(attempt, now);
        }
        goes_on
    }

    #[test]
    fn a_stranger_is_slowed_down_and_the_owner_is_not() {
        let (guard, start) = (Guard::default(), Instant::now());
        let owner = attempt("victim", "192.0.2.1");
        guard.succeeded(&owner, start);
        // 200 guesses a second from 50 addresses for a minute.
        let mut evaluated = 0;
        for tick in 0..12_000_u32 {
            let now = start + Duration::from_millis(5) * tick;
            let source = format!("198.51.100.{}", tick % 50);
            evaluated += u32::from(guess(&guard, &attempt("victim", &source), now));
            assert_eq!(guard.wait(&owner, now), None);
        }
        assert!((FREE_FAILURES..=FREE_FAILURES + 7).contains(&evaluated), "{evaluated}");
        let later = start + Duration::from_secs(60);
        assert_eq!(guard.blocks(later).accounts.len(), 1);
        guard.unblock(&Username::parse("victim").unwrap(), None);
        assert_eq!(guard.wait(&attempt("victim", "203.0.113.9"), later), None);
    }

    #[test]
    fn a_source_is_slowed_down_over_all_names_and_forgiven() {
        let (guard, start) = (Guard::default(), Instant::now());
        let mut evaluated = 0;
        for number in 0..1000 {
            let guessed = attempt(&format!("user{number}"), "2001:db8::1");
            evaluated += u32::from(guess(&guard, &guessed, start));
        }
        assert_eq!(evaluated, 4);
        // Its whole /64 is one customer; the next one is another.
        assert!(guard.wait(&attempt("x", "2001:db8::ffff:2"), start).is_some());
        assert_eq!(guard.wait(&attempt("x", "2001:db8:0:1::1"), start), None);
        assert_eq!(guard.blocks(start).sources.len(), 1);
        let later = start + Duration::from_secs(6);
        assert_eq!(guard.wait(&attempt("x", "2001:db8::1"), later), None);
    }

    #[test]
    fn a_key_waits_for_refused_keys_from_there_only_and_not_once_it_was_good() {
        let (guard, start) = (Guard::default(), Instant::now());
        let (good, new) = (Pin::of_public_key(b"good"), Pin::of_public_key(b"new"));
        let here = attempt("ann", "192.0.2.1");
        guard.key_succeeded(&here, good, start);
        for _ in 0..100 {
            guard.failed(&here, start);
        }
        assert!(guard.wait(&here, start).is_some());
        assert_eq!(guard.wait_with_key(&here, new, start), None, "passwords do not count");
        for _ in 0..3 {
            guard.key_refused(&attempt("bob", "192.0.2.1"), new, start);
            assert_eq!(guard.wait_with_key(&here, new, start), None);
        }
        guard.key_refused(&attempt("bob", "192.0.2.1"), new, start);
        assert_eq!(guard.wait_with_key(&here, new, start), Some(Duration::from_secs(5)));
        assert_eq!(guard.wait_with_key(&here, good, start), None);
        guard.key_refused(&here, good, start);
        assert!(guard.wait_with_key(&here, good, start).is_some(), "revoked since");
        assert!(guard.wait_with_key(&attempt("bob", "192.0.2.1"), good, start).is_some());
        assert_eq!(guard.wait_with_key(&attempt("ann", "192.0.2.2"), new, start), None);
        assert_eq!(guard.blocks(start).keys.len(), 1);
        guard.unblock(&Username::parse("ann").unwrap(), Some("192.0.2.1".parse().unwrap()));
        assert_eq!(guard.wait_with_key(&here, new, start), None);
        for number in 0..MOST_ENTRIES + 9 {
            let source = IpAddr::from(u32::try_from(number).unwrap().to_be_bytes());
            let attempt = Attempt::new(&format!("n{number}"), source);
            guard.key_refused(&attempt, good, start);
            guard.key_succeeded(&attempt, new, start);
        }
        let tables = guard.tables();
        assert!(tables.key_sources.len() <= MOST_ENTRIES && tables.good_keys.len() <= MOST_ENTRIES);
    }

    #[test]
    fn guesses_at_the_same_instant_go_on_one_at_a_time_once_there_are_delays() {
        let (guard, start) = (Guard::default(), Instant::now());
        for number in 0..FREE_FAILURES {
            assert!(guess(&guard, &attempt("victim", &format!("192.0.2.{number}")), start));
        }
        let later = start + Duration::from_secs(2);
        let admitted = (100..150).filter(|number| {
            guard.admit(&attempt("victim", &format!("192.0.2.{number}")), later).is_ok()
        });
        assert_eq!(admitted.count(), 1);
    }

    #[test]
    fn a_known_place_has_its_own_count_and_tables_are_bounded() {
        let (guard, start) = (Guard::default(), Instant::now());
        let owner = attempt("a", "192.0.2.1");
        guard.succeeded(&owner, start);
        let evaluated = (0..100).filter(|_| guess(&guard, &owner, start)).count();
        assert_eq!(evaluated, FREE_FAILURES as usize);
        assert_eq!(
            guard.wait(&attempt("b", "192.0.2.1"), start),
            None,
            "no penalty for others there"
        );
        for number in 0..2 * MOST_ENTRIES {
            let source = IpAddr::from(u32::try_from(number).unwrap().to_be_bytes());
            guard.failed(&Attempt::new(&format!("n{number}"), source), start);
        }
        let tables = guard.tables();
        assert!(tables.sources.len() <= MOST_ENTRIES && tables.strangers.len() <= MOST_ENTRIES);
    }
}
