//! Failures over a restart: what is kept, and that no state of the file stops anything.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant, UNIX_EPOCH};

use super::super::guessing::{Attempt, MOST_ENTRIES, MOST_PLACES, Tables};
use super::super::remembered::{restore, save};
use super::*;
use sealane_base::types::Pin;

fn logins(directory: &Path) -> Authenticator {
    let store = Arc::new(DirectoryStore::open(directory).unwrap());
    Authenticator::new(store, LoginSettings { cost: CHEAP, ..settings() }).unwrap()
}

async fn try_from(logins: &Authenticator, source: u8, account: &str, password: &str) -> LoginError {
    let source = [198, 51, 100, source].into();
    let tried = logins.login_from(source, account, secret(password), Exposure::Network).await;
    tried.unwrap_err()
}

#[tokio::test]
async fn a_restart_gives_guessers_no_fresh_start() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "victim", MD5_OF_111111, &rest_of("victim"));
    let file = dir.path().join("failures");
    let before = logins(dir.path());
    before.keep_in(&file).unwrap();
    let home = [192, 0, 2, 1].into();
    before.login_from(home, "victim", secret("111111"), Exposure::Loopback).await.unwrap();
    for source in 0..8 {
        try_from(&before, source, "victim", "wrong").await;
        try_from(&before, source, "nobody", "wrong").await;
    }
    before.keep().unwrap();
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let shown = before.blocks();
    assert_eq!(shown.accounts.len(), 2, "{shown:?}");

    let after = logins(dir.path());
    after.keep_in(&file).unwrap();
    for name in ["victim", "nobody"] {
        let refused = try_from(&after, 100, name, "wrong").await;
        assert!(matches!(refused, LoginError::TooManyFailures { .. }), "{name}: {refused}");
    }
    // Where the owner is known, it waits for nobody.
    after.login_from(home, "victim", secret("111111"), Exposure::Loopback).await.unwrap();
}

#[tokio::test]
async fn no_state_of_the_file_stops_a_login() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "ann", MD5_OF_111111, &rest_of("ann"));
    let file = dir.path().join("failures");
    let long = vec![b' '; (16 << 20) + 1];
    for damaged in [&b"{"[..], b"", b"{\"format\":9}", b"\xff", b"null", &long] {
        #[expect(clippy::disallowed_methods, reason = "damages the file")]
        fs::write(&file, damaged).unwrap();
        let logins = logins(dir.path());
        logins.keep_in(&file).unwrap_err();
        logins.login("ann", secret("111111"), Exposure::Loopback).await.unwrap();
        try_from(&logins, 1, "ann", "wrong").await;
        logins.keep().unwrap();
        self::logins(dir.path()).keep_in(&file).unwrap();
    }
    // Where nothing can be written, logins go on, and it is tried again.
    let nowhere = dir.path().join("none/failures");
    let logins = logins(dir.path());
    logins.keep_in(&nowhere).unwrap();
    try_from(&logins, 1, "ann", "wrong").await;
    logins.keep().unwrap_err();
    logins.login("ann", secret("111111"), Exposure::Loopback).await.unwrap();
    fs::create_dir(nowhere.parent().unwrap()).unwrap();
    logins.keep().unwrap();
    assert!(nowhere.exists());
}

/// Tables with as much in them as there may be, and more accounts than fit into the file.
fn full(now: Instant) -> Tables {
    let guard = super::super::guessing::Guard::default();
    let source = |number: usize| {
        let bits = ((number as u128) << 64) | (0x2001 << 112);
        std::net::IpAddr::from(std::net::Ipv6Addr::from_bits(bits))
    };
    for number in 0..MOST_ENTRIES + 1 {
        let name = format!("{number:06}{}", "\"".repeat(58));
        guard.failed(&Attempt::new(&name, source(number)), false, now);
        let key = Pin::of_public_key(&number.to_be_bytes());
        guard.key_refused(&Attempt::new(&name, source(number)), key, now);
    }
    for number in 0..4000_usize {
        let name = format!("a{number}");
        for place in 0..MOST_PLACES {
            guard.succeeded(&Attempt::new(&name, source(place)), now);
        }
        for key in 0..MAX_KEYS {
            let key = Pin::of_public_key(&(number * MAX_KEYS + key).to_be_bytes());
            guard.key_succeeded(&Attempt::new(&name, source(1)), key, now);
        }
    }
    for _ in 0..9 {
        guard.failed(&Attempt::new("a3999", source(999)), true, now);
    }
    guard.tables().clone()
}

#[test]
fn the_most_that_there_can_be_is_written_and_read_back() {
    let (now, at) = (Instant::now(), UNIX_EPOCH + Duration::from_secs(1_800_000_000));
    let bytes = save(&full(now), now, at);
    assert!(bytes.len() <= 16 << 20, "{}", bytes.len());
    let back = restore(&bytes, now, at).unwrap();
    assert_eq!(back.invented.len(), MOST_ENTRIES);
    assert_eq!((back.sources.len(), back.key_sources.len()), (MOST_ENTRIES, MOST_ENTRIES));
    // What does not fit is left out, those who were guessed at last of all.
    assert!(back.accounts.len() < 4000 && back.accounts.contains_key("a3999"));
    assert_eq!(back.accounts.get("a3999").unwrap().strangers.failures, 9);
}

#[test]
fn time_that_passed_while_the_server_was_off_counts() {
    let guard = super::super::guessing::Guard::default();
    let (now, at) = (Instant::now(), UNIX_EPOCH + Duration::from_secs(1_800_000_000));
    let guess = |n: u8| Attempt::new("ann", [198, 51, 100, n].into());
    (0..12).for_each(|n| guard.failed(&guess(n), true, now));
    let bytes = save(&guard.tables(), now, at);
    let after = |seconds: i64| {
        let seconds = Duration::from_secs(seconds.unsigned_abs());
        let at = if seconds.as_secs() > 1_000_000 { at - seconds } else { at + seconds };
        let guard = super::super::guessing::Guard::default();
        *guard.tables() = restore(&bytes, now, at).unwrap();
        guard.wait(&guess(99), now).map(|wait| wait.as_secs())
    };
    assert_eq!(after(0), Some(128));
    assert_eq!(after(100), Some(28));
    assert_eq!(after(129), None);
    assert_eq!(after(-2_000_000), Some(128), "a clock that was set back");
    assert_eq!(restore(&bytes, now, at + Duration::from_secs(7200)).unwrap().accounts.len(), 1);
}
