//! What a refusal costs, and what the deadline changes.

use super::*;

/// Enough for a difference of a tenth to be many units.
const OURS: HashCost = HashCost { memory_kib: 256, iterations: 2, parallelism: 1 };

fn with(directory: &Path, settings: LoginSettings) -> Authenticator {
    let settings = LoginSettings { cost: OURS, ..settings };
    Authenticator::new(Arc::new(DirectoryStore::open(directory).unwrap()), settings).unwrap()
}

/// Every stored form, and one of lower cost that is not as cheap as can be.
fn lay_out(directory: &Path) -> Vec<String> {
    let half = HashCost { memory_kib: 200, ..OURS };
    let mut forms: Vec<(String, String)> =
        stored_forms("right").map(|(name, stored)| (name.to_owned(), stored)).into();
    forms.push(("half".into(), Hasher::new(half).unwrap().hash("right").unwrap()));
    forms.push(("full".into(), Hasher::new(OURS).unwrap().hash("right").unwrap()));
    for (account, stored) in &forms {
        put(directory, account, stored, &rest_of(account));
        let off = format!("{}, \"disabled\": true", rest_of(account));
        put(directory, &format!("{account}-off"), stored, &off);
    }
    put_text(directory, "broken", "{");
    let accounts = forms.iter().flat_map(|(name, _)| [name.clone(), format!("{name}-off")]);
    accounts.chain(["broken".into(), "nobody".into(), "../x".into()]).collect()
}

#[tokio::test]
async fn three_hundred_failures_of_each_kind_are_the_same_work() {
    let dir = tempfile::tempdir().unwrap();
    let logins = with(dir.path(), settings());
    for account in lay_out(dir.path()) {
        let mut spent = Vec::new();
        for _ in 0..300 {
            let before = logins.work();
            let outcome = logins.login(&account, secret("wrong"), Exposure::Network).await;
            assert!(matches!(outcome, Err(LoginError::Refused(_))), "{account}: {outcome:?}");
            spent.push(logins.work() - before);
        }
        spent.sort_unstable();
        let (median, ours) = (spent[150], OURS.work());
        assert!(median.abs_diff(ours) * 10 <= ours, "{account}: {median} instead of {ours}");
        assert_eq!(spent[0], spent[299], "{account}");
    }
}

#[tokio::test]
async fn after_the_deadline_the_right_password_alone_hears_of_it() {
    let dir = tempfile::tempdir().unwrap();
    lay_out(dir.path());
    let day = |number: u8| time::Date::from_calendar_date(1970, time::Month::January, number).ok();
    // The clock of these tests stands on 1 January 1970.
    let before = LoginSettings { legacy_deadline: day(1), ..settings() };
    let text = read_text(dir.path(), "wrapped");
    let open = with(dir.path(), before);
    assert!(open.login("wrapped", secret("right"), Exposure::Network).await.is_ok(), "too early");
    put_text(dir.path(), "wrapped", &text);

    let past = day(1).and_then(time::Date::previous_day);
    let logins = with(dir.path(), LoginSettings { legacy_deadline: past, ..settings() });
    for (account, is_old) in [("md5", true), ("wrapped", true), ("weak", false), ("full", false)] {
        let before = (logins.work(), read_text(dir.path(), account));
        let wrong = logins.login(account, secret("wrong"), Exposure::Network).await;
        assert!(matches!(wrong, Err(LoginError::Refused(_))), "{account}: {wrong:?}");
        assert_eq!(wrong.unwrap_err().to_string(), "login refused");
        let cost = logins.work() - before.0;
        let right = logins.login(account, secret("right"), Exposure::Network).await;
        if is_old {
            assert!(matches!(right, Err(LoginError::ResetRequired)), "{account}: {right:?}");
            assert_eq!(read_text(dir.path(), account), before.1);
            assert_eq!(logins.work() - before.0, 2 * cost, "{account}");
        } else {
            assert!(right.is_ok(), "{account}: {right:?}");
        }
    }
    let off = logins.login("md5-off", secret("right"), Exposure::Network).await;
    assert!(matches!(off, Err(LoginError::Refused(_))), "{off:?}");
    let manager = AccountManager::new(
        Arc::new(DirectoryStore::open(dir.path()).unwrap()),
        OURS,
        HomeMap::default(),
    );
    manager.unwrap().set_password(&name("md5"), &secret("fresh")).unwrap();
    assert!(logins.login("md5", secret("fresh"), Exposure::Network).await.is_ok());
}

#[tokio::test]
async fn a_damaged_record_is_out_alone_and_a_repaired_one_is_back_at_once() {
    let dir = tempfile::tempdir().unwrap();
    lay_out(dir.path());
    let logins = with(dir.path(), settings());
    let good = read_text(dir.path(), "full");
    put_text(dir.path(), "full", &good[..good.len() / 2]);
    let out = logins.login("full", secret("right"), Exposure::Network).await;
    let Err(LoginError::Refused(reason)) = out else { panic!("{out:?}") };
    assert!(reason.to_string().contains("full.db"), "{reason}");
    assert!(logins.login("half", secret("right"), Exposure::Network).await.is_ok());
    put_text(dir.path(), "full", &good);
    assert!(logins.login("full", secret("right"), Exposure::Network).await.is_ok());
    put_text(dir.path(), "dropped-in", &good.replace("full", "dropped-in"));
    assert!(logins.login("dropped-in", secret("right"), Exposure::Network).await.is_ok());
}

#[tokio::test]
async fn the_default_settings_work() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "ahpu", MD5_OF_111111, r#""limitsize": 1, "homepath": "homes/ahpu""#);
    let store = Arc::new(DirectoryStore::open(dir.path()).unwrap());
    let logins = Authenticator::new(store, LoginSettings::default()).unwrap();
    login(&logins, "ahpu", "111111", Exposure::Loopback).await.0.unwrap();
    assert!(read_text(dir.path(), "ahpu").contains("$argon2id$v=19$m=19456,t=2,p=1$"));
}
