//! Other hands at the records: programs that take no lock, holders of the lock that do not let go,
//! and what was typed in another encoding.

use std::time::Duration;

use super::*;

/// A hook, as long as it lives.
type Hook = Box<dyn Fn() + Send + Sync>;

fn hooked(directory: &Path, before_swap: Hook) -> Authenticator {
    let inner = DirectoryStore::open(directory).unwrap();
    let before_swap = move || {
        before_swap();
        Ok(())
    };
    Authenticator::new(Arc::new(Hooked { inner, after_load: || Ok(()), before_swap }), settings())
        .unwrap()
}

#[tokio::test]
async fn a_record_changed_by_another_program_during_an_upgrade_is_theirs() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().to_owned();
    let other = stored_forms("by hand")[2].1.clone();
    let whole = format!(r#"{{"username": "ahpu", "password": "{other}", {}}}"#, rest_of("ahpu"));
    for (theirs, is_failed) in [(whole.clone(), false), (whole[..40].to_owned(), true)] {
        put(dir.path(), "ahpu", MD5_OF_111111, &rest_of("ahpu"));
        let (at, text) = (place.clone(), theirs.clone());
        let logins = hooked(dir.path(), Box::new(move || put_text(&at, "ahpu", &text)));
        let (outcome, _) = login(&logins, "ahpu", "111111", Exposure::Loopback).await;
        let principal = outcome.unwrap();
        match principal.upgrade() {
            Upgrade::Superseded => assert!(!is_failed),
            Upgrade::Failed(why) => assert!(is_failed && why.contains("ahpu.db"), "{why}"),
            other => panic!("{other:?}"),
        }
        // The day of the login may have been noted; the password is the one written by hand.
        let text = read_text(dir.path(), "ahpu");
        assert!(if is_failed { text == theirs } else { text.contains(&other) }, "{text}");
    }
}

#[tokio::test]
async fn a_lock_that_is_never_let_go_delays_a_login_a_little_and_an_administrator_is_told_who() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "ahpu", MD5_OF_111111, &rest_of("ahpu"));
    let store =
        DirectoryStore::open(dir.path()).unwrap().with_lock_timeout(Duration::from_millis(20));
    let _held = sealane_base::fsio::lock_exclusive(&dir.path().join(".lock")).unwrap();
    let refused = store.update(&name("ahpu"), &mut |record| record.set_quota(1)).unwrap_err();
    let AccountError::File(error) = refused else { panic!("{refused}") };
    assert!(error.to_string().contains("it is in use by "), "{error}");
    let logins = Authenticator::new(Arc::new(store), settings()).unwrap();
    let (outcome, _) = login(&logins, "ahpu", "111111", Exposure::Loopback).await;
    let principal = outcome.unwrap();
    assert!(matches!(principal.upgrade(), Upgrade::Failed(_)), "{principal:?}");
    assert!(read_text(dir.path(), "ahpu").contains(MD5_OF_111111));
}

#[tokio::test]
async fn a_password_hashed_in_gbk_logs_in_and_a_refusal_of_such_is_the_same_work_everywhere() {
    let dir = tempfile::tempdir().unwrap();
    let (typed, wrong) = ("密码123", "密碼123");
    let md5 = md5_of(b"\xc3\xdc\xc2\xeb123");
    let hex: String = md5.iter().map(|byte| format!("{byte:02x}")).collect();
    let forms = [
        ("raw", hex),
        ("wrapped", Hasher::new(BETTER).unwrap().wrap(&md5).unwrap()),
        ("native", stored_forms(typed)[2].1.clone()),
        ("weak", stored_forms(typed)[3].1.clone()),
    ];
    for (account, stored) in &forms {
        put(dir.path(), account, stored, &rest_of(account));
    }
    put(dir.path(), "off", &forms[1].1, &format!("{}, \"disabled\": true", rest_of("off")));
    put_text(dir.path(), "broken", "{");
    let logins = authenticator(dir.path());
    // ASCII is the same bytes in both: once. What has a form in each: twice, whatever the record.
    for (password, price) in [("wrong", 1), (wrong, 2)] {
        for account in ["raw", "wrapped", "native", "weak", "off", "broken", "nobody", "../x"] {
            let before = (logins.evaluations(), logins.work());
            let outcome = logins.login(account, secret(password), Exposure::Network).await;
            assert!(matches!(outcome, Err(LoginError::Refused(_))), "{account}: {outcome:?}");
            assert_eq!(logins.evaluations() - before.0, price, "{account} {password}");
            let (work, ours) = (logins.work() - before.1, price * BETTER.work());
            assert!(work.abs_diff(ours) * 10 <= ours, "{account}: {work} instead of {ours}");
        }
    }
    for (account, _) in &forms {
        for _ in 0..2 {
            let (outcome, _) = login(&logins, account, typed, Exposure::Network).await;
            assert!(outcome.is_ok(), "{account}: {outcome:?}");
        }
        assert!(read_text(dir.path(), account).contains("\"$argon2id$"), "{account}");
    }
    // Where only UTF-8 is told of, GBK is not tried.
    put(dir.path(), "raw", &forms[0].1, &rest_of("raw"));
    let settings = LoginSettings { legacy_encodings: vec![PasswordEncoding::Utf8], ..settings() };
    let store = Arc::new(DirectoryStore::open(dir.path()).unwrap());
    let logins = Authenticator::new(store, settings).unwrap();
    assert!(login(&logins, "raw", typed, Exposure::Network).await.0.is_err());
}
