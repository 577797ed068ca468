//! The ledger is what is on the disk, at every moment and after every story.

use std::sync::Barrier;

use proptest::prelude::*;

use super::*;
use crate::storage::{Caps, Usage};

#[test]
fn ten_of_thirty_two_uploads_fit() {
    let fixture = Fixture::new(1000);
    let barrier = Barrier::new(32);
    let sinks: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..32)
            .map(|number| {
                let (fixture, barrier) = (&fixture, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    let sink = fixture.sink(&format!("f{number}"), 100);
                    let Usage { used, reserved, limit } = fixture.home.usage().unwrap();
                    assert!(used + reserved <= limit);
                    sink.map_err(|error| assert!(matches!(error, StorageError::Quota { .. }))).ok()
                })
            })
            .collect();
        threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(sinks.len(), 10);
    drop(sinks);
    assert_eq!(fixture.home.usage().unwrap(), Usage { used: 0, reserved: 0, limit: 1000 });
    assert_eq!(fixture.partials(), Vec::<String>::new());
}

#[test]
fn both_versions_count_until_the_new_one_is_there() {
    let fixture = Fixture::new(100);
    fixture.put("f", &[1; 60]);
    let outcome = put_small(&fixture.home, &path("f"), &[2; 41], FileMeta::default());
    refused!(outcome, StorageError::Quota { short: 1, limit: 100 });
    assert_eq!(fixture.read("f"), [1; 60]);
    let sink = fixture.sink("f", 40).unwrap();
    assert_eq!(fixture.home.usage().unwrap(), Usage { used: 60, reserved: 40, limit: 100 });
    sink.write_at(0, &[2; 40]).unwrap();
    sink.commit().unwrap();
    assert_eq!(fixture.home.usage().unwrap(), Usage { used: 40, reserved: 0, limit: 100 });
    drop(sink);
    assert_eq!(fixture.home.usage().unwrap(), Usage { used: 40, reserved: 0, limit: 100 });
}

#[test]
fn a_lower_limit_holds_from_the_next_opening_on() {
    let fixture = Fixture::new(100);
    fixture.put("f", &[1; 60]);
    let again = open(&fixture.store, "ahpu", "homes/ahpu", 50).unwrap();
    assert_eq!(again.usage().unwrap(), fixture.home.usage().unwrap());
    assert_eq!(fixture.home.usage().unwrap(), Usage { used: 60, reserved: 0, limit: 50 });
    refused!(fixture.sink("g", 1), StorageError::Quota { short: 11, limit: 50 });
    fixture.home.remove(&path("f"), false).unwrap();
    fixture.put("g", &[1; 50]);
}

#[test]
fn homes_of_two_accounts_do_not_overlap() {
    let fixture = Fixture::new(100);
    let store = &fixture.store;
    for place in ["homes/ahpu", "homes/ahpu/x", "homes", "partials/ahpu", "other/x", ""] {
        refused!(open(store, "eve", place, 1), StorageError::HomeConflict);
    }
    refused!(open(store, "ahpu", "homes/elsewhere", 1), StorageError::HomeConflict);
    let below = open(store, "bob", "homes/team/bob", 1).unwrap();
    refused!(open(store, "eve", "homes/team", 1), StorageError::HomeConflict);
    drop(below);
    open(store, "eve", "homes/team", 1).unwrap();
}

#[test]
fn a_data_directory_has_one_server() {
    let fixture = Fixture::new(100);
    let second = EmbeddedStore::open(fixture.data.path()).unwrap_err();
    let text = second.to_string();
    assert!(text.contains(fixture.data.path().to_str().unwrap()), "{text}");
    assert!(text.contains("another server"), "{text}");
    fixture.restart(100);
}

#[test]
fn directories_of_the_server_are_its_own() {
    use std::os::unix::fs::PermissionsExt;
    let fixture = Fixture::new(100);
    for name in ["homes", "homes/ahpu", "partials", "partials/ahpu"] {
        let mode = fixture.data.path().join(name).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{name}");
    }
}

#[test]
fn what_a_crash_left_half_removed_is_gone_or_counted() {
    let fixture = Fixture::new(100);
    let trash = fixture.data.path().join("partials/ahpu/0.trash/0/a");
    std::fs::create_dir_all(&trash).unwrap();
    std::fs::write(trash.join("f"), [0; 30]).unwrap();
    let fixture = fixture.restart(100);
    assert_eq!(fixture.home.usage().unwrap().used, 0);
    assert_eq!(fixture.partials(), Vec::<String>::new());
}

#[test]
fn sessions_that_work_on_the_same_names_leave_the_ledger_exact() {
    const SESSIONS: usize = 8;
    let fixture = Fixture::new(2000);
    fixture.home.make_directory(&path("d/e"), true).unwrap();
    std::thread::scope(|scope| {
        for session in 0..SESSIONS {
            let fixture = &fixture;
            scope.spawn(move || {
                for turn in 0..200usize {
                    let (name, other) = ((turn + session) % 2, (turn / 3 + session) % 2);
                    let size = u64::try_from((turn * 7 + session * 11) % 60).unwrap();
                    let step = match (turn + session * 3) % 5 {
                        0 => Step::Remove(name, true),
                        1 => Step::Rename(name, other, true),
                        2 => Step::Commit(name, size),
                        3 => Step::Abandon(name, size, size / 2),
                        _ => Step::Put(name, size),
                    };
                    let _ = take(fixture, &step);
                    let usage = fixture.home.usage().unwrap();
                    assert!(usage.used + usage.reserved <= usage.limit);
                }
            });
        }
    });
    let usage = fixture.home.usage().unwrap();
    assert_eq!(fixture.restart(2000).home.usage().unwrap(), usage);
}

/// One thing a client may do; paths are drawn from a few, so that they often meet.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Put(usize, u64),
    Commit(usize, u64),
    Abandon(usize, u64, u64),
    Discard(usize, u64),
    Remove(usize, bool),
    Rename(usize, usize, bool),
    Make(usize),
    Restart,
}

const PATHS: [&str; 6] = ["a", "b", "d", "d/a", "d/e", "d/e/a"];

fn step() -> impl Strategy<Value = Step> {
    let (name, size) = (0..PATHS.len(), 0..60u64);
    prop_oneof![
        (name.clone(), size.clone()).prop_map(|(name, size)| Step::Put(name, size)),
        (name.clone(), size.clone()).prop_map(|(name, size)| Step::Commit(name, size)),
        (name.clone(), size.clone(), size.clone())
            .prop_map(|(name, size, written)| Step::Abandon(name, size, written)),
        (name.clone(), size).prop_map(|(name, size)| Step::Discard(name, size)),
        (name.clone(), any::<bool>()).prop_map(|(name, all)| Step::Remove(name, all)),
        (name.clone(), name.clone(), any::<bool>())
            .prop_map(|(from, to, replace)| Step::Rename(from, to, replace)),
        name.prop_map(Step::Make),
        Just(Step::Restart),
    ]
}

/// Most steps are refused at some point; what matters is what they leave.
pub(super) fn take(fixture: &Fixture, step: &Step) -> Result<(), StorageError> {
    let at = |name: &usize| path(PATHS[*name]);
    let bytes = |size: &u64| vec![7; usize::try_from(*size).unwrap()];
    match step {
        Step::Put(name, size) => {
            put_small(&fixture.home, &at(name), &bytes(size), FileMeta::default())
        }
        Step::Commit(name, size) => fixture.sink(PATHS[*name], *size)?.commit(),
        Step::Abandon(name, size, written) => {
            fixture.sink(PATHS[*name], *size)?.write_at(0, &bytes(written.min(size)))
        }
        Step::Discard(name, size) => {
            fixture.sink(PATHS[*name], *size)?.discard();
            Ok(())
        }
        Step::Remove(name, all) => fixture.home.remove(&at(name), *all),
        Step::Rename(from, to, replace) => fixture.home.rename(&at(from), &at(to), *replace),
        Step::Make(name) => fixture.home.make_directory(&at(name), false),
        Step::Restart => Ok(()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_ledger_equals_a_recount(steps in proptest::collection::vec(step(), 1..40)) {
        let mut fixture = Fixture::new(200);
        for step in &steps {
            let _ = take(&fixture, step);
            let usage = fixture.home.usage().unwrap();
            prop_assert_eq!(usage.reserved, 0);
            prop_assert!(usage.used <= usage.limit);
            if matches!(step, Step::Restart) {
                fixture = fixture.restart(200);
                prop_assert_eq!(fixture.home.usage().unwrap(), usage);
            }
        }
        let usage = fixture.home.usage().unwrap();
        prop_assert_eq!(fixture.restart(200).home.usage().unwrap(), usage);
    }
}

#[test]
fn partials_are_told_page_by_page_and_go_only_when_nobody_fills_them() {
    let fixture = Fixture::new(1000);
    for name in ["a", "b", "c"] {
        fixture.sink(name, 100).unwrap().write_at(0, &[1; 10]).unwrap();
    }
    let (page, more) = fixture.home.partials(None, 2).unwrap();
    assert!(more && page.len() == 2);
    let (rest, more) = fixture.home.partials(Some(&page[1].id), 2).unwrap();
    assert!(!more && rest.len() == 1);
    let all: Vec<_> = page.iter().chain(&rest).collect();
    let mut paths: Vec<_> = all.iter().map(|partial| partial.path.clone().unwrap()).collect();
    paths.sort();
    assert_eq!(paths, [path("a"), path("b"), path("c")]);
    assert!(all.iter().all(|partial| (partial.received, partial.size) == (10, 100)));

    let id = |name: &str| {
        let is = |partial: &&&crate::storage::Partial| partial.path == Some(path(name));
        all.iter().find(is).unwrap().id.clone()
    };
    let filling = fixture.sink("a", 100).unwrap();
    refused!(fixture.home.discard_partial(&id("a")), StorageError::InUse);
    fixture.home.discard_partial(&id("b")).unwrap();
    refused!(fixture.home.discard_partial(&id("b")), StorageError::NotFound);
    for bad in ["", "../x", "a/b", "0.trash"] {
        refused!(fixture.home.discard_partial(bad), StorageError::NotFound);
    }
    // Without its note, a partial may be anybody's.
    let note = format!("partials/ahpu/{}.json", id("c"));
    std::fs::remove_file(fixture.data.path().join(note)).unwrap();
    refused!(fixture.home.discard_partial(&id("c")), StorageError::InUse);
    drop(filling);
    fixture.home.discard_partial(&id("c")).unwrap();
    assert_eq!(
        (fixture.home.usage().unwrap().used, fixture.home.usage().unwrap().reserved),
        (10, 0)
    );
    assert_eq!(fixture.partials().len(), 2);
}

/// A home in which there may be `files` names and `partials` interrupted uploads.
fn capped(data: TempDir, files: u64, partials: u64) -> Fixture {
    let store = EmbeddedStore::open_with(data.path(), Caps { files, partials }).unwrap();
    let home = open(&store, "ahpu", "homes/ahpu", 1 << 30).unwrap();
    Fixture { store, home, data }
}

#[test]
fn an_account_has_so_many_files_and_directories_and_no_more() {
    let fixture = capped(tempfile::tempdir().unwrap(), 5, 9);
    let make = |fixture: &Fixture, name: &str| fixture.home.make_directory(&path(name), true);
    let full = |fixture: &Fixture| {
        refused!(fixture.sink("more", 0), StorageError::TooManyFiles { limit: 5 });
        refused!(make(fixture, "more"), StorageError::TooManyFiles { limit: 5 });
        let one = path("more/deep");
        refused!(fixture.home.make_directory(&one, false), StorageError::NotFound);
    };
    make(&fixture, "a/b").unwrap();
    make(&fixture, "a/b").unwrap();
    fixture.put("a/b/f", b"1");
    fixture.put("g", b"");
    let under_way = fixture.sink("h", 1).unwrap();
    full(&fixture);
    drop(under_way);
    fixture.put("g", b"replaced");
    make(&fixture, "c").unwrap();
    full(&fixture);
    // Whatever takes a name away makes room for one.
    fixture.home.remove(&path("c"), false).unwrap();
    make(&fixture, "c").unwrap();
    full(&fixture);
    fixture.home.rename(&path("g"), &path("a/b/f"), true).unwrap();
    make(&fixture, "d").unwrap();
    full(&fixture);
    refused!(fixture.home.make_directory(&path("d/d/d"), true), StorageError::TooManyFiles { .. });
    fixture.home.remove(&path("a"), true).unwrap();
    for name in ["x", "y", "z"] {
        fixture.put(name, b"");
    }
    full(&fixture);
    // They are counted anew at each start, and set right with the bytes.
    let Fixture { store, home, data } = fixture;
    drop((store, home));
    let fixture = capped(data, 5, 9);
    full(&fixture);
    std::fs::remove_file(fixture.disk("x")).unwrap();
    full(&fixture);
    fixture.store.audit(&Username::parse("ahpu").unwrap(), true).unwrap();
    fixture.put("x", b"");
    full(&fixture);
}

#[test]
fn so_many_interrupted_uploads_are_kept_and_can_be_taken_up_again() {
    let fixture = capped(tempfile::tempdir().unwrap(), 100, 2);
    let interrupt = |name: &str| {
        let sink = fixture.sink(name, 10)?;
        sink.write_at(0, b"x")
    };
    interrupt("a").unwrap();
    let under_way = fixture.sink("b", 10).unwrap();
    under_way.write_at(0, b"x").unwrap();
    interrupt("c").unwrap();
    drop(under_way);
    refused!(interrupt("d"), StorageError::TooManyPartials { limit: 2 });
    fixture.put("small", b"needs none");
    interrupt("a").unwrap();
    let again = fixture.sink("b", 1).unwrap();
    again.write_at(0, b"x").unwrap();
    again.commit().unwrap();
    refused!(interrupt("d"), StorageError::TooManyPartials { limit: 2 });
    fixture.sink("a", 10).unwrap().discard();
    interrupt("d").unwrap();
}
