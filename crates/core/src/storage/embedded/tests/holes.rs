//! Stretches of zeros: they take no room where nothing was, and are zeros wherever something was.

use std::os::unix::fs::MetadataExt;

use super::*;

const STRETCH: usize = 1 << 20;

fn room(fixture: &Fixture, name: &str) -> u64 {
    std::fs::metadata(fixture.disk(name)).unwrap().blocks() * 512
}

#[test]
fn zeros_beyond_the_end_take_no_room() {
    let fixture = Fixture::new(1 << 30);
    let size = 16 * STRETCH;
    let sink = fixture.sink("image", size as u64).unwrap();
    sink.write_at(0, &[7; STRETCH]).unwrap();
    for number in 1..16 {
        sink.write_at((number * STRETCH) as u64, &[0; STRETCH]).unwrap();
    }
    sink.commit().unwrap();
    let content = fixture.read("image");
    assert_eq!(content.len(), size);
    assert!(content[..STRETCH].iter().all(|byte| *byte == 7));
    assert!(content[STRETCH..].iter().all(|byte| *byte == 0));
    assert!(room(&fixture, "image") < 3 * STRETCH as u64, "{}", room(&fixture, "image"));
    // A quota is about sizes: what is a hole today may be filled tomorrow.
    assert_eq!(fixture.home.usage().unwrap().used, size as u64);
}

#[test]
fn a_new_version_keeps_the_holes_of_the_old_one() {
    let fixture = Fixture::new(1 << 30);
    let size = 8 * STRETCH as u64;
    std::fs::create_dir_all(fixture.disk("")).unwrap();
    std::fs::File::create(fixture.disk("image")).unwrap().set_len(size).unwrap();
    let sink = fixture.sink("image", size).unwrap();
    let mut stretch = vec![1; STRETCH];
    for number in 0..8 {
        sink.read_held((number * STRETCH) as u64, &mut stretch).unwrap();
        assert!(stretch.iter().all(|byte| *byte == 0));
    }
    sink.commit().unwrap();
    assert!(room(&fixture, "image") < STRETCH as u64, "{}", room(&fixture, "image"));
}

#[test]
fn zeros_over_what_an_earlier_attempt_left_are_written() {
    let fixture = Fixture::new(1 << 30);
    let size = 2 * STRETCH as u64;
    let sink = fixture.sink("f", size).unwrap();
    sink.write_at(0, &[9; STRETCH + 5]).unwrap();
    drop(sink);
    let sink = fixture.sink("f", size).unwrap();
    sink.write_at(0, &[0; STRETCH]).unwrap();
    sink.write_at(STRETCH as u64, &[0; STRETCH]).unwrap();
    sink.commit().unwrap();
    assert!(fixture.read("f").iter().all(|byte| *byte == 0));
}

#[test]
fn zeros_before_what_came_first_cut_nothing_off() {
    let fixture = Fixture::new(1 << 30);
    let sink = fixture.sink("f", 3 * STRETCH as u64).unwrap();
    sink.write_at(2 * STRETCH as u64, &[5; STRETCH]).unwrap();
    sink.write_at(0, &[0; STRETCH]).unwrap();
    sink.write_at(STRETCH as u64, &[0; STRETCH]).unwrap();
    sink.commit().unwrap();
    let content = fixture.read("f");
    assert!(content[..2 * STRETCH].iter().all(|byte| *byte == 0));
    assert!(content[2 * STRETCH..].iter().all(|byte| *byte == 5));
}
