//! Uploads: whole or not at all, resumed from what is there, the newest first.

use std::time::SystemTime;

use super::*;
use crate::storage::Usage;

#[test]
fn the_old_version_stays_until_the_rename_and_for_who_has_it_open() {
    let fixture = Fixture::new(100);
    fixture.put("f", b"old");
    let reader = fixture.home.source(&path("f")).unwrap();
    let sink = fixture.sink("f", 5).unwrap();
    sink.write_at(0, b"newer").unwrap();
    assert_eq!(fixture.read("f"), b"old");
    sink.commit().unwrap();
    assert_eq!(fixture.read("f"), b"newer");
    let mut content = [0; 3];
    reader.read_at(0, &mut content).unwrap();
    assert_eq!(&content, b"old");
    reader.check_unchanged().unwrap();
}

#[test]
fn nothing_reaches_a_file_that_was_committed() {
    let fixture = Fixture::new(100);
    let sink = fixture.sink("f", 3).unwrap();
    sink.write_at(0, b"one").unwrap();
    sink.commit().unwrap();
    assert!(sink.write_at(0, b"two").is_err());
    assert!(sink.commit().is_err());
    sink.discard();
    drop(sink);
    assert_eq!(fixture.read("f"), b"one");
    assert_eq!(fixture.home.usage().unwrap().used, 3);
}

#[test]
fn an_interrupted_upload_is_kept_counted_and_resumed() {
    let fixture = Fixture::new(100);
    let sink = fixture.sink("f", 8).unwrap();
    sink.write_at(0, b"abcd").unwrap();
    assert!(fixture.home.list(&RemotePath::default(), None, 9).unwrap().entries.is_empty());
    drop(sink);
    assert_eq!(fixture.home.usage().unwrap(), Usage { used: 4, reserved: 0, limit: 100 });
    let fixture = fixture.restart(100);
    assert_eq!(fixture.home.usage().unwrap(), Usage { used: 4, reserved: 0, limit: 100 });
    assert_eq!(fixture.partials().len(), 2);

    let sink = fixture.sink("f", 8).unwrap();
    assert_eq!(sink.held(), 4);
    assert_eq!(fixture.home.usage().unwrap(), Usage { used: 0, reserved: 8, limit: 100 });
    let mut held = [0; 4];
    sink.read_held(0, &mut held).unwrap();
    assert_eq!(&held, b"abcd");
    sink.write_at(4, b"efgh").unwrap();
    sink.commit().unwrap();
    assert_eq!(fixture.read("f"), b"abcdefgh");
    assert_eq!(fixture.partials(), Vec::<String>::new());
    assert_eq!(fixture.home.usage().unwrap(), Usage { used: 8, reserved: 0, limit: 100 });
}

#[test]
fn a_shorter_upload_cuts_a_longer_partial() {
    let fixture = Fixture::new(100);
    fixture.sink("f", 80).unwrap().write_at(0, &[1; 80]).unwrap();
    assert_eq!(fixture.home.usage().unwrap().used, 80);
    let sink = fixture.sink("f", 10).unwrap();
    assert_eq!(sink.held(), 10);
    assert_eq!(fixture.home.usage().unwrap(), Usage { used: 0, reserved: 10, limit: 100 });
    sink.commit().unwrap();
    assert_eq!(fixture.read("f"), [1; 10]);
    fixture.sink("g", 80).unwrap().write_at(0, &[1; 80]).unwrap();
    fixture.put("g", b"small");
    assert_eq!(fixture.read("g"), b"small");
    assert_eq!(fixture.home.usage().unwrap().used, 15);
}

#[test]
fn the_present_version_is_held_and_becomes_part_of_the_new_one() {
    let fixture = Fixture::new(100);
    fixture.put("f", b"0123456789");
    let sink = fixture.sink("f", 12).unwrap();
    assert_eq!(sink.held(), 10);
    // Renamed meanwhile: the handle is what counts.
    fixture.home.rename(&path("f"), &path("g"), false).unwrap();
    let mut held = [0; 5];
    sink.read_held(0, &mut held).unwrap();
    assert_eq!(&held, b"01234");
    sink.write_at(1, b"x").unwrap();
    sink.read_held(5, &mut held).unwrap();
    sink.write_at(10, b"ab").unwrap();
    sink.commit().unwrap();
    assert_eq!(fixture.read("f"), b"0x23456789ab");
    assert_eq!(fixture.read("g"), b"0123456789");
}

#[test]
fn a_discarded_upload_leaves_nothing() {
    let fixture = Fixture::new(100);
    let sink = fixture.sink("f", 8).unwrap();
    sink.write_at(0, b"abcd").unwrap();
    sink.discard();
    assert_eq!(fixture.home.usage().unwrap(), Usage { used: 0, reserved: 0, limit: 100 });
    assert!(sink.write_at(0, b"x").is_err());
    drop(sink);
    assert_eq!(fixture.partials(), Vec::<String>::new());
    refused!(fixture.home.stat(&path("f")), StorageError::NotFound);
}

#[test]
fn what_is_in_the_way_is_told_before_anything_is_sent() {
    let fixture = Fixture::new(100);
    fixture.home.make_directory(&path("d"), false).unwrap();
    refused!(fixture.sink("d", 1), StorageError::IsDirectory);
    refused!(fixture.sink("no/f", 1), StorageError::NotFound);
    fixture.put("f", b"1");
    refused!(fixture.sink("f/g", 1), StorageError::NotDirectory);
    refused!(fixture.sink("g", 100), StorageError::Quota { short: 1, limit: 100 });
    let huge = Fixture::new(u64::MAX);
    refused!(huge.sink("f", u64::MAX / 2), StorageError::DiskFull { short: Some(_) });
    assert_eq!(huge.home.usage().unwrap().reserved, 0);
    assert_eq!(huge.partials(), Vec::<String>::new());
}

#[test]
fn a_directory_made_meanwhile_is_not_replaced() {
    let fixture = Fixture::new(100);
    let sink = fixture.sink("f", 3).unwrap();
    sink.write_at(0, b"abc").unwrap();
    fixture.home.make_directory(&path("f"), false).unwrap();
    refused!(sink.commit(), StorageError::IsDirectory);
    fixture.home.remove(&path("f"), false).unwrap();
    std::os::unix::fs::symlink("elsewhere", fixture.disk("f")).unwrap();
    refused!(sink.commit(), StorageError::NotRegular);
    drop(sink);
    assert_eq!(fixture.home.usage().unwrap(), Usage { used: 3, reserved: 0, limit: 100 });
}

#[test]
fn a_newer_upload_takes_over() {
    let fixture = Fixture::new(100);
    let old = fixture.sink("f", 90).unwrap();
    let other = fixture.sink("g", 10).unwrap();
    old.write_at(0, b"old").unwrap();
    let token = old.superseded();
    let impatient = fixture.home.lock_upload(&path("f")).unwrap();
    refused!(impatient.upload(Some(90), FileMeta::default()), StorageError::InUse);
    std::thread::scope(|scope| {
        let newer = scope.spawn(|| fixture.sink("f", 90).unwrap());
        while !token.is_cancelled() {
            std::thread::yield_now();
        }
        refused!(old.write_at(3, b"x"), StorageError::Superseded);
        refused!(old.read_held(0, &mut []), StorageError::Superseded);
        refused!(old.commit(), StorageError::Superseded);
        drop(old);
        let newer = newer.join().unwrap();
        assert_eq!(newer.held(), 3);
        newer.write_at(3, &[b'n'; 87]).unwrap();
        newer.commit().unwrap();
    });
    other.write_at(0, b"still here").unwrap();
    other.commit().unwrap();
    assert_eq!(fixture.home.usage().unwrap().used, 100);
    assert!(fixture.read("f").starts_with(b"oldnnn"));
}

#[test]
fn a_small_file_takes_over_too() {
    let fixture = Fixture::new(100);
    let old = fixture.sink("f", 5).unwrap();
    std::thread::scope(|scope| {
        let newer = scope.spawn(|| fixture.put("f", b"small"));
        let token = old.superseded();
        while !token.is_cancelled() {
            std::thread::yield_now();
        }
        refused!(old.commit(), StorageError::Superseded);
        drop(old);
        newer.join().unwrap();
    });
    assert_eq!(fixture.read("f"), b"small");
}

#[test]
fn old_partials_are_swept_unless_something_is_being_uploaded() {
    let fixture = Fixture::new(100);
    fixture.sink("f", 8).unwrap().write_at(0, b"abcd").unwrap();
    let later = SystemTime::now() + Duration::from_secs(60);
    let busy = fixture.sink("g", 1).unwrap();
    assert_eq!(fixture.store.sweep_partials(later).unwrap(), 0);
    drop(busy);
    assert_eq!(fixture.store.sweep_partials(SystemTime::UNIX_EPOCH).unwrap(), 0);
    assert_eq!(fixture.home.usage().unwrap().used, 4);
    assert_eq!(fixture.store.sweep_partials(later).unwrap(), 1);
    assert_eq!(fixture.home.usage().unwrap().used, 0);
    assert_eq!(fixture.partials(), Vec::<String>::new());

    fixture.sink("f", 8).unwrap().write_at(0, b"abcd").unwrap();
    let Fixture { store, home, data } = fixture;
    drop(home);
    assert_eq!(store.sweep_partials(later).unwrap(), 1);
    drop(store);
    assert_eq!(Fixture::within(data, 100).home.usage().unwrap().used, 0);
}

#[test]
fn a_full_disk_is_told_as_such_and_keeps_the_partial() {
    let data = tempfile::tempdir().unwrap();
    let mounted = rustix::process::geteuid().is_root()
        && std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
            .arg(data.path())
            .status()
            .is_ok_and(|status| status.success());
    if !mounted {
        println!("skipped: mounting a small tmpfs needs root");
        return;
    }
    let mount = data.path().to_owned();
    let fixture = Fixture::within(data, 1 << 30);
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        refused!(fixture.sink("f", 2 << 20), StorageError::DiskFull { short: Some(_) });
        let sink = fixture.sink("f", 700 << 10).unwrap();
        std::fs::write(mount.join("filler"), vec![1; 700 << 10]).unwrap();
        let content = vec![2; 600 << 10];
        refused!(sink.write_at(0, &content), StorageError::DiskFull { short: None });
        drop(sink);
        let usage = fixture.home.usage().unwrap();
        assert!(usage.used > 0 && usage.reserved == 0);
        std::fs::remove_file(mount.join("filler")).unwrap();
        let sink = fixture.sink("f", 600 << 10).unwrap();
        assert_eq!(sink.held(), usage.used);
        sink.write_at(0, &content).unwrap();
        sink.commit().unwrap();
        assert_eq!(fixture.home.usage().unwrap().used, 600 << 10);
    }));
    let Fixture { store, home, data } = fixture;
    drop((home, store));
    let _ = std::process::Command::new("umount").arg("-l").arg(data.path()).status();
    outcome.unwrap();
}

#[test]
fn the_note_of_the_longest_path_is_read_back() {
    let fixture = Fixture::new(100);
    // Characters that take most room when they are written down.
    let name = "\"".repeat(255);
    let longest = [name.as_str(); 16].join("/");
    let above = [name.as_str(); 15].join("/");
    fixture.home.make_directory(&path(&above), true).unwrap();
    let sink = fixture.sink(&longest, 50).unwrap();
    sink.write_at(0, b"half").unwrap();
    drop(sink);
    let (partials, _) = fixture.home.partials(None, 9).unwrap();
    let known: Vec<_> = partials.iter().map(|partial| (&partial.path, partial.size)).collect();
    assert_eq!(known, [(&Some(path(&longest)), 50)]);
}
