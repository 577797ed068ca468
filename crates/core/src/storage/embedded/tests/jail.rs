//! No way out of a home, by any call, at any component, at any moment.

use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::*;
use sealane_base::files::EntryKind;

/// A home with a file, and links that lead out of it as a directory and as a file.
fn with_links() -> (Fixture, TempDir) {
    let outside = tempfile::tempdir().unwrap();
    std::fs::create_dir(outside.path().join("inner")).unwrap();
    std::fs::write(outside.path().join("secret"), b"secret").unwrap();
    let fixture = Fixture::new(1 << 20);
    fixture.put("mine", b"mine");
    symlink(outside.path(), fixture.disk("out")).unwrap();
    symlink(outside.path().join("secret"), fixture.disk("file")).unwrap();
    (fixture, outside)
}

fn untouched(outside: &TempDir) {
    let mut names: Vec<_> = std::fs::read_dir(outside.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["inner", "secret"]);
    assert_eq!(std::fs::read(outside.path().join("secret")).unwrap(), b"secret");
    assert_eq!(std::fs::read_dir(outside.path().join("inner")).unwrap().count(), 0);
}

#[test]
fn a_link_at_the_end_is_seen_and_removed_but_never_followed() {
    let (fixture, outside) = with_links();
    let home = &fixture.home;
    refused!(home.source(&path("file")), StorageError::NotRegular);
    refused!(fixture.sink("file", 3), StorageError::NotRegular);
    refused!(put_small(home, &path("file"), b"x", FileMeta::default()), StorageError::NotRegular);
    refused!(home.list(&path("out"), None, 9), StorageError::NotDirectory);
    refused!(home.make_directory(&path("out"), false), StorageError::Exists);
    refused!(home.make_directory(&path("out"), true), StorageError::NotDirectory);
    refused!(home.rename(&path("mine"), &path("file"), true), StorageError::NotRegular);
    let stat = home.stat(&path("file")).unwrap();
    assert_eq!((stat.kind, stat.size), (EntryKind::Symlink, 0));
    let page = home.list(&RemotePath::default(), None, 9).unwrap();
    let kinds: Vec<_> = page.entries.iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds, [EntryKind::Symlink, EntryKind::File, EntryKind::Symlink]);
    home.rename(&path("file"), &path("moved"), false).unwrap();
    home.remove(&path("moved"), false).unwrap();
    home.remove(&path("out"), true).unwrap();
    assert_eq!(home.list(&RemotePath::default(), None, 9).unwrap().entries.len(), 1);
    untouched(&outside);
}

#[test]
fn a_link_in_the_middle_is_refused_by_every_call() {
    let (fixture, outside) = with_links();
    let home = &fixture.home;
    refused!(home.source(&path("out/secret")), StorageError::NotDirectory);
    refused!(fixture.sink("out/secret", 3), StorageError::NotDirectory);
    refused!(fixture.sink("out/new", 3), StorageError::NotDirectory);
    refused!(home.stat(&path("out/secret")), StorageError::NotDirectory);
    refused!(home.list(&path("out/inner"), None, 9), StorageError::NotDirectory);
    for parents in [false, true] {
        let made = home.make_directory(&path("out/inner/new"), parents);
        refused!(made, StorageError::NotDirectory);
    }
    for recursive in [false, true] {
        refused!(home.remove(&path("out/inner"), recursive), StorageError::NotDirectory);
    }
    refused!(home.rename(&path("out/secret"), &path("x"), true), StorageError::NotDirectory);
    refused!(home.rename(&path("mine"), &path("out/secret"), true), StorageError::NotDirectory);
    untouched(&outside);
}

#[test]
fn removing_a_tree_removes_the_links_in_it_only() {
    let (fixture, outside) = with_links();
    let home = &fixture.home;
    home.make_directory(&path("a/b"), true).unwrap();
    symlink(outside.path(), fixture.disk("a/b/out")).unwrap();
    symlink(outside.path(), fixture.disk("a/out")).unwrap();
    home.remove(&path("a"), true).unwrap();
    refused!(home.stat(&path("a")), StorageError::NotFound);
    assert_eq!(fixture.partials(), Vec::<String>::new());
    untouched(&outside);
}

#[test]
fn a_home_that_is_a_link_is_not_opened() {
    let outside = tempfile::tempdir().unwrap();
    let fixture = Fixture::new(100);
    symlink(outside.path(), fixture.data.path().join("homes/eve")).unwrap();
    refused!(open(&fixture.store, "eve", "homes/eve", 1), StorageError::NotDirectory);
    refused!(open(&fixture.store, "eve", "homes/eve/x", 1), StorageError::NotDirectory);
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn what_blocks_is_never_opened() {
    let fixture = Fixture::new(100);
    make_fifo(&fixture.disk("fifo"));
    let _socket = std::os::unix::net::UnixListener::bind(fixture.disk("socket")).unwrap();
    let (answer, answers) = std::sync::mpsc::channel();
    let home = Arc::clone(&fixture.home);
    std::thread::spawn(move || answer.send(home.source(&path("fifo")).map(drop)));
    let answer =
        answers.recv_timeout(Duration::from_secs(20)).expect("the open waits for the other end");
    refused!(answer, StorageError::NotRegular);
    for name in ["fifo", "socket"] {
        assert_eq!(fixture.home.stat(&path(name)).unwrap().kind, EntryKind::Special);
        refused!(fixture.home.source(&path(name)), StorageError::NotRegular);
        refused!(fixture.sink(name, 1), StorageError::NotRegular);
        refused!(fixture.home.list(&path(name), None, 1), StorageError::NotDirectory);
    }
    fixture.home.remove(&path("fifo"), false).unwrap();
}

/// Ends the other thread also when an assertion fails.
struct StopWhenDropped<'flag>(&'flag AtomicBool);

impl Drop for StopWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_link_swapped_in_at_the_right_moment_leads_nowhere() {
    const ROUNDS: usize = 4000;
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("f"), b"secret").unwrap();
    let fixture = Fixture::new(1 << 20);
    fixture.home.make_directory(&path("d"), false).unwrap();
    fixture.put("d/f", b"inside");
    symlink(outside.path(), fixture.disk("link")).unwrap();
    let stop = AtomicBool::new(false);
    let mut reached = 0;
    std::thread::scope(|scope| {
        let _stop = StopWhenDropped(&stop);
        scope.spawn(|| {
            let (directory, link) = (fixture.disk("d"), fixture.disk("link"));
            while !stop.load(Ordering::Relaxed) {
                renameat_with(CWD, &directory, CWD, &link, RenameFlags::EXCHANGE).unwrap();
            }
        });
        for round in 0..ROUNDS {
            if let Ok(source) = fixture.home.source(&path("d/f")) {
                let mut content = [0; 6];
                source.read_at(0, &mut content).unwrap();
                assert_eq!(&content, b"inside");
                reached += 1;
            }
            if let Ok(page) = fixture.home.list(&path("d"), None, 2) {
                assert!(page.entries.iter().all(|entry| !entry.name.starts_with("secret")));
            }
            let name = path(&format!("d/{round}"));
            let _ = fixture.home.make_directory(&name, false);
            let _ = fixture.home.rename(&name, &path("d/other"), true);
            let _ = fixture.home.remove(&name, true);
            if let Ok(sink) = fixture.sink("d/upload", 1) {
                let _ = sink.write_at(0, b"x").and_then(|()| sink.commit());
            }
        }
    });
    assert!(reached > 0);
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
    assert_eq!(std::fs::read(outside.path().join("f")).unwrap(), b"secret");
}
