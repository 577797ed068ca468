//! Uploads whose size is not known when they begin.

use super::*;

fn begin(fixture: &Fixture, name: &str) -> Arc<dyn Upload> {
    begin_upload(&*fixture.home, &path(name), None, FileMeta::default()).unwrap()
}

#[test]
fn a_growing_upload_has_the_length_that_was_written() {
    let fixture = Fixture::new(64 << 20);
    fixture.put("f", &[1; 5000]);
    let upload = begin(&fixture, "f");
    for block in 0..3u64 {
        upload.write_at(block * 1000, &[2; 1000]).unwrap();
    }
    assert_eq!(fixture.read("f"), [1; 5000], "the old version stays until the commit");
    upload.commit().unwrap();
    drop(upload);
    assert_eq!(fixture.read("f"), [2; 3000]);
    let usage = fixture.home.usage().unwrap();
    assert_eq!((usage.used, usage.reserved), (3000, 0));
}

#[test]
fn a_growing_upload_can_use_the_quota_to_the_last_byte_and_no_further() {
    let limit = 10_000_000;
    let fixture = Fixture::new(limit);
    let (upload, block) = (begin(&fixture, "f"), vec![3; 1_000_000]);
    for number in 0..10 {
        upload.write_at(number * 1_000_000, &block).unwrap();
        let usage = fixture.home.usage().unwrap();
        assert!(usage.used + usage.reserved <= limit, "{usage:?}");
    }
    refused!(upload.write_at(limit, b"x"), StorageError::Quota { short: 1, .. });
    upload.commit().unwrap();
    drop(upload);
    assert_eq!(fixture.home.usage().unwrap().used, limit);
}

#[test]
fn growing_uploads_leave_room_for_one_another_and_give_back_what_they_did_not_use() {
    let fixture = Fixture::new(100 << 20);
    let uploads: Vec<_> = ["a", "b", "c"].map(|name| begin(&fixture, name)).into();
    for upload in &uploads {
        upload.write_at(0, &[4; 1000]).unwrap();
    }
    let usage = fixture.home.usage().unwrap();
    assert!(usage.reserved >= 3000 && usage.reserved <= usage.limit, "{usage:?}");
    uploads[0].commit().unwrap();
    uploads[1].discard();
    drop(uploads);
    let usage = fixture.home.usage().unwrap();
    assert_eq!((usage.used, usage.reserved), (2000, 0), "a file and a partial of 1,000 bytes each");
    fixture.store.audit(&Username::parse("ahpu").unwrap(), false).unwrap().unwrap();
}

#[test]
fn a_growing_upload_begins_empty_and_what_was_there_is_given_back() {
    let fixture = Fixture::new(1 << 20);
    fixture.sink("f", 5000).unwrap().write_at(0, &[5; 5000]).unwrap();
    assert_eq!(fixture.home.usage().unwrap().used, 5000);
    let upload = begin(&fixture, "f");
    assert_eq!((upload.held(), fixture.home.usage().unwrap().reserved), (0, 0));
    upload.commit().unwrap();
    drop(upload);
    assert_eq!((fixture.read("f").len(), fixture.home.usage().unwrap().used), (0, 0));
}
