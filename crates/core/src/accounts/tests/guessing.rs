//! The guard attacked: many sources, many names, one account that is meant.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::super::guessing::{Attempt, FREE_FAILURES, Guard, MOST_ENTRIES, MOST_PLACES};
use sealane_base::types::{Pin, Username};

fn attempt(name: &str, source: &str) -> Attempt {
    Attempt::new(name, source.parse().unwrap())
}

/// A guess at an account that exists; true if it was evaluated.
fn guess(guard: &Guard, attempt: &Attempt, now: Instant) -> bool {
    let goes_on = guard.admit(attempt, now).is_ok();
    if goes_on {
        guard.failed(attempt, true, now);
    }
    goes_on
}

/// A guess at a name that is no account.
fn invent(guard: &Guard, attempt: &Attempt, now: Instant) -> bool {
    let goes_on = guard.admit(attempt, now).is_ok();
    if goes_on {
        guard.failed(attempt, false, now);
    }
    goes_on
}

/// The n-th of as many sources as one likes, each in a block of its own.
fn source(number: usize) -> IpAddr {
    IpAddr::from((0x0a00_0000 + u32::try_from(number).unwrap()).to_be_bytes())
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
        evaluated += u32::from(invent(&guard, &guessed, start));
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
        guard.failed(&here, true, start);
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
fn a_known_place_has_its_own_count() {
    let (guard, start) = (Guard::default(), Instant::now());
    let owner = attempt("a", "192.0.2.1");
    guard.succeeded(&owner, start);
    let evaluated = (0..100).filter(|_| guess(&guard, &owner, start)).count();
    assert_eq!(evaluated, FREE_FAILURES as usize);
    let other = attempt("b", "192.0.2.1");
    assert_eq!(guard.wait(&other, start), None, "no penalty for others there");
}

/// Guesses at one account in a minute, each from a source of its own, of which as many are
/// evaluated.
fn guessed_in_a_minute(guard: &Guard, name: &str, from: usize, start: Instant) -> usize {
    let guesses = (0..6000).filter(|number| {
        let now = start + Duration::from_millis(10) * u32::try_from(*number).unwrap();
        guess(guard, &Attempt::new(name, source(from + number)), now)
    });
    guesses.count()
}

#[test]
fn invented_names_from_many_sources_switch_off_no_delay() {
    let (guard, start) = (Guard::default(), Instant::now());
    let owner = attempt("known", "192.0.2.1");
    guard.succeeded(&owner, start);
    for number in 0..FREE_FAILURES + 3 {
        let at = start + Duration::from_secs(1000) * number;
        assert!(guess(&guard, &Attempt::new("early", source(900_000)), at));
    }
    // Names and sources by turns, so that both tables are full, long before the last one is
    // forgotten.
    let mut now = start + Duration::from_secs(8000);
    assert!(guess(&guard, &Attempt::new("early", source(900_001)), now));
    for number in 0..MOST_ENTRIES + 200 {
        now += Duration::from_millis(10);
        assert!(invent(&guard, &Attempt::new(&format!("n{number}"), source(number)), now));
    }
    assert_eq!(guard.tables().invented.len(), MOST_ENTRIES);
    // Neither one that was guessed at before nor one that is guessed at for the first time.
    for (victim, from) in [("early", 100_000), ("late", 200_000)] {
        let evaluated = guessed_in_a_minute(&guard, victim, from, now);
        assert!(evaluated <= FREE_FAILURES as usize + 7, "{victim}: {evaluated}");
    }
    assert_eq!(guard.wait(&owner, now), None, "and the owner waits for none of it");
    // A name that is none is delayed in a full table as well.
    let wait = (0..40).filter(|n| invent(&guard, &Attempt::new("x", source(300_000 + n)), now));
    assert!(wait.count() <= FREE_FAILURES as usize);
    let tables = guard.tables();
    assert!(tables.sources.len() <= MOST_ENTRIES && tables.invented.len() <= MOST_ENTRIES);
}

#[test]
fn many_sources_give_no_source_more_than_its_own() {
    let (guard, start) = (Guard::default(), Instant::now());
    let key = Pin::of_public_key(b"new");
    // Each of them is penalised for longer than the attack lasts.
    for number in 0..MOST_ENTRIES + 9 {
        for _ in 0..3 {
            let attempt = Attempt::new("x", source(number));
            guard.failed(&attempt, false, start);
            guard.key_refused(&attempt, key, start);
        }
    }
    // One that comes late is counted in a full table, by passwords and by keys.
    let late = |n: usize| Attempt::new(&format!("late{n}"), source(500_000));
    assert!((0..100).filter(|n| invent(&guard, &late(*n), start)).count() <= 4);
    let refused = (0..100).filter(|n| {
        let goes_on = guard.wait_with_key(&late(*n), key, start).is_none();
        if goes_on {
            guard.key_refused(&late(*n), key, start);
        }
        goes_on
    });
    assert!(refused.count() <= 4);
    let tables = guard.tables();
    assert!(tables.sources.len() <= MOST_ENTRIES && tables.key_sources.len() <= MOST_ENTRIES);
}

#[test]
fn an_account_that_logs_in_from_everywhere_makes_no_other_unknown() {
    let (guard, start) = (Guard::default(), Instant::now());
    let (owner, key) = (attempt("ann", "192.0.2.1"), Pin::of_public_key(b"ann's"));
    guard.succeeded(&owner, start);
    guard.key_succeeded(&owner, key, start);
    for number in 0..2 * MOST_ENTRIES {
        let now = start + Duration::from_millis(1) * u32::try_from(number).unwrap();
        let eve = Attempt::new("eve", source(number));
        guard.succeeded(&eve, now);
        guard.key_succeeded(&eve, Pin::of_public_key(&number.to_be_bytes()), now);
    }
    for number in 0..100 {
        guard.failed(&Attempt::new("ann", source(number)), true, start);
        guard.key_refused(&attempt("bob", "192.0.2.1"), Pin::of_public_key(b"bob's"), start);
    }
    assert!(guard.is_known(&owner, start) && guard.wait(&owner, start).is_none());
    assert_eq!(guard.wait_with_key(&owner, key, start), None);
    let tables = guard.tables();
    let eve = tables.accounts.get("eve").unwrap();
    assert_eq!(eve.places.len(), MOST_PLACES);
    assert_eq!(eve.good_keys.len(), crate::accounts::MAX_KEYS);
}

#[test]
fn what_counts_no_more_is_forgotten() {
    let (guard, start) = (Guard::default(), Instant::now());
    for number in 0..1100 {
        guard.failed(&Attempt::new(&format!("a{number}"), source(number)), true, start);
    }
    let later = start + Duration::from_secs(2 * 3600);
    for number in 0..1100 {
        guard.failed(&Attempt::new(&format!("b{number}"), source(number)), true, later);
    }
    assert!(guard.tables().accounts.len() <= 1200, "{}", guard.tables().accounts.len());
}
