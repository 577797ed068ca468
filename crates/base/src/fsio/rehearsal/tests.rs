//! The small writers of `fsio`, and the rehearsal itself: it finds what careless writers do wrong.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};

use super::script::play;
use super::story::ONCE;
use super::{State, Story, said};
use crate::fsio::{self, AppendFile, disk};

const OLD: &[u8] = b"old content";
const NEW: &[u8] = b"all of the new content";

/// What the file holds, if it is there.
#[expect(clippy::disallowed_methods, reason = "tests look at what was written")]
fn see(directory: &Path) -> State {
    fsio::remove_temporaries(directory).unwrap();
    let held = std::fs::read(directory.join("f"));
    held.into_iter().map(|held| ("f".to_owned(), held)).collect()
}

fn story(name: &str, has_old: bool, act: &dyn Fn(&Path) -> Result<(), String>) {
    Story {
        name,
        prepare: &|directory| {
            if has_old {
                fsio::write_atomic(&directory.join("f"), OLD, 0o600).unwrap();
            }
        },
        act,
        see: &see,
        sweep: &|_| {},
        in_parts: false,
    }
    .tell();
}

#[test]
fn small_files_under_faults() {
    let replace = |at: &Path| said(fsio::write_atomic(&at.join("f"), NEW, 0o644));
    story("replace", true, &replace);
    story("write the first", false, &replace);
    story("create", false, &|at| said(fsio::create_new(&at.join("f"), NEW, 0o600)));
    story("remove", true, &|at| said(fsio::remove_durably(&at.join("f"))));
}

#[test]
fn new_directories_under_faults() {
    Story {
        name: "directories",
        prepare: &|_| {},
        act: &|at| {
            said(
                fsio::create_directories(&at.join("a/b"), 0o700)
                    .and_then(|()| fsio::write_atomic(&at.join("a/b/f"), NEW, 0o600)),
            )
        },
        see: &|at| if at.join("a/b").is_dir() { see(&at.join("a/b")) } else { State::new() },
        sweep: &|_| {},
        in_parts: false,
    }
    .tell();
}

#[test]
fn what_could_not_be_created_can_be_tried_again() {
    type Creator = fn(&Path) -> Result<(), fsio::FsError>;
    let creators: [Creator; 3] = [
        |path| fsio::create_new(path, NEW, 0o600),
        |path| fsio::create_directory(path, 0o700),
        |path| AppendFile::create(path, 0o600).map(drop),
    ];
    for create in creators {
        for turn in 0.. {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("f");
            let (outcome, fired, _) = play(Some((turn, ONCE)), None, || create(&path));
            let Some(call) = fired else { break };
            if outcome.is_err() {
                create(&path).unwrap_or_else(|error| panic!("call {turn} ({call}): {error}"));
            }
        }
    }
}

/// A line that is not whole was not written.
#[test]
fn a_file_that_grows_under_faults() {
    Story {
        name: "append",
        prepare: &|_| {},
        act: &|at| {
            let _ = fsio::remove_durably(&at.join("f"));
            said(AppendFile::create(&at.join("f"), 0o600).and_then(|mut file| file.append(b"x\n")))
        },
        see: &|at| {
            let mut state = see(at);
            state.retain(|_, held| held == b"x\n");
            state
        },
        sweep: &|_| {},
        in_parts: false,
    }
    .tell();
}

fn file(at: &Path, name: &str) -> std::io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
    Ok(disk::open(CWD, at.join(name), flags, Mode::RUSR | Mode::WUSR)?.into())
}

fn named(at: &Path) -> std::io::Result<()> {
    disk::rename(CWD, at.join("t.tmp"), CWD, at.join("f"))
}

fn synced(at: &Path) -> std::io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    disk::sync_directory(rustix::fs::open(at, flags, Mode::empty())?)
}

#[test]
fn careless_writers_are_found() {
    type Writer = fn(&Path) -> std::io::Result<()>;
    let careless: [(&str, Writer); 6] = [
        ("in place", |at| {
            let file = file(at, "f")?;
            disk::write_at(&file, NEW, 0)?;
            disk::sync(&file)?;
            synced(at)
        }),
        ("bytes not synced", |at| {
            disk::write_at(&file(at, "t.tmp")?, NEW, 0)?;
            named(at)?;
            synced(at)
        }),
        ("named before synced", |at| {
            let file = file(at, "t.tmp")?;
            disk::write_at(&file, NEW, 0)?;
            named(at)?;
            disk::sync(&file)?;
            synced(at)
        }),
        ("name not synced", |at| {
            let file = file(at, "t.tmp")?;
            disk::write_at(&file, NEW, 0)?;
            disk::sync(&file)?;
            named(at)
        }),
        ("a failed sync tried again", |at| {
            let file = file(at, "t.tmp")?;
            disk::write_at(&file, NEW, 0)?;
            disk::sync(&file).or_else(|_| disk::sync(&file))?;
            named(at)?;
            synced(at)
        }),
        ("an error not told", |at| {
            let file = file(at, "t.tmp")?;
            let _ = disk::write_at(&file, NEW, 0);
            disk::sync(&file)?;
            named(at)?;
            synced(at)
        }),
    ];
    for (name, writer) in careless {
        let told = AssertUnwindSafe(|| story(name, true, &|at| said(writer(at))));
        assert!(catch_unwind(told).is_err(), "nobody noticed: {name}");
    }
    let careful: Writer = |at| {
        let file = file(at, "t.tmp")?;
        disk::write_at(&file, NEW, 0)?;
        disk::sync(&file)?;
        named(at)?;
        synced(at)
    };
    story("careful", true, &|at| said(careful(at)));
}
