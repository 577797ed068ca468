//! Folders with everything in them that an old server may have left.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::*;
use crate::accounts::{AccountManager, AccountStore, DirectoryStore, HashCost, HomeMap};
use sealane_base::types::Username;

const CHEAP: HashCost = HashCost { memory_kib: 8, iterations: 1, parallelism: 1 };
const MD5: &str = "96e79218965eb72c92a549dd5a330112";

fn manager(directory: &Path) -> AccountManager {
    let store: Arc<dyn AccountStore> = Arc::new(DirectoryStore::open(directory).unwrap());
    let homes = HomeMap::new([(r"D:\FTP\home", "homes"), (r"\\nas\ftp", "homes/nas")]).unwrap();
    AccountManager::new(store, CHEAP, homes).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "tests lay out the records that are read")]
fn put(folder: &Path, file: &str, bytes: impl AsRef<[u8]>) {
    fs::write(folder.join(file), bytes).unwrap();
}

#[expect(clippy::disallowed_methods, reason = "tests look at what was written")]
fn read(folder: &Path, file: &str) -> String {
    fs::read_to_string(folder.join(file)).unwrap()
}

fn record(name: &str, password: &str, limit: &str, home: &str) -> String {
    let home = home.replace('\\', "\\\\");
    format!(
        r#"{{"username": "{name}", "password": "{password}", "limitsize": {limit}, "homepath": "{home}"}}"#
    )
}

fn good(name: &str) -> String {
    record(name, MD5, "10240000", &format!(r"D:\FTP\home\{name}"))
}

fn verdict_of<'a>(entries: &'a [ImportEntry], file: &str) -> &'a ImportVerdict {
    &entries.iter().find(|entry| entry.file == file).unwrap_or_else(|| panic!("{file}")).verdict
}

#[test]
fn good_records_come_in_however_they_are_written() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    put(old.path(), "plain.db", good("plain"));
    put(old.path(), "UPPER.DB", good("UPPER").replace(MD5, &MD5.to_uppercase()));
    put(old.path(), "bom.db", format!("\u{feff}{}", good("bom")));
    put(old.path(), "nas.db", record("nas", MD5, "1", r"\\NAS\ftp\nas"));
    put(old.path(), "slash.db", record("slash", MD5, "1", "d:/ftp/HOME/slash"));
    let (gbk, _, _) = encoding_rs::GBK.encode(r#"{"username": "zhang", "password": "96e79218965eb72c92a549dd5a330112", "limitsize": 5, "homepath": "D:\\FTP\\home\\张三", "备注": "乗"}"#);
    put(old.path(), "zhang.db", gbk);
    put(old.path(), "readme.txt", "no record");
    let manager = manager(new.path());
    for entry in manager.plan_import(old.path(), false).unwrap() {
        assert!(matches!(entry.verdict, ImportVerdict::Ready { .. }), "{entry:?}");
        assert!(manager.bring_in(&entry).unwrap());
    }
    let names: Vec<_> = manager.list().unwrap().into_iter().map(|account| account.name).collect();
    assert_eq!(names, ["UPPER", "bom", "nas", "plain", "slash", "zhang"]);
    let zhang = manager.show(&Username::parse("zhang").unwrap()).unwrap();
    assert_eq!(zhang.home.unwrap().as_str(), "homes/张三");
    assert!(read(new.path(), "zhang.db").contains(r#""备注":"乗""#));
    assert!(read(new.path(), "bom.db").starts_with('{'));

    // Again: nothing is changed, also not what changed since.
    manager.set_disabled(&Username::parse("plain").unwrap(), true).unwrap();
    for entry in manager.plan_import(old.path(), false).unwrap() {
        assert_eq!(entry.verdict, ImportVerdict::Present);
        assert!(!manager.bring_in(&entry).unwrap());
    }
    assert!(manager.show(&Username::parse("plain").unwrap()).unwrap().disabled);
}

#[test]
fn what_is_not_plainly_good_stays_out_with_a_reason() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let place = old.path();
    let mut long = good("large").into_bytes();
    long.resize(64 * 1024 + 1, b' ');
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        (
            "short.db",
            record("short", "7A57A5A743894A0E", "1", "D:\\FTP\\home\\short").into(),
            "32 hex",
        ),
        ("nothex.db", record("nothex", &"g".repeat(32), "1", "D:\\FTP\\home\\n").into(), "32 hex"),
        ("void.db", record("void", "d41d8cd98f00b204e9800998ecf8427e", "1", "x").into(), "empty"),
        ("zero.db", record("zero", MD5, "0", "D:\\FTP\\home\\zero").into(), "0 or negative"),
        ("minus.db", record("minus", MD5, "-1", "D:\\FTP\\home\\minus").into(), "0 or negative"),
        ("text.db", record("text", MD5, "\"10M\"", "D:\\FTP\\home\\t").into(), "whole number"),
        ("float.db", record("float", MD5, "1.5", "D:\\FTP\\home\\f").into(), "whole number"),
        ("norule.db", record("norule", MD5, "1", "E:\\x").into(), "no home_map rule"),
        ("relative.db", record("relative", MD5, "1", "D:relative").into(), "current directory"),
        ("up.db", record("up", MD5, "1", "D:\\FTP\\home\\..\\up").into(), "homepath"),
        ("stream.db", record("stream", MD5, "1", "D:\\FTP\\home\\a:b").into(), "colon"),
        ("device.db", record("device", MD5, "1", "D:\\FTP\\home\\nul").into(), "device"),
        ("other.db", good("somebody").into(), "does not match"),
        ("twice.db", br#"{"username":"twice","username":"twice"}"#.to_vec(), "twice"),
        ("garbage.db", vec![0x80, 0xff, 0xff], "neither UTF-8 nor GBK"),
        ("wide.db", b"\xff\xfe{\0}\0".to_vec(), "UTF-16"),
        ("empty.db", Vec::new(), "empty"),
        ("large.db", long, "larger than 65536 bytes"),
        ("a:b.db", good("a:b").into(), "file name"),
    ];
    for (file, bytes, _) in &cases {
        put(place, file, bytes);
    }
    mknodat(CWD, place.join("fifo.db"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    std::os::unix::fs::symlink(place.join("zero.db"), place.join("link.db")).unwrap();
    put(place, "twin.db", good("twin"));
    put(place, "twin.DB", good("twin"));
    let entries = manager(new.path()).plan_import(place, true).unwrap();
    let more = [
        ("fifo.db", "not a regular file"),
        ("link.db", "not a regular file"),
        ("twin.db", "two files"),
        ("twin.DB", "two files"),
    ];
    assert_eq!(entries.len(), cases.len() + more.len());
    for (file, words) in cases.iter().map(|(file, _, words)| (*file, *words)).chain(more) {
        match verdict_of(&entries, file) {
            ImportVerdict::Refused(reason) => {
                assert!(reason.contains(words), "{file}: {reason}");
                assert!(!reason.contains(MD5));
            }
            other => panic!("{file}: {other:?}"),
        }
    }
}

#[test]
fn homes_that_overlap_stay_out_unless_allowed() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let homes = [("a", r"x\y"), ("b", r"X\Y"), ("c", r"x\y\z"), ("d", r"x\yy"), ("e", "taken\\in")];
    for (name, home) in homes {
        put(
            old.path(),
            &format!("{name}.db"),
            record(name, MD5, "1", &format!(r"D:\FTP\home\{home}")),
        );
    }
    put(new.path(), "before.db", record("before", MD5, "1", "homes/taken"));
    let manager = manager(new.path());
    let entries = manager.plan_import(old.path(), false).unwrap();
    for name in ["a", "b", "c", "e"] {
        let verdict = verdict_of(&entries, &format!("{name}.db"));
        assert!(
            matches!(verdict, ImportVerdict::Refused(text) if text.contains("inside or around"))
        );
    }
    assert!(matches!(verdict_of(&entries, "d.db"), ImportVerdict::Ready { .. }));
    for entry in manager.plan_import(old.path(), true).unwrap() {
        let ImportVerdict::Ready { shares_with, .. } = &entry.verdict else { panic!("{entry:?}") };
        assert_eq!(shares_with.is_none(), entry.file == "d.db", "{entry:?}");
    }
}

#[test]
fn the_report_finds_what_is_weak_and_odd_and_quotes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let manager = manager(dir.path());
    let hex = |text: &str| -> String {
        crate::accounts::password::md5_of(text).iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let native = crate::accounts::Hasher::new(CHEAP).unwrap().hash("x").unwrap();
    let home = |name: &str| format!("homes/{name}");
    for (name, password) in [
        ("common", hex("123456")),
        ("same1", hex("shared by two")),
        ("same2", hex("shared by two").to_uppercase()),
        ("Own", hex("own")),
        ("own", hex("own")),
        ("void", hex("")),
        ("native", native),
        ("bad", "nonsense".into()),
    ] {
        put(dir.path(), &format!("{name}.db"), record(name, &password, "1", &home(name)));
    }
    put(dir.path(), "odd.db", record("odd", &hex("odd one"), "0", "homes/same1/inside"));
    put(dir.path(), "broken.db", "{");
    let last = good("seen").replace('}', r#", "last_login": "2026-01-02"}"#);
    put(dir.path(), "seen.db", last.replace(MD5, &hex("seen here")));
    let report = manager.report(None).unwrap();
    assert_eq!(
        report.counts(),
        StateCounts { argon2id: 1, weak: 0, wrapped: 0, md5: 7, unusable: 3 }
    );
    assert_eq!(report.same_password, [["Own", "own"], ["same1", "same2"]]);
    assert_eq!(report.empty_password, ["void"]);
    assert_eq!(report.name_as_password, ["Own", "own"]);
    assert_eq!(report.common_password, ["common"]);
    assert_eq!(report.case_collisions, [["Own", "own"]]);
    assert_eq!(report.quota_oddities.len(), 1);
    let shared = |a: &str, b: &str| report.shared_homes.contains(&(a.into(), b.into()));
    assert!(shared("Own", "own") && shared("same1", "odd"), "{:?}", report.shared_homes);
    let seen = report.accounts.iter().find(|account| account.name == "seen").unwrap();
    assert_eq!(seen.last_login.as_deref(), Some("2026-01-02"));
    let text = format!("{report:?}");
    assert!(!text.contains(&hex("123456")) && !text.contains("$argon2"));
    // The same folder, looked at as an old one.
    let old = manager.report(Some(dir.path())).unwrap();
    assert_eq!((old.counts(), old.same_password), (report.counts(), report.same_password));
}
