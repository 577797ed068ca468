//! Where there is no room: what needs none, what counts, what is refused.

use super::*;
use crate::storage::Caps;

/// A home with one file and room for 10 bytes more.
fn full(size: usize) -> (Fixture, Vec<u8>) {
    let fixture = Fixture::new(size as u64 + 10);
    let bytes: Vec<u8> = (0..size).map(|number| (number % 251) as u8).collect();
    let sink = fixture.sink("f", size as u64).unwrap();
    sink.write_at(0, &bytes).unwrap();
    sink.commit().unwrap();
    (fixture, bytes)
}

fn read_all(sink: &Arc<dyn Upload>) -> Vec<u8> {
    let mut held = vec![0; usize::try_from(sink.held()).unwrap()];
    sink.read_held(0, &mut held).unwrap();
    held
}

#[test]
fn what_is_there_already_needs_no_room() {
    let (fixture, bytes) = full(5000);
    let size = bytes.len() as u64;
    let before = fixture.home.usage().unwrap();
    let meta = FileMeta { modified: Some(5_000_000_000), mode: Some(0o640) };
    let sink = begin_upload(&*fixture.home, &path("f"), Some(size), meta).unwrap();
    assert_eq!(read_all(&sink), bytes);
    assert_eq!(fixture.home.usage().unwrap(), before);
    sink.commit().unwrap();
    drop(sink);
    assert_eq!(fixture.home.usage().unwrap(), before);
    assert_eq!(fixture.read("f"), bytes);
    let entry = fixture.home.stat(&path("f")).unwrap();
    assert_eq!((entry.modified, entry.mode), (5_000_000_000, 0o640));
    assert_eq!(fixture.partials(), Vec::<String>::new());
    // In one message as well, also when the limit was lowered below what is there.
    drop(open(&fixture.store, "ahpu", "homes/ahpu", 10).unwrap());
    put_small(&fixture.home, &path("f"), &bytes, meta).unwrap();
    let other = put_small(&fixture.home, &path("f"), &bytes[1..], meta);
    refused!(other, StorageError::Quota { .. });
    let sink = fixture.sink("f", size).unwrap();
    sink.commit().unwrap();
}

#[test]
fn what_is_not_there_is_refused_once_it_comes_and_the_old_version_stays() {
    let (fixture, bytes) = full(5000);
    let size = bytes.len() as u64;
    let before = fixture.home.usage().unwrap();
    for (size, write) in [(size, true), (size + 1, true), (size - 1, false), (10, true)] {
        let sink = fixture.sink("f", size).unwrap();
        assert_eq!(read_all(&sink), bytes[..sink.held() as usize]);
        let fits = size == 10;
        let outcome = if write { sink.write_at(size - 1, b"x") } else { sink.commit() };
        match fits {
            true => outcome.unwrap(),
            false => refused!(outcome, StorageError::Quota { .. }),
        }
        drop(sink);
        let usage = fixture.home.usage().unwrap();
        assert!(usage.used + usage.reserved <= usage.limit, "{usage:?}");
        assert_eq!(fixture.read("f"), bytes);
        for part in fixture.partials() {
            let _ = std::fs::remove_file(fixture.data.path().join("partials/ahpu").join(part));
        }
        let _ = fixture.store.audit(&Username::parse("ahpu").unwrap(), true).unwrap();
    }
    assert_eq!(fixture.home.usage().unwrap(), before);
}

#[test]
fn with_room_again_the_copy_is_made_when_something_differs() {
    let (fixture, mut bytes) = full(3 << 20);
    let size = bytes.len() as u64;
    let sink = fixture.sink("f", size).unwrap();
    assert_eq!(read_all(&sink), bytes);
    drop(open(&fixture.store, "ahpu", "homes/ahpu", size * 2).unwrap());
    sink.write_at(1 << 20, &[9; 7]).unwrap();
    bytes[1 << 20..][..7].fill(9);
    assert_eq!(read_all(&sink), bytes);
    sink.commit().unwrap();
    drop(sink);
    assert_eq!(fixture.read("f"), bytes);
    assert_eq!(fixture.home.usage().unwrap().used, size);
}

#[test]
fn a_present_version_that_was_changed_is_not_taken_for_what_was_announced() {
    let (fixture, bytes) = full(5000);
    let size = bytes.len() as u64;
    let sink = fixture.sink("f", size).unwrap();
    read_all(&sink);
    std::fs::write(fixture.disk("f"), vec![1; 5000]).unwrap();
    refused!(sink.commit(), StorageError::Changed);
}

#[test]
fn what_is_read_counts_until_nobody_reads_it() {
    let fixture = Fixture::new(100);
    fixture.put("f", &[1; 60]);
    let (one, two) = (fixture.home.source(&path("f")), fixture.home.source(&path("f")));
    fixture.home.remove(&path("f"), false).unwrap();
    let audit = fixture.store.audit(&Username::parse("ahpu").unwrap(), true).unwrap().unwrap();
    assert_eq!((audit.drift(), audit.trash), (0, 60));
    refused!(fixture.sink("g", 60), StorageError::Quota { .. });
    drop(one);
    refused!(fixture.sink("g", 60), StorageError::Quota { .. });
    drop(two);
    assert_eq!(fixture.home.usage().unwrap().used, 0);
    fixture.put("g", &[2; 60]);
}

/// What OPERATIONS.md says: lengths count, names are bounded, and each takes little besides.
#[test]
fn tiny_files_take_no_more_than_is_written_down() {
    use std::os::unix::fs::MetadataExt;
    const NAMES: u64 = 500;
    const EACH: u64 = 8 << 10;
    let data = tempfile::tempdir().unwrap();
    let caps = Caps { files: NAMES, ..Caps::default() };
    let store = EmbeddedStore::open_with(data.path(), caps).unwrap();
    let home = open(&store, "ahpu", "homes/ahpu", 1 << 20).unwrap();
    let mut names = 0;
    loop {
        let directory = path(&format!("d{names}"));
        let made = home.make_directory(&directory, false).and_then(|()| {
            names += 1;
            put_small(&home, &directory.join("f").unwrap(), b"x", FileMeta::default())
        });
        match made {
            Ok(()) => names += 1,
            Err(error) => break assert!(matches!(error, StorageError::TooManyFiles { .. })),
        }
    }
    assert_eq!(names, NAMES);
    let (mut blocks, mut ahead) = (0, vec![data.path().to_owned()]);
    while let Some(here) = ahead.pop() {
        for entry in std::fs::read_dir(here).unwrap() {
            let facts = entry.as_ref().unwrap().metadata().unwrap();
            blocks += facts.blocks() * 512;
            ahead.extend(facts.is_dir().then(|| entry.unwrap().path()));
        }
    }
    let used = home.usage().unwrap().used;
    assert!(blocks <= used + (NAMES + 5) * EACH, "{blocks} for {used} in {names}");
}
