//! What a partial file writes, keeps and takes over.

use std::os::unix::fs::FileExt;

use super::*;

fn partial(
    file: File,
    size: u64,
    present: Option<(File, Facts)>,
) -> Result<PartialFile, StorageError> {
    let facts = Facts::of(&file)?;
    PartialFile::new(file, &facts, size, present)
}

fn file(content: &[u8]) -> File {
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(content, 0).unwrap();
    file
}

fn with_facts(file: File) -> (File, Facts) {
    let facts = Facts::of(&file).unwrap();
    (file, facts)
}

#[test]
fn a_torn_partial_is_filled_up_from_the_present_version() {
    let present = with_facts(file(b"abcdefgh"));
    let partial = partial(file(b"012"), 7, Some(present)).unwrap();
    assert_eq!(partial.held(), 7);
    let mut buffer = [0; 4];
    partial.read_held(0, &mut buffer).unwrap();
    assert_eq!(&buffer, b"012d");
    assert_eq!(partial.length(), 4);
    partial.read_held(4, &mut buffer[..3]).unwrap();
    assert_eq!(&buffer[..3], b"efg");
    assert_eq!(partial.length(), 7);
    assert!(partial.read_held(4, &mut buffer).is_err());
}

/// Where the file system can share (btrfs, XFS) this is another way, with the same result.
#[test]
fn an_empty_partial_begins_with_the_present_version_and_leaves_it_alone() {
    let present = file(b"abcdefgh");
    let can_share = disk::share(&file(b""), &present).is_ok();
    let partial = partial(file(b""), 6, Some(with_facts(present.try_clone().unwrap())));
    let partial = partial.unwrap();
    assert_eq!((partial.held(), partial.length()), (6, 0));
    let mut buffer = [0; 6];
    partial.read_held(0, &mut buffer[..2]).unwrap();
    assert_eq!(partial.length(), if can_share { 6 } else { 2 });
    partial.read_held(0, &mut buffer).unwrap();
    assert_eq!(&buffer, b"abcdef");
    partial.write_at(1, b"xyz").unwrap();
    partial.read_present(0, &mut buffer).unwrap();
    assert_eq!(&buffer, b"abcdef");
    partial.file.read_exact_at(&mut buffer, 0).unwrap();
    assert_eq!(&buffer, b"axyzef");
    assert!(partial.read_present(3, &mut buffer).is_err());
}

#[test]
fn shifted_bytes_become_part_of_the_file_and_what_was_there_stays() {
    let present = with_facts(file(b"abcdefgh"));
    let partial = partial(file(b"01"), 6, Some(present)).unwrap();
    let mut buffer = [0; 2];
    partial.read_shifted(0, 4, &mut buffer).unwrap();
    assert_eq!(&buffer, b"01");
    for (offset, place, expected) in [(2, 1, b"bc"), (4, 6, b"gh")] {
        partial.read_shifted(offset, place, &mut buffer).unwrap();
        assert_eq!(&buffer, expected);
    }
    for (offset, place) in [(2, 7), (2, u64::MAX), (5, 0), (u64::MAX, 0)] {
        assert!(partial.read_shifted(offset, place, &mut buffer).is_err());
    }
    let mut all = [0; 6];
    partial.file.read_exact_at(&mut all, 0).unwrap();
    assert_eq!((&all, partial.length()), (b"01bcgh", 6));
    *partial.ending().unwrap() = true;
    assert!(partial.read_shifted(2, 1, &mut buffer).is_err());
}

#[test]
fn what_nobody_holds_cannot_be_read() {
    let present = with_facts(file(b"ab"));
    let partial = partial(file(b"0123"), 9, Some(present)).unwrap();
    assert_eq!(partial.held(), 4);
    let mut buffer = [0; 5];
    assert!(partial.read_held(0, &mut buffer).is_err());
    partial.read_held(0, &mut buffer[..4]).unwrap();
    assert_eq!(&buffer[..4], b"0123");
    assert!(partial.read_held(u64::MAX, &mut buffer[..1]).is_err());
}

#[test]
fn nothing_is_written_beyond_the_declared_size_or_after_the_end() {
    let partial = partial(file(b"0123456789"), 4, None).unwrap();
    assert_eq!((partial.held(), partial.length()), (4, 4));
    assert!(partial.write_at(1, b"wxyz").is_err());
    assert!(partial.write_at(u64::MAX, b"w").is_err());
    assert_eq!(partial.length(), 4);
    partial.write_at(1, b"xyz").unwrap();
    *partial.ending().unwrap() = true;
    assert!(partial.write_at(0, b"w").is_err());
    let mut buffer = [0; 4];
    assert!(partial.read_held(0, &mut buffer).is_err());
    partial.file.read_exact_at(&mut buffer, 0).unwrap();
    assert_eq!(&buffer, b"0xyz");
}
