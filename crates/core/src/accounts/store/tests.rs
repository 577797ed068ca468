//! The directory of records: who reads, who writes, what is left alone.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::*;
use sealane_base::fsio::FsErrorKind;

fn name(text: &str) -> Username {
    Username::parse(text).unwrap()
}

fn open() -> (tempfile::TempDir, DirectoryStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = DirectoryStore::open(dir.path()).unwrap();
    (dir, store)
}

#[test]
fn records_come_and_go() {
    let (dir, store) = open();
    let record = Record::new(&name("bob"), "x", 7, "homes/bob");
    assert!(store.load(&name("bob")).unwrap().is_none());
    store.create(&record).unwrap();
    assert!(matches!(store.create(&record), Err(AccountError::Exists(_))));
    assert_eq!(store.load(&name("bob")).unwrap(), Some(record));
    let mode = dir.path().join("bob.db").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    store.update(&name("bob"), &mut |record| record.set_quota(9)).unwrap();
    assert_eq!(store.load(&name("bob")).unwrap().unwrap().quota(), Ok(9));
    store.remove(&name("bob")).unwrap();
    assert!(matches!(store.remove(&name("bob")), Err(AccountError::NotFound(_))));
    let gone = store.update(&name("bob"), &mut |_| {});
    assert!(matches!(gone, Err(AccountError::NotFound(_))));
}

#[test]
fn a_swap_needs_the_expected_password_and_keeps_the_rest() {
    let (dir, store) = open();
    let path = dir.path().join("ahpu.db");
    fs::write(&path, r#"{"note":"keep","username":"ahpu","password":"A","limitsize":0}"#).unwrap();
    assert!(!store.compare_and_swap_password(&name("ahpu"), "a", "B").unwrap());
    assert!(store.compare_and_swap_password(&name("ahpu"), "A", "B").unwrap());
    assert!(!store.compare_and_swap_password(&name("ahpu"), "A", "C").unwrap());
    assert!(!store.compare_and_swap_password(&name("nobody"), "A", "C").unwrap());
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "{\"note\":\"keep\",\"username\":\"ahpu\",\"password\":\"B\",\"limitsize\":0}\n"
    );
}

#[test]
fn no_change_is_lost_among_several_writers() {
    let (dir, store) = open();
    store.create(&Record::new(&name("bob"), "x", 1, "homes/bob")).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let store = DirectoryStore::open(dir.path()).unwrap();
                for _ in 0..25 {
                    let mut add_one =
                        |record: &mut Record| record.set_quota(record.quota().unwrap() + 1);
                    store.update(&name("bob"), &mut add_one).unwrap();
                }
            });
        }
    });
    assert_eq!(store.load(&name("bob")).unwrap().unwrap().quota(), Ok(101));
}

#[test]
fn a_bad_file_fails_alone_and_at_once() {
    let (dir, store) = open();
    let at = |file: &str| dir.path().join(file);
    store.create(&Record::new(&name("good"), "x", 7, "homes/good")).unwrap();
    mknodat(CWD, at("fifo.db"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    symlink(at("good.db"), at("link.db")).unwrap();
    fs::create_dir(at("dir.db")).unwrap();
    fs::write(at("empty.db"), "").unwrap();
    fs::write(at("text.db"), "hello").unwrap();
    fs::write(at("large.db"), vec![b' '; 64 * 1024 + 1]).unwrap();
    fs::copy(at("good.db"), at("other.db")).unwrap();
    for (account, is_file_error) in [
        ("fifo", true),
        ("link", true),
        ("dir", true),
        ("large", true),
        ("empty", false),
        ("text", false),
        ("other", false),
    ] {
        let error = store.load(&name(account)).unwrap_err();
        assert_eq!(matches!(error, AccountError::File(_)), is_file_error, "{error}");
        assert!(error.to_string().contains(&format!("{account}.db'")), "{error}");
        assert!(store.update(&name(account), &mut |_| {}).is_err());
    }
    assert!(store.load(&name("good")).unwrap().is_some());
    store.remove(&name("text")).unwrap();
}

#[test]
fn a_record_of_exactly_the_limit_is_read() {
    let (dir, store) = open();
    let mut text = String::from(r#"{"username":"big"}"#);
    text.extend(std::iter::repeat_n(' ', 64 * 1024 - text.len()));
    fs::write(dir.path().join("big.db"), &text).unwrap();
    assert!(store.load(&name("big")).unwrap().is_some());
    fs::write(dir.path().join("big.db"), format!("{text} ")).unwrap();
    let error = store.load(&name("big")).unwrap_err();
    let AccountError::File(error) = error else { panic!("{error}") };
    assert!(matches!(error.kind, FsErrorKind::TooLarge { limit: 65536 }));
}

#[test]
fn what_could_not_be_read_back_is_not_written() {
    let (_dir, store) = open();
    let of = |name_: &str, home: usize| Record::new(&name(name_), "x", 7, &"h".repeat(home));
    let rest = of("most", 0).to_bytes().len();
    let most = of("most", usize::try_from(MAX_RECORD).unwrap() - rest);
    store.create(&most).unwrap();
    assert_eq!(store.load(&name("most")).unwrap(), Some(most));
    let more = of("more", usize::try_from(MAX_RECORD).unwrap() - rest + 1);
    assert!(matches!(store.create(&more), Err(AccountError::Record { .. })));
    assert!(store.load(&name("more")).unwrap().is_none());
    let longer = store.update(&name("most"), &mut |record| record.set_quota(70));
    assert!(matches!(longer, Err(AccountError::Record { .. })));
    assert_eq!(store.load(&name("most")).unwrap().unwrap().quota(), Ok(7));
}

#[test]
fn only_records_are_listed_and_leftovers_are_swept() {
    let (dir, store) = open();
    for file in ["b.db", "a.db", "README.md", ".x.db", "C.DB", "a:b.db", ".sealane-1.tmp"] {
        fs::write(dir.path().join(file), "").unwrap();
    }
    let listing = store.list().unwrap();
    assert_eq!(listing.names, [name("a"), name("b")]);
    assert_eq!(listing.strangers, [".x.db", "C.DB", "a:b.db"]);
    DirectoryStore::open(dir.path()).unwrap();
    assert!(!dir.path().join(".sealane-1.tmp").exists());
    assert!(dir.path().join("a.db").exists());
}
