//! Listing, making, moving and removing names.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;

use super::*;
use sealane_base::files::EntryKind;

#[test]
fn five_thousand_entries_come_in_order_a_page_at_a_time() {
    let fixture = Fixture::new(1 << 20);
    let mut expected: Vec<String> = (0..5000).map(|number| format!("{number}é")).collect();
    for name in &expected {
        std::fs::write(fixture.disk(name), b"x").unwrap();
    }
    std::fs::write(fixture.disk("line\nbreak"), b"").unwrap();
    std::fs::write(fixture.disk("").join(OsStr::from_bytes(b"\xff")), b"").unwrap();
    expected.sort();
    let mut seen: Vec<String> = Vec::new();
    loop {
        let after = seen.last().map(String::as_str);
        let page = fixture.home.list(&RemotePath::default(), after, 100).unwrap();
        assert_eq!((page.entries.len(), page.hidden), (100, 2));
        seen.extend(page.entries.into_iter().map(|entry| entry.name));
        if !page.more {
            break;
        }
    }
    assert_eq!(seen, expected);
    let page = fixture.home.list(&RemotePath::default(), Some("~"), 100).unwrap();
    assert!(page.entries.is_empty() && !page.more);
    let page = fixture.home.list(&RemotePath::default(), None, 0).unwrap();
    assert!(page.entries.is_empty() && page.more);
}

#[test]
fn all_of_a_directory_comes_in_one_pass() {
    let fixture = Fixture::new(1 << 20);
    for number in 0..2500 {
        std::fs::write(fixture.disk(&number.to_string()), b"x").unwrap();
    }
    std::fs::write(fixture.disk("line\nbreak"), b"").unwrap();
    let mut scan = fixture.home.scan(&RemotePath::default()).unwrap();
    let mut seen = Vec::new();
    loop {
        let page = scan.next_page(1000).unwrap();
        assert!(page.entries.len() <= 1000);
        let (more, hidden) = (page.more, page.hidden);
        seen.extend(page.entries.into_iter().map(|entry| entry.name));
        if !more {
            assert_eq!(hidden, 1);
            break;
        }
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 2500);
    assert!(scan.next_page(1000).unwrap().entries.is_empty());
    refused!(fixture.home.scan(&path("0")), StorageError::NotDirectory);
}

#[test]
fn stat_tells_size_mode_and_time() {
    let fixture = Fixture::new(100);
    let meta = FileMeta { modified: Some(1_600_000_000_123_456_789), mode: Some(0o6751) };
    put_small(&fixture.home, &path("f"), b"hello", meta).unwrap();
    let entry = fixture.home.stat(&path("f")).unwrap();
    assert_eq!((entry.name.as_str(), entry.kind, entry.size), ("f", EntryKind::File, 5));
    assert_eq!(entry.modified, 1_600_000_000_123_456_789);
    let mode = fixture.disk("f").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o751, "no set-id bit comes from a peer");
    assert_eq!(fixture.home.source(&path("f")).unwrap().meta().modified, meta.modified);
    assert_eq!(fixture.home.stat(&RemotePath::default()).unwrap().kind, EntryKind::Directory);
    let unreadable = FileMeta { modified: None, mode: Some(0) };
    put_small(&fixture.home, &path("g"), b"", unreadable).unwrap();
    assert_eq!(fixture.home.stat(&path("g")).unwrap().mode, 0o600, "the server can read it");
    fixture.put("f", b"again");
    assert_eq!(fixture.home.stat(&path("f")).unwrap().mode, 0o751, "a new version keeps it");
}

#[test]
fn time_and_mode_can_be_set_on_files_and_directories_and_nothing_else() {
    let fixture = Fixture::new(100);
    let home = &fixture.home;
    fixture.put("f", b"x");
    home.make_directory(&path("d"), false).unwrap();
    std::os::unix::fs::symlink("f", fixture.disk("link")).unwrap();
    let meta = FileMeta { modified: Some(-5), mode: Some(0o6040) };
    for (name, mode) in [("f", 0o640), ("d", 0o740)] {
        home.set_meta(&path(name), meta).unwrap();
        let entry = home.stat(&path(name)).unwrap();
        assert_eq!((entry.modified, entry.mode), (-5, mode), "the server can still reach it");
        home.set_meta(&path(name), FileMeta::default()).unwrap();
        assert_eq!(home.stat(&path(name)).unwrap(), entry);
    }
    refused!(home.set_meta(&path("link"), meta), StorageError::NotRegular);
    refused!(home.set_meta(&path("link/x"), meta), StorageError::NotDirectory);
    refused!(home.set_meta(&path("none"), meta), StorageError::NotFound);
    refused!(home.set_meta(&RemotePath::default(), meta), StorageError::Root);
}

#[test]
fn directories_are_made_one_by_one_or_with_parents() {
    let fixture = Fixture::new(100);
    let home = &fixture.home;
    refused!(home.make_directory(&path("a/b"), false), StorageError::NotFound);
    home.make_directory(&path("a/b/c"), true).unwrap();
    home.make_directory(&path("a/b/c"), true).unwrap();
    home.make_directory(&RemotePath::default(), true).unwrap();
    refused!(home.make_directory(&RemotePath::default(), false), StorageError::Exists);
    refused!(home.make_directory(&path("a"), false), StorageError::Exists);
    fixture.put("a/f", b"1");
    refused!(home.make_directory(&path("a/f"), true), StorageError::NotDirectory);
    refused!(home.make_directory(&path("a/f/g"), true), StorageError::NotDirectory);
}

#[test]
fn the_home_itself_is_no_file_and_stays() {
    let fixture = Fixture::new(100);
    let (home, root) = (&fixture.home, RemotePath::default());
    refused!(home.source(&root), StorageError::IsDirectory);
    refused!(put_small(home, &root, b"", FileMeta::default()), StorageError::IsDirectory);
    refused!(home.remove(&root, true), StorageError::Root);
    refused!(home.rename(&root, &path("a"), true), StorageError::Root);
    fixture.put("a", b"1");
    refused!(home.rename(&path("a"), &root, true), StorageError::Root);
}

#[test]
fn a_rename_replaces_only_what_it_was_told_to() {
    let fixture = Fixture::new(100);
    let home = &fixture.home;
    for name in ["a", "b"] {
        fixture.put(name, name.as_bytes());
    }
    home.make_directory(&path("d/e"), true).unwrap();
    home.make_directory(&path("empty"), false).unwrap();
    refused!(home.rename(&path("a"), &path("b"), false), StorageError::Exists);
    refused!(home.rename(&path("no"), &path("c"), false), StorageError::NotFound);
    refused!(home.rename(&path("a"), &path("no/c"), false), StorageError::NotFound);
    refused!(home.rename(&path("a"), &path("d"), true), StorageError::IsDirectory);
    refused!(home.rename(&path("d"), &path("a"), true), StorageError::NotDirectory);
    refused!(home.rename(&path("empty"), &path("d"), true), StorageError::NotEmpty);
    refused!(home.rename(&path("d"), &path("d/e/f"), false), StorageError::IntoItself);
    home.rename(&path("a"), &path("b"), true).unwrap();
    assert_eq!(fixture.read("b"), b"a");
    refused!(home.stat(&path("a")), StorageError::NotFound);
    home.rename(&path("d"), &path("empty"), true).unwrap();
    home.rename(&path("empty/e"), &path("empty/e"), true).unwrap();
    home.rename(&path("b"), &path("empty/e/b"), false).unwrap();
    assert_eq!(fixture.read("empty/e/b"), b"a");
    assert_eq!(home.usage().unwrap().used, 1);
}

#[test]
fn a_full_directory_is_removed_only_when_asked_for() {
    let fixture = Fixture::new(100);
    fixture.home.make_directory(&path("a/b"), true).unwrap();
    fixture.put("a/b/f", b"12345");
    refused!(fixture.home.remove(&path("a"), false), StorageError::NotEmpty);
    refused!(fixture.home.remove(&path("x"), true), StorageError::NotFound);
    fixture.home.remove(&path("a"), true).unwrap();
    assert_eq!(fixture.home.usage().unwrap().used, 0);
    assert_eq!(fixture.partials(), Vec::<String>::new());
}
