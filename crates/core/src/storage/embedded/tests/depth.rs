//! How deep a home may be: the cap, and trees that are deeper because somebody else made them.

use std::path::Path;

use super::super::depth;
use super::super::walk::Clearing;
use super::*;
use sealane_base::files::jail::Directory;
use sealane_base::types::path::{MAX_COMPONENTS, MAX_LEVELS};

/// Opens the home, as one that sees `root` of it.
fn part(fixture: &Fixture, root: &str) -> Arc<dyn HomeStore> {
    let view = View { root: path(root), apart: None };
    let owner = Username::parse("ahpu").unwrap();
    let opening = fixture.store.open_home(&owner, &path("homes/ahpu"), 1000, view);
    opening.unwrap().finish().unwrap()
}

fn make(home: &Arc<dyn HomeStore>, place: &str) -> Result<(), StorageError> {
    home.make_directory(&path(place), true)
}

fn chain(levels: usize) -> String {
    vec!["d"; levels].join("/")
}

/// Nested directories, as a client could make them once: moved into one another.
pub(crate) fn nest(home: &Path, levels: usize) {
    std::fs::create_dir(home.join("0")).unwrap();
    for level in 1..levels {
        let (inner, outer) = (home.join((level - 1).to_string()), home.join(level.to_string()));
        std::fs::create_dir(&outer).unwrap();
        std::fs::rename(inner, outer.join("d")).unwrap();
    }
}

/// A directory in which making and moving a tree takes little time, if there is such a one.
pub(crate) fn in_memory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Removes what is in a directory, which may be too deep for the standard library.
pub(crate) fn clear(directory: &Path) {
    let mut clearing = Clearing::new(Directory::open_root(directory).unwrap()).unwrap();
    while !clearing.step(|directory, name| directory.unlink(name), || (), || ()).unwrap() {}
}

/// How deep the home is.
fn levels_of(fixture: &Fixture) -> usize {
    let mut here = vec![(fixture.disk(""), 0)];
    let mut deepest = 0;
    while let Some((directory, level)) = here.pop() {
        deepest = deepest.max(level);
        for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                here.push((entry.path(), level + 1));
            }
        }
    }
    deepest
}

#[test]
fn directories_moved_into_one_another_reach_the_cap_and_no_further() {
    let fixture = Fixture::new(1000);
    let home = &fixture.home;
    make(home, "0").unwrap();
    for level in 1..MAX_LEVELS {
        make(home, &level.to_string()).unwrap();
        let (inner, outer) = (path(&(level - 1).to_string()), path(&format!("{level}/d")));
        home.rename(&inner, &outer, false).unwrap();
    }
    assert_eq!(levels_of(&fixture), MAX_LEVELS);
    let last = (MAX_LEVELS - 1).to_string();
    make(home, "more/empty").unwrap();
    refused!(home.rename(&path(&last), &path("more/d"), false), StorageError::TooDeep);
    // As well in place of an empty directory, and to where there is none.
    refused!(home.rename(&path(&last), &path("more/empty"), true), StorageError::TooDeep);
    // A name beside it or further up is no deeper, and files may lie in the deepest directory.
    home.rename(&path(&last), &path("other"), false).unwrap();
    home.rename(&path("other/d"), &path("up"), false).unwrap();
    home.rename(&path("up"), &path("other/d"), false).unwrap();
    assert_eq!(levels_of(&fixture), MAX_LEVELS);
    fixture.restart(1000);
}

#[test]
fn the_part_of_a_home_that_a_key_sees_ends_at_the_same_cap() {
    let fixture = Fixture::new(1000);
    let half = chain(MAX_COMPONENTS);
    let deep = part(&fixture, &half);
    make(&deep, &half).unwrap();
    assert_eq!(levels_of(&fixture), MAX_LEVELS);
    // What lies further up is moved down to where only that key sees.
    make(&deep, "a/b").unwrap();
    deep.rename(&path("a"), &path(&format!("{}/a", chain(62))), false).unwrap();
    make(&deep, "a/b/c").unwrap();
    refused!(
        deep.rename(&path("a"), &path(&format!("{}/c", chain(62))), false),
        StorageError::TooDeep
    );
    assert_eq!(levels_of(&fixture), MAX_LEVELS);
}

#[test]
fn a_directory_is_as_deep_as_it_lies_wherever_it_was_when_it_was_opened() {
    let data = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(data.path().join("home/a/b")).unwrap();
    let outside = Directory::open_root(data.path()).unwrap();
    let root = outside.child("home").unwrap();
    let held = root.child("a").unwrap().child("b").unwrap();
    assert_eq!(depth::level(&root, &held).unwrap(), 2);
    let half = data.path().join("home").join(chain(MAX_COMPONENTS));
    std::fs::create_dir_all(half.join(chain(MAX_COMPONENTS - 2))).unwrap();
    let end = half.join(chain(MAX_COMPONENTS - 2)).join("a");
    std::fs::rename(data.path().join("home/a"), &end).unwrap();
    assert_eq!(depth::level(&root, &held).unwrap(), MAX_LEVELS);
    let below = Directory::open_root(&end.join("b")).unwrap();
    below.make("c", 0o700).unwrap();
    refused!(depth::level(&root, &below.child("c").unwrap()), StorageError::TooDeep);
    // Removed meanwhile.
    std::fs::rename(&end, data.path().join("trash")).unwrap();
    refused!(depth::level(&root, &held), StorageError::NotFound);
}

#[test]
fn a_large_tree_is_moved_without_being_looked_through() {
    let fixture = Fixture::new(1000);
    std::fs::create_dir_all(fixture.disk("a/b/c")).unwrap();
    std::fs::create_dir_all(fixture.disk(&chain(MAX_LEVELS - 4))).unwrap();
    for number in 0..2000 {
        std::fs::create_dir(fixture.disk(&format!("a/b/{number}"))).unwrap();
    }
    let fixture = fixture.restart(1000);
    let home = &fixture.home;
    make(home, "x/y/z").unwrap();
    // All that is known of it is that it is no deeper than the whole home.
    home.rename(&path("a"), &path("x/a"), false).unwrap();
    home.rename(&path("x/a"), &path("x/y/a"), false).unwrap();
    for turn in 0..9 {
        let (from, to) = (path("x/y/a"), path("x/y/z/a"));
        if home.rename(&from, &to, false).is_err() {
            assert!(turn > 0);
            // A count tells more.
            fixture.store.audit(&Username::parse("ahpu").unwrap(), false).unwrap().unwrap();
            return home.rename(&from, &to, false).unwrap();
        }
        home.rename(&to, &from, false).unwrap();
    }
    panic!("what is not known is not believed for ever");
}

#[test]
fn a_home_that_is_too_deep_is_refused_and_says_where() {
    let fixture = Fixture::within(in_memory(), 1000);
    nest(&fixture.disk(""), 36_000);
    let Fixture { store, home, data } = fixture;
    drop(home);
    let error = open(&store, "ahpu", "homes/ahpu", 1000).unwrap_err();
    let StorageError::OverDeep { beginning } = &error else { panic!("{error}") };
    assert!(beginning.starts_with("35999/d/d/") && beginning.len() == 64, "{beginning}");
    // Others have what is theirs, and so has this one without that tree.
    open(&store, "other", "homes/other", 1000).unwrap();
    std::fs::rename(data.path().join("homes/ahpu/35999"), data.path().join("35999")).unwrap();
    open(&store, "ahpu", "homes/ahpu", 1000).unwrap();
    clear(&data.path().join("35999"));
}

#[test]
fn a_tree_deeper_than_any_path_is_removed() {
    let fixture = Fixture::within(in_memory(), 1000);
    nest(&fixture.disk(""), 5_000);
    fixture.home.remove(&path("4999"), true).unwrap();
    assert_eq!(fixture.partials(), Vec::<String>::new());
    // As well what the power failed in the middle of.
    std::fs::create_dir(fixture.data.path().join("partials/ahpu/7.trash")).unwrap();
    nest(&fixture.data.path().join("partials/ahpu/7.trash"), 5_000);
    let fixture = fixture.restart(1000);
    assert_eq!(fixture.partials(), Vec::<String>::new());
}
