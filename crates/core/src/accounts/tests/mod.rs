//! Logins against real record files: prices, upgrades, races, bounds.

mod exhausted;
mod faults;
mod guessing;
mod hands;
mod hooked;
mod remembered;
mod work;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, Once, mpsc};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use self::hooked::Hooked;
use super::password::md5_of;
use super::*;
use sealane_base::types::{Secret, Username};

const CHEAP: HashCost = HashCost { memory_kib: 8, iterations: 1, parallelism: 1 };
const BETTER: HashCost = HashCost { memory_kib: 16, iterations: 2, parallelism: 1 };
const MD5_OF_111111: &str = "96e79218965eb72c92a549dd5a330112";

fn name(text: &str) -> Username {
    Username::parse(text).unwrap()
}

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

fn settings() -> LoginSettings {
    let homes = HomeMap::new([(r"D:\FTP\home", "homes")]).unwrap();
    LoginSettings {
        cost: BETTER,
        homes,
        clock: || time::OffsetDateTime::UNIX_EPOCH,
        ..LoginSettings::default()
    }
}

/// Writes a record whose last keys are `rest`.
fn put(directory: &Path, account: &str, password: &str, rest: &str) {
    let text = format!(r#"{{"username": "{account}", "password": "{password}", {rest}}}"#);
    put_text(directory, account, &text);
}

#[expect(clippy::disallowed_methods, reason = "tests lay out the records that are read")]
fn put_text(directory: &Path, account: &str, text: &str) {
    fs::write(directory.join(format!("{account}.db")), text).unwrap();
}

#[expect(clippy::disallowed_methods, reason = "tests look at what was written")]
fn read_text(directory: &Path, account: &str) -> String {
    fs::read_to_string(directory.join(format!("{account}.db"))).unwrap()
}

fn rest_of(account: &str) -> String {
    format!(r#""limitsize": 10240000, "homepath": "D:\\FTP\\home\\{account}""#)
}

/// Stored forms of `password`: raw, wrapped, native of the configured cost, native of a lower one.
fn stored_forms(password: &str) -> [(&'static str, String); 4] {
    let hex: String = md5_of(password).iter().map(|byte| format!("{byte:02x}")).collect();
    let hasher = Hasher::new(BETTER).unwrap();
    [
        ("md5", hex.to_uppercase()),
        ("wrapped", hasher.wrap(&md5_of(password)).unwrap()),
        ("native", hasher.hash(password).unwrap()),
        ("weak", Hasher::new(CHEAP).unwrap().hash(password).unwrap()),
    ]
}

fn authenticator(directory: &Path) -> Authenticator {
    Authenticator::new(Arc::new(DirectoryStore::open(directory).unwrap()), settings()).unwrap()
}

async fn login(
    logins: &Authenticator,
    username: &str,
    password: &str,
    exposure: Exposure,
) -> (Result<Principal, LoginError>, u64) {
    let before = logins.evaluations();
    let outcome = logins.login(username, secret(password), exposure).await;
    (outcome, logins.evaluations() - before)
}

#[tokio::test]
async fn every_stored_form_logs_in_and_ends_native() {
    let dir = tempfile::tempdir().unwrap();
    let logins = authenticator(dir.path());
    for (account, stored) in stored_forms("pässword") {
        put(dir.path(), account, &stored, &rest_of(account));
        let is_current = account == "native";
        let price = if matches!(account, "md5" | "native") { 1 } else { 2 };
        let (outcome, spent) = login(&logins, account, "pässword", Exposure::Network).await;
        let principal = outcome.unwrap();
        assert_eq!(principal.name().as_str(), account);
        assert_eq!(principal.home().as_str(), format!("homes/{account}"));
        assert_eq!(principal.quota(), 10_240_000);
        let expected = if is_current { Upgrade::NotNeeded } else { Upgrade::Done };
        assert_eq!((principal.upgrade(), spent), (&expected, price), "{account}");

        let text = read_text(dir.path(), account);
        assert!(text.contains("$argon2id$v=19$m=16,t=2,p=1$"), "{text}");
        assert_eq!(text.contains(&stored), is_current);
        let (again, spent) = login(&logins, account, "pässword", Exposure::Network).await;
        assert_eq!((again.unwrap().upgrade(), spent), (&Upgrade::NotNeeded, 1));
        assert!(login(&logins, account, "passwort", Exposure::Network).await.0.is_err());
    }
}

#[tokio::test]
async fn every_failure_costs_one_evaluation_and_says_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let logins = authenticator(dir.path());
    let mut cases: Vec<(String, &str, &str)> = Vec::new();
    for (account, stored) in stored_forms("right") {
        put(dir.path(), account, &stored, &rest_of(account));
        cases.push((account.into(), "wrong", "wrong password"));
        cases.push((account.into(), "", "the password is empty"));
        put(
            dir.path(),
            &format!("{account}-off"),
            &stored,
            &format!("{}, \"disabled\": true", rest_of(account)),
        );
        for password in ["right", "wrong"] {
            cases.push((format!("{account}-off"), password, "the account is disabled"));
        }
        put(
            dir.path(),
            &format!("{account}-homeless"),
            &stored,
            r#""limitsize": 1, "homepath": "C:\\x""#,
        );
        cases.push((format!("{account}-homeless"), "right", "no home_map rule"));
        put(
            dir.path(),
            &format!("{account}-unlimited"),
            &stored,
            r#""limitsize": 0, "homepath": "homes/x""#,
        );
        cases.push((format!("{account}-unlimited"), "right", "limitsize is 0"));
    }
    for (account, password, reason) in [
        (
            "costly",
            "$argon2id$v=19$m=4194304,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "asks too much",
        ),
        ("blank", "", "its password is empty"),
        ("md5-of-nothing", "d41d8cd98f00b204e9800998ecf8427e", "its password is empty"),
        ("plain", "right", "neither 32 hex digits"),
    ] {
        put(dir.path(), account, password, &rest_of(account));
        cases.push((account.into(), "right", reason));
    }
    put_text(dir.path(), "twice", r#"{"username":"twice","password":"a","password":"b"}"#);
    put_text(dir.path(), "garbage", "hello");
    put(dir.path(), "unsure", MD5_OF_111111, &format!("{}, \"disabled\": 0", rest_of("x")));
    put_text(dir.path(), "renamed", &read_text(dir.path(), "md5"));
    mknodat(CWD, dir.path().join("fifo.db"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    std::os::unix::fs::symlink(dir.path().join("md5.db"), dir.path().join("link.db")).unwrap();
    let long = "x".repeat(MAX_PASSWORD + 1);
    for (account, password, reason) in [
        ("nobody", "right", "no such account"),
        ("../md5", "right", "no such account"),
        ("md5\0x", "right", "no such account"),
        ("", "", "the password is empty"),
        ("md5", &long, "longer than 1024 bytes"),
        ("twice", "b", "appears twice"),
        ("garbage", "right", "not JSON"),
        ("unsure", "111111", "neither true nor false"),
        ("renamed", "right", "does not match the name of its file"),
        ("fifo", "right", "not a regular file"),
        ("link", "right", "not a regular file"),
    ] {
        cases.push((account.into(), password, reason));
    }
    for (account, password, expected) in cases {
        let (outcome, spent) = login(&logins, &account, password, Exposure::Loopback).await;
        let error = outcome.unwrap_err();
        assert_eq!(error.to_string(), "login refused");
        let LoginError::Refused(reason) = error else { panic!("{account}: {error}") };
        assert!(reason.to_string().contains(expected), "{account}: {reason}");
        assert_eq!(spent, 1, "{account}: {reason}");
    }
}

#[tokio::test]
async fn a_published_password_opens_nothing_from_the_network() {
    let dir = tempfile::tempdir().unwrap();
    let logins = authenticator(dir.path());
    for (form, stored) in stored_forms("111111") {
        put(dir.path(), "ahpu", &stored, &rest_of("ahpu"));
        let (outcome, spent) = login(&logins, "ahpu", "111111", Exposure::Network).await;
        assert!(
            matches!(outcome, Err(LoginError::Refused(RefusalReason::SampleAccount))),
            "{form}: {outcome:?}"
        );
        assert_eq!(spent, 1, "{form}");
        assert!(read_text(dir.path(), "ahpu").contains(&stored), "{form} was touched");
        assert!(login(&logins, "ahpu", "111111", Exposure::Loopback).await.0.is_ok());
    }
    // Its name is no offence, and neither is the password elsewhere.
    put(dir.path(), "ahpu", &stored_forms("better")[0].1, &rest_of("ahpu"));
    assert!(login(&logins, "ahpu", "better", Exposure::Network).await.0.is_ok());
    let (outcome, _) = login(&logins, "ahpu", "111111", Exposure::Network).await;
    assert!(matches!(outcome, Err(LoginError::Refused(RefusalReason::WrongPassword))));
    put(dir.path(), "bob", MD5_OF_111111, &rest_of("bob"));
    assert!(login(&logins, "bob", "111111", Exposure::Network).await.0.is_ok());
}

#[tokio::test]
async fn an_upgrade_changes_the_password_and_notes_the_day_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let logins = authenticator(dir.path());
    let text = r#"{"z":1.5,"username":"ahpu","数":["é",{"b":1,"a":2}],"password":"96e79218965eb72c92a549dd5a330112","homepath":"D:\\FTP\\home\\ahpu","limitsize":10240000,"a":null}"#;
    put_text(dir.path(), "ahpu", text);
    login(&logins, "ahpu", "111111", Exposure::Loopback).await.0.unwrap();
    let after = read_text(dir.path(), "ahpu");
    let (head, tail) = text.split_once(MD5_OF_111111).unwrap();
    assert!(after.starts_with(&format!("{head}$argon2id$")), "{after}");
    let noted = tail.replace("\"a\":null}", "\"a\":null,\"last_login\":\"1970-01-01\"}");
    assert!(noted != tail && after.trim_end().ends_with(&noted), "{after}");
    // A second login on the same day writes nothing.
    login(&logins, "ahpu", "111111", Exposure::Loopback).await.0.unwrap();
    assert_eq!(read_text(dir.path(), "ahpu"), after);
}

#[tokio::test]
async fn fifty_logins_do_not_undo_a_reset() {
    const LOGINS: usize = 50;
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "ahpu", MD5_OF_111111, &rest_of("ahpu"));
    let open = || DirectoryStore::open(dir.path()).unwrap();
    let admin = AccountManager::new(Arc::new(open()), CHEAP, HomeMap::default()).unwrap();
    let (all_loaded, swaps, reset) = (Barrier::new(LOGINS), AtomicUsize::new(0), Once::new());
    let store = Hooked {
        inner: open(),
        // All of them read the old record before any of them writes.
        after_load: move || {
            all_loaded.wait();
            Ok(())
        },
        // The first half may swap; then comes the reset; the others swap after it for certain.
        before_swap: move || {
            if swaps.fetch_add(1, Ordering::SeqCst) >= LOGINS / 2 {
                reset.call_once(|| admin.set_password(&name("ahpu"), &secret("by admin")).unwrap());
            }
            Ok(())
        },
    };
    // One more: the last worker is for places that are known.
    let many = LoginSettings { workers: LOGINS + 1, ..settings() };
    let logins = Authenticator::new(Arc::new(store), many).unwrap();
    let tasks: Vec<_> = (0..LOGINS)
        .map(|_| {
            let logins = logins.clone();
            tokio::spawn(
                async move { logins.login("ahpu", secret("111111"), Exposure::Loopback).await },
            )
        })
        .collect();
    let mut done = 0;
    for task in tasks {
        match task.await.unwrap().unwrap().upgrade() {
            Upgrade::Done => done += 1,
            Upgrade::Superseded => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(done <= 1, "{done} logins replaced the same password");

    let logins = authenticator(dir.path());
    assert!(login(&logins, "ahpu", "111111", Exposure::Loopback).await.0.is_err());
    assert!(login(&logins, "ahpu", "by admin", Exposure::Loopback).await.0.is_ok());
}

#[tokio::test]
async fn a_failed_upgrade_fails_no_login() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "ahpu", MD5_OF_111111, &rest_of("ahpu"));
    let store = Hooked {
        inner: DirectoryStore::open(dir.path()).unwrap(),
        after_load: || Ok(()),
        before_swap: || Err(AccountError::NotFound(name("disk"))),
    };
    let logins = Authenticator::new(Arc::new(store), settings()).unwrap();
    let (outcome, _) = login(&logins, "ahpu", "111111", Exposure::Loopback).await;
    let expected = Upgrade::Failed("there is no account 'disk'".into());
    assert_eq!(outcome.unwrap().upgrade(), &expected);
    assert!(read_text(dir.path(), "ahpu").contains(MD5_OF_111111));
}

#[tokio::test(start_paused = true)]
async fn logins_beyond_the_bounds_are_busy_and_a_dropped_one_keeps_its_worker() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "ahpu", MD5_OF_111111, &rest_of("ahpu"));
    let (loading, is_loading) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let store = Hooked {
        inner: DirectoryStore::open(dir.path()).unwrap(),
        after_load: move || {
            let _ = loading.send(());
            // Ends when the test lets go of the other side.
            let _ = released.lock().unwrap().recv();
            Ok(())
        },
        before_swap: || Ok(()),
    };
    let narrow = LoginSettings { workers: 1, queue: 1, ..settings() };
    let deadline = narrow.queue_deadline;
    let logins = Authenticator::new(Arc::new(store), narrow).unwrap();
    let attempt = || {
        let logins = logins.clone();
        async move { logins.login("ahpu", secret("111111"), Exposure::Loopback).await }
    };
    let is_busy = |outcome| matches!(outcome, Err(LoginError::Busy));

    let first = tokio::spawn(attempt());
    tokio::task::spawn_blocking(move || is_loading.recv().unwrap()).await.unwrap();
    // The one worker is taken and the clock stands: one may wait, the next finds no place.
    tokio::select! {
        biased;
        waiting = attempt() => panic!("did not wait: {waiting:?}"),
        refused = attempt() => assert!(is_busy(refused)),
    }
    // The one that waited was dropped, so there is a place again; its deadline passes.
    let (waited, ()) = tokio::join!(attempt(), tokio::time::advance(deadline));
    assert!(is_busy(waited));
    assert_eq!(logins.evaluations(), 0);

    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    let (waited, ()) = tokio::join!(attempt(), tokio::time::advance(deadline));
    assert!(is_busy(waited), "the memory of a dropped login is still in use");
    drop(release);
    // The paused clock would run past the deadline while the thread still lets go.
    tokio::time::resume();
    assert!(attempt().await.is_ok());
}
