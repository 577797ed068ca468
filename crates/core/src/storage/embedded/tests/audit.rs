//! A count beside the ledger: exact while everything moves, and able to set it right.

use std::cell::Cell;
use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, Ordering};

use super::quota::{Step, take};
use super::*;
use crate::storage::embedded::walk;
use crate::storage::{Audit, Usage, audit_on_disk};
use sealane_base::files::jail::Directory;

fn ahpu() -> Username {
    Username::parse("ahpu").unwrap()
}

fn audit(fixture: &Fixture, repair: bool) -> Audit {
    fixture.store.audit(&ahpu(), repair).unwrap().unwrap()
}

#[test]
fn what_came_and_went_by_hand_is_found_and_set_right_while_an_upload_runs() {
    let fixture = Fixture::new(1000);
    fixture.put("kept", &[1; 50]);
    fixture.put("gone", &[2; 70]);
    fixture.sink("given up", 40).unwrap().write_at(0, &[3; 15]).unwrap();
    let running = fixture.sink("running", 200).unwrap();
    running.write_at(0, &[4; 120]).unwrap();
    let ledger = Usage { used: 135, reserved: 200, limit: 1000 };
    let sound = Audit { files: 120, partials: 15, trash: 0, uploading: 120, ledger: Some(ledger) };
    assert_eq!((audit(&fixture, false), sound.drift()), (sound, 0));

    std::fs::remove_file(fixture.disk("gone")).unwrap();
    std::fs::write(fixture.disk("brought"), [5; 30]).unwrap();
    assert_eq!(audit(&fixture, false).drift(), -40);
    assert_eq!(fixture.home.usage().unwrap(), ledger, "looking changes nothing");
    assert_eq!(audit(&fixture, true).drift(), -40);
    assert_eq!(audit(&fixture, false).drift(), 0);
    let right = Usage { used: 95, reserved: 200, limit: 1000 };
    assert_eq!(fixture.home.usage().unwrap(), right);

    running.write_at(120, &[4; 80]).unwrap();
    running.commit().unwrap();
    drop(running);
    let usage = fixture.home.usage().unwrap();
    assert_eq!(usage, Usage { used: 295, reserved: 0, limit: 1000 });
    let data = fixture.data.path().to_owned();
    let fixture = fixture.restart(1000);
    assert_eq!(fixture.home.usage().unwrap(), usage);
    drop(fixture.home);
    assert_eq!(fixture.store.audit(&ahpu(), true).unwrap(), None, "nobody has it open");
    let counted = audit_on_disk(&data, &ahpu(), &path("homes/ahpu")).unwrap();
    assert_eq!((counted.on_disk(), counted.ledger, counted.drift()), (295, None, 0));
    let nobody = Username::parse("nobody").unwrap();
    assert_eq!(audit_on_disk(&data, &nobody, &path("homes/x")).unwrap(), Audit::default());
}

/// A tree whose directories are lifted out of one another while it is removed.
fn make_and_remove_a_tree(fixture: &Fixture) {
    let mut files = Vec::new();
    for number in 0..12 {
        let place = format!("tree/{number}/deep/er");
        fixture.home.make_directory(&path(&place), true).unwrap();
        let (path, meta) = (path(&format!("{place}/file")), FileMeta::default());
        files.push(SmallFile { path, bytes: vec![2; 5], meta });
    }
    for outcome in fixture.home.put_many(&files) {
        outcome.unwrap();
    }
    fixture.home.remove(&path("tree"), true).unwrap();
}

#[test]
fn a_removal_holds_on_while_it_moves_and_removes_directories() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("a/b/c")).unwrap();
    std::fs::write(dir.path().join("a/b/c/f"), "").unwrap();
    let (trash, held) = (Directory::open_root(dir.path()).unwrap(), Cell::new(0));
    let unlink = |directory: &Directory, name: &CStr| directory.unlink(name);
    let gone = Cell::new(0);
    let count = || gone.set(gone.get() + 1);
    let mut clearing = walk::Clearing::new(trash).unwrap();
    while !clearing.step(unlink, || held.set(held.get() + 1), count).unwrap() {}
    // b out of a, c out of b, and each of the three.
    assert_eq!((held.get(), gone.get()), (5, 3));
}

#[test]
fn a_count_among_sessions_at_work_finds_no_drift_and_repairs_exactly() {
    let fixture = Fixture::new(100_000);
    // So many that a count takes its time, and the others come in between wherever they can.
    std::fs::create_dir(fixture.disk("many")).unwrap();
    for number in 0..1500 {
        std::fs::write(fixture.disk(&format!("many/{number}")), [1]).unwrap();
    }
    let fixture = fixture.restart(100_000);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for session in 0..6usize {
            let (fixture, is_over) = (&fixture, &is_over);
            scope.spawn(move || {
                let mut turn = session;
                while !is_over.load(Ordering::Relaxed) {
                    turn += 1;
                    let (name, other) = (turn % 6, (turn / 3 + session) % 6);
                    let size = u64::try_from((turn * 7 + session * 11) % 60).unwrap();
                    let step = match (turn + session * 3) % 7 {
                        0 => Step::Remove(name, true),
                        1 => Step::Rename(name, other, true),
                        2 => Step::Commit(name, size),
                        3 => Step::Abandon(name, size, size / 2),
                        4 => Step::Discard(name, size),
                        5 => Step::Make(name),
                        _ => Step::Put(name, size),
                    };
                    let _ = take(fixture, &step);
                }
            });
        }
        let (busy, over) = (&fixture, &is_over);
        scope.spawn(move || {
            while !over.load(Ordering::Relaxed) {
                make_and_remove_a_tree(busy);
            }
        });
        for round in 0..60u64 {
            let brought = 1 + round % 13;
            let file = fixture.disk(&format!("by hand {round}"));
            std::fs::write(file, vec![0; usize::try_from(brought).unwrap()]).unwrap();
            let found = audit(&fixture, true).drift();
            let left = audit(&fixture, false).drift();
            if (found, left) != (i64::try_from(brought).unwrap(), 0) {
                is_over.store(true, Ordering::Relaxed);
                panic!("round {round}: {found} of {brought} found, {left} left");
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let usage = fixture.home.usage().unwrap();
    assert_eq!(usage.reserved, 0);
    assert_eq!(fixture.restart(100_000).home.usage().unwrap(), usage);
}
