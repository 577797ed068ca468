//! The file under good and bad hands, and what may be done to servers in it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use sealane_base::types::{Pin, PinSet, Username};

const NOW: i64 = 1_770_000_000;
const DAY: i64 = 86_400;

fn pin(text: &str) -> Pin {
    Pin::of_public_key(text.as_bytes())
}

fn pins(names: &[&str]) -> PinSet {
    PinSet::new(names.iter().map(|name| pin(name)).collect()).unwrap()
}

fn place(text: &str) -> Place {
    Place::parse(text).unwrap()
}

fn open() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(Some(directory.path().join("a/sealane")));
    (directory, store)
}

fn add(store: &Store, server: &str, keys: &[&str]) -> Result<(), TrustError> {
    store.update(|known| known.add(&place(server), &pins(keys), Source::Address, NOW))
}

fn file(directory: &tempfile::TempDir) -> std::path::PathBuf {
    directory.path().join("a/sealane/known_servers.json")
}

#[test]
fn what_is_stored_is_read_back_privately() {
    let (directory, store) = open();
    assert_eq!(store.load().unwrap(), KnownServers::default());
    add(&store, "Files.Example:9901", &["a", "b"]).unwrap();
    let name = ServerName::parse("work").unwrap();
    let user = Username::parse("ann").unwrap();
    store
        .update(|known| known.set_name(&place("files.example"), name.clone(), Some(user.clone())))
        .unwrap();
    let known = store.load().unwrap();
    let server = known.named(&name).unwrap();
    assert_eq!(
        (server.place.to_string().as_str(), &server.user),
        ("files.example:9901", &Some(user))
    );
    assert_eq!(
        server.keys.iter().map(|key| key.state).collect::<Vec<_>>(),
        [State::Active, State::Backup]
    );
    assert_eq!(server.pins(), Some(pins(&["a", "b"])));
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&file(&directory)), 0o600);
    assert_eq!(mode(&directory.path().join("a/sealane")), 0o700);
    assert_eq!(KnownServers::default().import_all(&known.export()), Ok(1));
}

impl KnownServers {
    fn import_all(&mut self, bytes: &[u8]) -> Result<usize, String> {
        self.import(std::path::Path::new("x"), bytes).map_err(|error| error.to_string())
    }
}

#[test]
fn a_bad_file_is_an_error_and_stays_as_it_is() {
    let (directory, store) = open();
    add(&store, "h:1", &["a"]).unwrap();
    let path = file(&directory);
    let good = fs::read_to_string(&path).unwrap();
    let twice = good.replace("\"servers\": [", &format!("\"servers\": [{},", entry(&good)));
    for (bad, words) in [
        ("", "is damaged"),
        ("{", "is damaged"),
        ("[]", "is damaged"),
        (r#"{"version":1}"#, "missing field"),
        (r#"{"version":2,"other":[]}"#, "has version 2"),
        (good.replace("\"epoch\"", "\"epok\"").as_str(), "unknown field"),
        (good.replace("active", "trusted").as_str(), "unknown variant"),
        (good.replace("sha256//", "sha256//A").as_str(), "is not a pin"),
        (good.replace("h:1", "h:0").as_str(), "is not host:port"),
        (twice.as_str(), "is in it twice"),
    ] {
        fs::write(&path, bad).unwrap();
        let error = store.load().unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert!(error.hint().is_some());
        assert!(add(&store, "other:1", &["b"]).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), bad);
    }
    fs::write(&path, &good).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let error = add(&store, "other:1", &["b"]).unwrap_err();
    assert!(error.hint().unwrap().starts_with("chmod 600"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), good);
}

/// The one server of a file.
fn entry(file: &str) -> &str {
    let begin = file.find('[').unwrap() + 1;
    file[begin..file.rfind(']').unwrap()].trim()
}

#[test]
fn names_and_keys_of_known_servers_are_not_taken_over() {
    let (_directory, store) = open();
    add(&store, "h:1", &["a", "b"]).unwrap();
    add(&store, "h:2", &["a"]).unwrap();
    add(&store, "h:1", &["b"]).unwrap();
    assert!(matches!(add(&store, "H:1", &["a", "c"]), Err(TrustError::Differs(_))));
    let work = || ServerName::parse("work").unwrap();
    store.update(|known| known.set_name(&place("h:1"), work(), None)).unwrap();
    let taken = store.update(|known| known.set_name(&place("h:2"), work(), None));
    assert_eq!(taken.unwrap_err().to_string(), "the name 'work' stands for h:1 already");
    let unknown = store.update(|known| known.remove(&place("h:3")));
    assert!(matches!(unknown, Err(TrustError::Unknown(_))));
    store.update(|known| known.remove(&place("h:1"))).unwrap();
    store.update(|known| known.set_name(&place("h:2"), work(), None)).unwrap();
}

#[test]
fn a_key_is_replaced_only_by_name_and_never_by_a_revoked_one() {
    let (_directory, store) = open();
    add(&store, "h:1", &["a", "b"]).unwrap();
    let at = place("h:1");
    let replace = |old: &str, new: &str| {
        store.update(|known| known.replace(&at, &pin(old), pin(new), NOW + DAY))
    };
    assert!(matches!(replace("x", "c"), Err(TrustError::NoKey(..))));
    replace("a", "c").unwrap();
    let known = store.load().unwrap();
    let server = known.at(&at).unwrap();
    assert_eq!(server.pins(), Some(pins(&["c", "b"])));
    let old = server.key(&pin("a")).unwrap();
    assert_eq!((old.state, old.since, old.first_seen), (State::Retired, NOW + DAY, NOW));
    assert!(matches!(replace("a", "d"), Err(TrustError::NoKey(..))));
    let revoke = |known: &mut KnownServers| {
        known.at_mut(&at)?.set(&pin("a"), State::Revoked, Source::Typed, NOW);
        Ok(())
    };
    store.update(revoke).unwrap();
    assert!(matches!(replace("c", "a"), Err(TrustError::Revoked(..))));
}

#[test]
fn an_import_is_all_or_nothing() {
    let (_directory, store) = open();
    add(&store, "h:1", &["a"]).unwrap();
    let (_other_directory, other) = open();
    add(&other, "new:1", &["n"]).unwrap();
    add(&other, "h:1", &["z"]).unwrap();
    let foreign = other.load().unwrap().export();
    let import =
        |bytes: &[u8]| store.update(|known| known.import(std::path::Path::new("f"), bytes));
    assert!(matches!(import(&foreign), Err(TrustError::Differs(_))));
    assert_eq!(store.load().unwrap().iter().count(), 1);
    other.update(|known| known.remove(&place("h:1"))).unwrap();
    add(&other, "h:1", &["a"]).unwrap();
    assert_eq!(import(&other.load().unwrap().export()).unwrap(), 1);
    assert!(matches!(import(b"{}"), Err(TrustError::Damaged { .. })));
}

#[test]
fn several_processes_lose_nothing() {
    let (directory, _store) = open();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let directory = directory.path().join("a/sealane");
            scope.spawn(move || {
                let store = Store::new(Some(directory));
                for at in 0..10 {
                    add(&store, &format!("h{thread}:{}", at + 1), &["a"]).unwrap();
                }
            });
        }
    });
    let store = Store::new(Some(directory.path().join("a/sealane")));
    assert_eq!(store.load().unwrap().iter().count(), 40);
}

#[test]
fn being_seen_is_noted_once_a_day() {
    let (directory, store) = open();
    add(&store, "h:1", &["a"]).unwrap();
    let see = |now| {
        store
            .update(|known| {
                known.seen(&place("h:1"), &pin("a"), now);
                Ok(())
            })
            .unwrap();
        fs::metadata(file(&directory)).unwrap().modified().unwrap()
    };
    let first = see(NOW);
    assert_eq!(see(NOW + 5), first);
    see(NOW + 2 * DAY);
    let known = store.load().unwrap();
    let key = known.at(&place("h:1")).unwrap().keys[0].clone();
    assert_eq!((key.first_seen, key.last_seen), (NOW, Some(NOW + 2 * DAY)));
}

#[test]
fn names_are_plain_words() {
    for good in ["work", "a.b-c_d", "9"] {
        assert!(ServerName::parse(good).is_ok());
    }
    for bad in ["", "-x", ".x", "a b", "a:b", "a/b", "ä", &"x".repeat(65)] {
        assert!(ServerName::parse(bad).is_err(), "{bad}");
    }
    for bad in ["", "h/x", "u@h", "h:0", "h?pin=x"] {
        assert!(Place::parse(bad).is_none(), "{bad}");
    }
    assert_eq!(place("[::1]").to_string(), "[::1]:9901");
}
