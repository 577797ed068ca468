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

fn host_port(text: &str) -> HostPort {
    HostPort::parse(text).unwrap()
}

fn open() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(Some(directory.path().join("a/sealane")));
    (directory, store)
}

fn add(store: &Store, server: &str, keys: &[&str]) -> Result<(), TrustError> {
    store.update(|known| known.add(&host_port(server), &pins(keys), Source::Address, NOW))
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
        .update(|known| {
            known.set_name(&host_port("files.example"), name.clone(), Some(user.clone()))
        })
        .unwrap();
    let known = store.load().unwrap();
    let server = known.named(&name).unwrap();
    assert_eq!(
        (server.host_port.to_string().as_str(), &server.user),
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
    for (bad, words) in [
        ("", "is damaged"),
        ("{", "is damaged"),
        ("[]", "is damaged"),
        (r#"{"version":1}"#, "missing field"),
        (r#"{"version":2,"other":[]}"#, "has version 2"),
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

#[test]
fn a_damaged_entry_is_set_aside_and_the_others_go_on() {
    let (directory, store) = open();
    add(&store, "h:1", &["a"]).unwrap();
    let path = file(&directory);
    let good = fs::read_to_string(&path).unwrap();
    let twice = entry(&good);
    let many = keys_of(&good, 33);
    for (bad, words) in [
        (good.replace("\"epoch\"", "\"epok\""), "unknown field"),
        (good.replace("active", "trusted"), "unknown variant"),
        (good.replace("sha256//", "sha256//A"), "is not a pin"),
        (good.replace("\"servers\": [", &format!("\"servers\": [{twice},")), "is in it twice"),
        (many, "has no key, too many, or one twice"),
    ] {
        fs::write(&path, &bad).unwrap();
        // Another server is used and changed as ever, and the damaged one is neither dropped nor a
        // stranger.
        add(&store, "other:1", &["b"]).unwrap();
        let known = store.load().unwrap();
        assert_eq!(known.find(&host_port("other:1")).unwrap().unwrap().pins(), Some(pins(&["b"])));
        let error = known.find(&host_port("h:1")).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert!(error.hint().is_some());
        assert!(matches!(add(&store, "h:1", &["x"]), Err(TrustError::DamagedEntry { .. })));
        store.update(|known| known.remove(&host_port("h:1"))).unwrap();
        assert!(store.load().unwrap().damaged().is_empty());
        add(&store, "h:1", &["a"]).unwrap();
    }
    // One that does not even say whose it is may be anybody's who is not known.
    fs::write(&path, good.replace("h:1", "h:0").replace("[", "[5,")).unwrap();
    assert!(store.load().unwrap().find(&host_port("new:1")).is_err());
    assert!(matches!(add(&store, "new:1", &["x"]), Err(TrustError::DamagedEntry { .. })));
    store.update(|known| Ok(known.remove_damaged())).unwrap();
    add(&store, "new:1", &["x"]).unwrap();
}

/// A file whose one server has `count` keys.
fn keys_of(good: &str, count: usize) -> String {
    let mut file: serde_json::Value = serde_json::from_str(good).unwrap();
    let keys = file["servers"][0]["keys"].as_array_mut().unwrap();
    for number in keys.len()..count {
        let mut key = keys[0].clone();
        key["pin"] = pin(&format!("k{number}")).to_string().into();
        keys.push(key);
    }
    file.to_string()
}

#[test]
fn the_most_that_may_be_known_is_written_and_read_back() {
    let (_directory, store) = open();
    let host = "h".repeat(63);
    let host = [host.as_str(); 3].join(".");
    let names: Vec<_> = (0..32).map(|number| format!("k{number}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let all = |known: &mut KnownServers| {
        for number in 0..1000 {
            let host_port = host_port(&format!("{host}.{number:04}:65535"));
            known.add(&host_port, &pins(&names), Source::Announced, i64::MAX)?;
            let name = ServerName::parse(&format!("{number:04}{}", "n".repeat(60))).unwrap();
            let user = Username::parse(&"\"".repeat(64)).unwrap();
            known.set_name(&host_port, name, Some(user))?;
            for key in &mut known.at_mut(&host_port)?.keys {
                (key.state, key.last_seen) = (State::Retired, Some(i64::MIN));
            }
        }
        Ok(())
    };
    let before = store.update(|known| all(known).map(|()| known.clone())).unwrap();
    assert_eq!(store.load().unwrap(), before);
    assert!(matches!(add(&store, "more:1", &["a"]), Err(TrustError::Full("servers", 1000))));
    let more: Vec<_> = (0..33).map(|number| format!("m{number}")).collect();
    let more: Vec<_> = more.iter().map(String::as_str).collect();
    let (_other, other) = open();
    assert!(matches!(add(&other, "h:1", &more), Err(TrustError::Full(_, 32))));
}

#[test]
fn a_ring_that_is_full_forgets_what_is_gone_longest() {
    let directory = tempfile::tempdir().unwrap();
    let key = |number: u32, state, since| RingKey {
        public_key: number.to_be_bytes().repeat(200),
        state,
        serves: false,
        file: Some(format!("key-{number}")),
        since,
    };
    let mut ring = KeyRing { epoch: 9, ..KeyRing::default() };
    ring.keys.push(key(0, State::Active, -5));
    ring.keys.extend((1..1000).map(|number| key(number, State::Revoked, number.into())));
    ring.store(directory.path()).unwrap();
    let read = KeyRing::load(directory.path()).unwrap().unwrap();
    assert!(read.keys.len() > 500 && read.keys.len() < 1000, "{}", read.keys.len());
    assert_eq!((read.keys.first(), read.keys.last()), (ring.keys.first(), ring.keys.last()));
    // What is in use is never dropped.
    ring.keys.iter_mut().for_each(|key| key.serves = true);
    assert!(matches!(ring.store(directory.path()), Err(TrustError::Full(..))));
    assert_eq!(KeyRing::load(directory.path()).unwrap(), Some(read));
}

#[test]
fn a_key_revoked_anywhere_is_refused_everywhere() {
    let (_directory, store) = open();
    add(&store, "localhost:1", &["a", "b"]).unwrap();
    add(&store, "other:1", &["o", "p"]).unwrap();
    let learn = |server: &str, used: &str, signer: &str, epoch, keys: &[(&str, State)]| {
        let keys = keys.iter().map(|(name, state)| AnnouncedKey {
            pin: pin(name),
            state: Some(*state),
            proof: Proof::Good,
        });
        let announced =
            Announced { epoch, keys: keys.collect(), signers: vec![pin(signer), pin("c")] };
        store.update(|known| known.learn(&host_port(server), &pin(used), &announced, NOW))
    };
    let stolen = [("b", State::Active), ("a", State::Revoked), ("c", State::Backup)];
    learn("localhost:1", "b", "b", 1, &stolen).unwrap();
    assert!(store.load().unwrap().is_revoked(&pin("a")));
    // By another name, from a person, from an import, from another server that says it is its own.
    assert!(matches!(add(&store, "127.0.0.1:1", &["a"]), Err(TrustError::Revoked(..))));
    let (_elsewhere, elsewhere) = open();
    add(&elsewhere, "127.0.0.1:1", &["a"]).unwrap();
    let foreign = elsewhere.load().unwrap().export();
    let imported = store.update(|known| known.import(std::path::Path::new("f"), &foreign));
    assert!(matches!(imported, Err(TrustError::Revoked(..))));
    let replaced =
        store.update(|known| known.replace(&host_port("other:1"), &pin("o"), pin("a"), NOW));
    assert!(matches!(replaced, Err(TrustError::Revoked(..))));
    let next = [("o", State::Active), ("a", State::Next)];
    learn("other:1", "o", "o", 1, &next).unwrap();
    assert!(store.load().unwrap().at(&host_port("other:1")).unwrap().key(&pin("a")).is_none());
    // But a server cannot call the keys of others revoked.
    let lies = [("o", State::Active), ("b", State::Revoked), ("x", State::Revoked)];
    learn("other:1", "o", "p", 2, &lies).unwrap();
    let known = store.load().unwrap();
    assert!(!known.is_revoked(&pin("b")) && !known.is_revoked(&pin("x")));
    assert_eq!(
        known.at(&host_port("other:1")).unwrap().key(&pin("x")).unwrap().state,
        State::Revoked
    );
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
    store.update(|known| known.set_name(&host_port("h:1"), work(), None)).unwrap();
    let taken = store.update(|known| known.set_name(&host_port("h:2"), work(), None));
    assert_eq!(taken.unwrap_err().to_string(), "the name 'work' stands for h:1 already");
    let unknown = store.update(|known| known.remove(&host_port("h:3")));
    assert!(matches!(unknown, Err(TrustError::Unknown(_))));
    store.update(|known| known.remove(&host_port("h:1"))).unwrap();
    store.update(|known| known.set_name(&host_port("h:2"), work(), None)).unwrap();
}

#[test]
fn a_key_is_replaced_only_by_name_and_never_by_a_revoked_one() {
    let (_directory, store) = open();
    add(&store, "h:1", &["a", "b"]).unwrap();
    let at = host_port("h:1");
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
        assert!(known.at_mut(&at)?.set(&pin("a"), State::Revoked, Source::Typed, NOW));
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
    other.update(|known| known.remove(&host_port("h:1"))).unwrap();
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
                known.seen(&host_port("h:1"), &pin("a"), now);
                Ok(())
            })
            .unwrap();
        fs::metadata(file(&directory)).unwrap().modified().unwrap()
    };
    let first = see(NOW);
    assert_eq!(see(NOW + 5), first);
    see(NOW + 2 * DAY);
    let known = store.load().unwrap();
    let key = known.at(&host_port("h:1")).unwrap().keys[0].clone();
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
        assert!(HostPort::parse(bad).is_none(), "{bad}");
    }
    assert_eq!(host_port("[::1]").to_string(), "[::1]:9901");
}
