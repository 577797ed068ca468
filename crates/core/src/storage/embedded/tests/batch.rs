//! Many small files at once: each stored whole or refused for itself, the ledger exact.

use std::os::unix::fs::symlink;

use super::*;
use sealane_base::files::Tree;

fn files(names: &[(&str, &[u8])]) -> Vec<SmallFile> {
    let file = |&(name, bytes): &(&str, &[u8])| SmallFile {
        path: path(name),
        bytes: bytes.to_vec(),
        meta: FileMeta { modified: Some(5), mode: Some(0o640) },
    };
    names.iter().map(file).collect()
}

#[test]
fn what_fails_in_a_batch_fails_alone() {
    let fixture = Fixture::new(40);
    fixture.home.make_directory(&path("d/x"), true).unwrap();
    fixture.put("old", b"123456789");
    let batch = files(&[
        ("d/a", b"first"),
        ("d/x", b"a directory has the name"),
        ("none/f", b"no directory"),
        ("old", b"new"),
        ("huge", &[0; 100]),
        ("", b"home"),
        ("d/b", b""),
        ("e", b"last"),
    ]);
    let results = fixture.home.put_many(&batch);
    let results: Vec<_> = results.iter().collect();
    assert!(
        matches!(
            results[..],
            [
                Ok(()),
                Err(StorageError::IsDirectory),
                Err(StorageError::NotFound),
                Ok(()),
                Err(StorageError::Quota { .. }),
                Err(StorageError::IsDirectory),
                Ok(()),
                Ok(()),
            ]
        ),
        "{results:?}"
    );
    for (name, content) in [("d/a", "first"), ("old", "new"), ("d/b", ""), ("e", "last")] {
        assert_eq!(fixture.read(name), content.as_bytes(), "{name}");
        let entry = fixture.home.stat(&path(name)).unwrap();
        assert_eq!((entry.modified, entry.mode), (5, 0o640), "{name}");
    }
    assert_eq!(fixture.partials(), Vec::<String>::new());
    let usage = fixture.home.usage().unwrap();
    assert_eq!((usage.used, usage.reserved), (12, 0));
}

#[test]
fn the_last_of_one_name_wins_and_nothing_waits_for_itself() {
    let fixture = Fixture::new(100);
    let results = fixture.home.put_many(&files(&[("f", b"1"), ("g", b"2"), ("f", b"3")]));
    // The first has been told to stop, the last is stored once it has.
    let (superseded, in_use) = (StorageError::Superseded, StorageError::InUse);
    assert_eq!(format!("{results:?}"), format!("{:?}", [Err(superseded), Ok(()), Err(in_use)]));
    fixture.put("f", b"3");
    assert_eq!(fixture.read("f"), b"3");
    assert_eq!(
        (fixture.home.usage().unwrap().used, fixture.home.usage().unwrap().reserved),
        (2, 0)
    );
    assert_eq!(fixture.partials(), Vec::<String>::new());
}

#[test]
fn an_upload_under_way_is_told_to_stop_and_not_waited_for() {
    let fixture = Fixture::new(100);
    let older = fixture.sink("f", 50).unwrap();
    let results = fixture.home.put_many(&files(&[("f", b"new"), ("g", b"2")]));
    assert!(matches!(results[..], [Err(StorageError::InUse), Ok(())]), "{results:?}");
    assert!(older.superseded().is_cancelled());
    drop(older);
    fixture.put("f", b"new");
    assert_eq!(fixture.read("f"), b"new");
    assert_eq!(
        (fixture.home.usage().unwrap().used, fixture.home.usage().unwrap().reserved),
        (4, 0)
    );
}

#[test]
fn two_batches_with_the_same_names_crosswise_both_end() {
    let fixture = Fixture::new(1000);
    std::thread::scope(|scope| {
        for turn in 0..4 {
            let home = &fixture.home;
            scope.spawn(move || {
                let mut batch = files(&[("a", b"1"), ("b", b"2"), ("c", b"3"), ("d", b"4")]);
                if turn % 2 == 0 {
                    batch.reverse();
                }
                for _ in 0..50 {
                    for result in home.put_many(&batch) {
                        assert!(matches!(
                            result,
                            Ok(()) | Err(StorageError::Superseded | StorageError::InUse)
                        ));
                    }
                }
            });
        }
    });
    assert_eq!(
        (fixture.home.usage().unwrap().used, fixture.home.usage().unwrap().reserved),
        (4, 0)
    );
    assert_eq!(fixture.partials(), Vec::<String>::new());
}

#[test]
fn a_batch_of_downloads_follows_no_link() {
    let directory = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    symlink(outside.path(), directory.path().join("way")).unwrap();
    symlink(outside.path().join("new"), directory.path().join("link")).unwrap();
    let tree = Tree::open(directory.path()).unwrap();
    let batch = files(&[
        ("way/f", b"x"),
        ("link", b"x"),
        ("good", b"x"),
        (".sealane-0.part", b"x"),
        ("also good", b"y"),
    ]);
    let results = tree.put_many(&batch, true);
    assert!(
        matches!(
            results[..],
            [
                Err(StorageError::NotDirectory | StorageError::NotRegular),
                Err(StorageError::NotRegular),
                Ok(()),
                Err(StorageError::Reserved),
                Ok(()),
            ]
        ),
        "{results:?}"
    );
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    let walked = tree.walk(&|_, _| false);
    let names: Vec<_> = walked.entries.iter().map(|entry| entry.path.as_str()).collect();
    assert_eq!(names, ["also good", "good", "link", "way"]);
    assert_eq!((walked.entries[1].modified, walked.entries[1].mode), (5, 0o640));
}
