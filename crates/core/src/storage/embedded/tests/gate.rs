//! Who may do what, and where.

use super::*;
use crate::service::{Home, Operation, view_of};
use sealane_base::types::{Permission, Permissions, Pin};

const SETS: [&[Permission]; 8] = {
    use Permission::{List, Read, Write};
    [
        &[],
        &[Read],
        &[Write],
        &[List],
        &[Read, Write],
        &[Read, List],
        &[Write, List],
        &[Read, Write, List],
    ]
};

fn granted(fixture: &Fixture, permissions: &[Permission], root: &str, key: &str) -> Home {
    let grant = Grant {
        permissions: Permissions::of(permissions),
        root: path(root),
        key: Some(Pin::of_public_key(key.as_bytes())),
    };
    let owner = Username::parse("ahpu").unwrap();
    let store = fixture.store.open_home(&owner, &path("homes/ahpu"), 1000, view_of(&grant));
    Home::new(store.unwrap().finish().unwrap(), grant)
}

/// Does it to things that are there, so that only a missing permission can stop it.
fn attempt(home: &Home, operation: Operation) -> Result<(), StorageError> {
    match operation {
        Operation::DiscardPartial => match home.discard_partial("00") {
            Err(StorageError::NotFound) => Ok(()),
            outcome => outcome,
        },
        Operation::List => {
            let scanned = home.scan(&path("")).map(drop);
            scanned.and(home.list(&path(""), None, 9).map(drop))
        }
        Operation::MakeDirectory => home.make_directory(&path("made"), true),
        Operation::Partials => home.partials(None, 9).map(drop),
        Operation::Read => {
            let opened = home.source(&path("f")).map(drop);
            opened.and(home.sources(&[path("f")]).map(drop))
        }
        Operation::Receipt => home.source_for_receipt(&path("f")).map(drop),
        Operation::Remove => home.remove(&path("gone"), false),
        Operation::Rename => home.rename(&path("f"), &path("f"), true),
        Operation::SetMeta => home.set_meta(&path("f"), FileMeta::default()),
        Operation::Stat => home.stat(&path("f")).map(drop),
        Operation::Upload => {
            home.lock_upload(&path("up"))?;
            let (path, bytes, meta) = (path("up"), vec![1; 3], FileMeta::default());
            home.put_many(&[SmallFile { path, bytes, meta }])?.remove(0)
        }
        Operation::Usage => home.usage().map(drop),
    }
}

#[test]
fn each_operation_is_done_with_its_permission_and_only_with_it() {
    for permissions in SETS {
        for operation in Operation::ALL {
            for root in ["", "part"] {
                let fixture = Fixture::new(1000);
                let home = granted(&fixture, permissions, root, "k");
                for name in ["f", "gone"] {
                    fixture.put(&path(root).prefix(&path(name)).unwrap().to_string(), b"x");
                }
                let outcome = attempt(&home, *operation);
                let is_whole = root.is_empty() || *operation != Operation::Receipt;
                let may = permissions.contains(&operation.needs()) && is_whole;
                let done = match &outcome {
                    Ok(()) => true,
                    Err(StorageError::Forbidden) => false,
                    Err(error) => panic!("{operation:?}: {error}"),
                };
                assert_eq!(done, may, "{operation:?} with {permissions:?}");
            }
        }
    }
}

/// Begins an upload to `f`, which nothing else is written to.
fn begin(home: &Home, size: u64) -> Arc<dyn Upload> {
    let mut lock = home.lock_upload(&path("f")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(lock.acquired()).unwrap();
    lock.upload(Some(size), FileMeta::default()).unwrap()
}

#[test]
fn a_part_of_a_home_cannot_be_left() {
    let fixture = Fixture::new(1000);
    fixture.put("outside", b"secret");
    let home = granted(&fixture, &Permission::ALL, "a/part", "k");
    std::os::unix::fs::symlink("../../outside", fixture.disk("a/part/link")).unwrap();
    std::os::unix::fs::symlink("../..", fixture.disk("a/part/up")).unwrap();
    refused!(home.source(&path("outside")), StorageError::NotFound);
    refused!(home.source(&path("a/part/link")), StorageError::NotFound);
    refused!(home.source(&path("link")), StorageError::NotRegular);
    refused!(home.source(&path("up/outside")), StorageError::NotDirectory);
    refused!(home.remove(&path(""), true), StorageError::Root);
    refused!(home.rename(&path(""), &path("x"), false), StorageError::Root);
    let names: Vec<_> = home.list(&path(""), None, 9).unwrap().entries;
    assert_eq!(names.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["link", "up"]);
    // It is one home: one quota, and an upload to the same file from outside takes over.
    let inside = begin(&home, 400);
    assert_eq!(fixture.home.usage().unwrap().reserved, 400);
    refused!(fixture.sink("g", 600), StorageError::Quota { short: 6, .. });
    let outside = fixture.home.lock_upload(&path("a/part/f")).unwrap();
    refused!(outside.upload(Some(4), FileMeta::default()).map(drop), StorageError::InUse);
    assert!(inside.superseded().is_cancelled());
    drop(inside);
    // What is renamed away or replaced by a link is not followed.
    fixture.home.rename(&path("a/part"), &path("moved"), false).unwrap();
    refused!(home.stat(&path("link")), StorageError::NotFound);
    std::os::unix::fs::symlink("..", fixture.disk("a/part")).unwrap();
    refused!(home.stat(&path("outside")), StorageError::NotDirectory);
    let file = SmallFile { path: path("f"), bytes: Vec::new(), meta: FileMeta::default() };
    refused!(home.put_many(&[file]).unwrap().remove(0), StorageError::NotFound);
}

#[test]
fn partials_outside_of_the_part_are_nobodys_business() {
    let fixture = Fixture::new(1000);
    let home = granted(&fixture, &Permission::ALL, "part", "k");
    for name in ["top", "part/f"] {
        fixture.sink(name, 100).unwrap().write_at(0, b"x").unwrap();
    }
    let (all, _) = fixture.home.partials(None, 9).unwrap();
    let (mine, more) = home.partials(None, 1).unwrap();
    assert_eq!((all.len(), mine.len(), more), (2, 1, false));
    assert_eq!(mine[0].path, Some(path("f")));
    let other = all.iter().find(|partial| partial.path == Some(path("top"))).unwrap();
    refused!(home.discard_partial(&other.id), StorageError::NotFound);
    home.discard_partial(&mine[0].id).unwrap();
    fixture.home.discard_partial(&other.id).unwrap();
}

/// Whoever may not read must not learn digests through what an upload claims to hold.
#[test]
fn one_who_may_not_read_holds_what_the_same_key_sent_and_nothing_else() {
    let fixture = Fixture::new(1000);
    fixture.put("f", b"present version");
    let writer = granted(&fixture, &[Permission::Write, Permission::List], "", "one");
    let again = granted(&fixture, &[Permission::Write], "", "one");
    let other = granted(&fixture, &[Permission::Write], "", "two");
    let begin = |home: &Home| begin(home, 15);
    assert_eq!(fixture.sink("f", 15).unwrap().held(), 15);
    // Somebody who may read leaves the present version in the partial.
    {
        let sink = fixture.sink("f", 15).unwrap();
        sink.read_held(0, &mut [0; 15]).unwrap();
    }
    assert_eq!(fixture.partials().len(), 2);
    assert_eq!(begin(&writer).held(), 0);
    begin(&writer).write_at(0, b"own").unwrap();
    assert_eq!(begin(&again).held(), 3);
    assert_eq!(begin(&other).held(), 0);
    let listed = writer.partials(None, 9).unwrap().0;
    assert!(listed.iter().all(|partial| partial.path == Some(path("f"))), "{listed:?}");
    assert_eq!(listed.len(), 2);
    let sink = begin(&again);
    sink.write_at(0, b"what is new now").unwrap();
    sink.commit().unwrap();
    drop(sink);
    assert_eq!(fixture.read("f"), b"what is new now");
}
