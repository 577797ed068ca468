//! Entries that count, entries that do not, and what there may be of them.

use super::*;
use sealane_base::types::{Permission, Username};

fn record(keys: &str) -> Record {
    let text = format!(r#"{{"username":"ann","password":"x","keys":{keys},"z":1}}"#);
    Record::parse(&Username::parse("ann").unwrap(), text.as_bytes()).unwrap()
}

fn pin(name: &str) -> Pin {
    Pin::of_public_key(name.as_bytes())
}

fn today() -> Date {
    day::parse("2026-11-22").unwrap()
}

fn ask(record: &Record, name: &str, source: &str) -> Result<AccountKey, KeyRefusal> {
    record.key_for((&pin(name), false), source.parse().unwrap(), today())
}

#[test]
fn a_key_is_added_found_and_revoked_and_the_rest_stays() {
    let mut record = record("[]");
    let mut key = AccountKey::new(pin("a"), "laptop".into(), Some(today()));
    key.expires = day::parse("2026-11-22");
    key.from = vec![Network::parse("192.0.2.0/24").unwrap()];
    key.permissions = Permissions::of(&[Permission::Write]);
    key.root = RemotePath::parse("in/coming").unwrap();
    record.add_key(&key).unwrap();
    assert_eq!(ask(&record, "a", "192.0.2.7"), Ok(key.clone()));
    assert_eq!(ask(&record, "a", "192.0.3.7"), Err(KeyRefusal::WrongPlace));
    assert_eq!(ask(&record, "b", "192.0.2.7"), Err(KeyRefusal::Unknown));
    let tomorrow = today().next_day().unwrap();
    let late = record.key_for((&pin("a"), false), "192.0.2.7".parse().unwrap(), tomorrow);
    assert_eq!(late, Err(KeyRefusal::Expired(today())));
    let before = record.clone();
    assert_eq!(record.add_key(&key), Err(KeyListError::Exists(key.pin)));
    assert!(!record.revoke_key(&pin("b")) && record == before);
    assert!(record.revoke_key(&key.pin) && record.keys().is_empty());
    assert!(String::from_utf8(record.to_bytes()).unwrap().contains(r#""z":1"#));
}

#[test]
fn a_damaged_entry_counts_for_nothing_and_the_others_do() {
    let (a, b) = (pin("a"), pin("b"));
    for damage in [
        r#""from":["anywhere"]"#,
        r#""from":[]"#,
        r#""from":"192.0.2.0/24""#,
        r#""from":null"#,
        r#""expires":"soon""#,
        r#""expires":null"#,
        r#""expires":20270131"#,
        r#""permissions":"""#,
        r#""permissions":"all""#,
        r#""permissions":["read"]"#,
        r#""root":"../x""#,
        r#""root":null"#,
        r#""form":["192.0.2.0/24"]"#,
        r#""comment":"\u001b[2J""#,
        r#""pin2":"x""#,
    ] {
        let record = record(&format!(r#"[{{"pin":"{a}",{damage}}},{{"pin":"{b}"}}]"#));
        let outcome = ask(&record, "a", "192.0.2.7");
        assert!(matches!(outcome, Err(KeyRefusal::Damaged(_))), "{damage}: {outcome:?}");
        assert_eq!(ask(&record, "b", "192.0.2.7").unwrap().grant().permissions, Permissions::ALL);
        let problems: Vec<_> = record.keys().into_iter().filter_map(Result::err).collect();
        assert_eq!((problems.len(), problems[0].number, problems[0].pin), (1, 1, Some(a)));
    }
    for list in [r#""x""#, "{}", "null", "7"] {
        let mut record = record(list);
        assert_eq!(record.keys().len(), 1);
        assert!(record.keys()[0].is_err());
        let key = AccountKey::new(a, String::new(), None);
        assert_eq!(record.add_key(&key), Err(KeyListError::NotAList));
    }
    for entry in ["7", "null", "{}", r#"{"pin":7}"#, r#"{"pin":"sha256//short"}"#] {
        assert!(record(&format!("[{entry}]")).keys()[0].is_err(), "{entry}");
    }
}

#[test]
fn the_same_key_twice_counts_for_nothing() {
    let a = pin("a");
    let twice =
        format!(r#"[{{"pin":"{a}","permissions":"list"}},{{"pin":"{}"}}]"#, a.to_address_form());
    let mut record = record(&twice);
    assert!(matches!(ask(&record, "a", "::1"), Err(KeyRefusal::Damaged(_))));
    assert!(record.revoke_key(&a) && record.keys().is_empty());
}

#[test]
fn there_are_64_and_no_more() {
    let mut record = record("[]");
    let add = |record: &mut Record, number: usize| {
        record.add_key(&AccountKey::new(pin(&number.to_string()), String::new(), None))
    };
    for number in 0..MAX_KEYS {
        add(&mut record, number).unwrap();
    }
    assert_eq!(add(&mut record, 64), Err(KeyListError::Full));
    let mut longer = record.fields.get(KEYS).unwrap().as_array().unwrap().clone();
    longer.push(serde_json::json!({ "pin": pin("late").to_string() }));
    record.fields.insert(KEYS.into(), longer.into());
    assert!(matches!(ask(&record, "late", "::1"), Err(KeyRefusal::Damaged(_))));
    assert!(ask(&record, "63", "::1").is_ok());
    for comment in ["x".repeat(129), "\u{202e}".to_owned()] {
        let key = AccountKey::new(pin("c"), comment, None);
        assert_eq!(record.add_key(&key), Err(KeyListError::Comment));
    }
}

#[test]
fn the_most_keys_that_an_account_may_have_are_written_and_read_back() {
    let directory = tempfile::tempdir().unwrap();
    let store = crate::accounts::DirectoryStore::open(directory.path()).unwrap();
    let mut full = record("[]");
    for number in 0..MAX_KEYS {
        let mut key = AccountKey::new(pin(&number.to_string()), "\"".repeat(MAX_COMMENT), None);
        key.from = vec![Network::parse("255.255.255.255/32").unwrap(); MAX_NETWORKS];
        key.expires = Some(today());
        full.add_key(&key).unwrap();
    }
    let more = AccountKey::new(pin("more"), String::new(), None);
    assert_eq!(full.add_key(&more), Err(KeyListError::Full));
    crate::accounts::AccountStore::create(&store, &full).unwrap();
    let read = crate::accounts::AccountStore::load(&store, full.name()).unwrap().unwrap();
    assert_eq!(read.keys().len(), MAX_KEYS);
    assert!(read.keys().iter().all(Result::is_ok));
}
