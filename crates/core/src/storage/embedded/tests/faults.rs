//! What changes a home, when any call fails and when the power is cut anywhere: see
//! `fsio::rehearsal`.

use std::path::Path;
use std::time::SystemTime;

use super::*;
use crate::storage::audit_on_disk;
use sealane_base::fsio::rehearsal::{State, Story, said};

const LIMIT: u64 = 10_000;

fn ahpu() -> Username {
    Username::parse("ahpu").unwrap()
}

/// Opens the server's data, does it, and holds the ledger against the disk while it is still open.
fn at_home(
    data: &Path,
    work: impl FnOnce(&Arc<dyn HomeStore>) -> Result<(), StorageError>,
) -> Result<(), StorageError> {
    let store = EmbeddedStore::open(data)?;
    let home = open(&store, "ahpu", "homes/ahpu", LIMIT)?;
    let outcome = work(&home);
    let audit = store.audit(&ahpu(), false).unwrap().unwrap();
    let reserved = home.usage().unwrap().reserved;
    assert_eq!((audit.drift(), audit.uploading, reserved), (0, 0, 0), "{outcome:?}, {audit:?}");
    outcome
}

/// The files of the home, after the server was started anew and has counted them.
fn see(data: &Path) -> State {
    let store = EmbeddedStore::open(data).unwrap();
    let home = open(&store, "ahpu", "homes/ahpu", LIMIT).unwrap();
    let counted = audit_on_disk(data, &ahpu(), &path("homes/ahpu")).unwrap();
    let usage = home.usage().unwrap();
    assert_eq!((usage.used, usage.reserved, counted.trash), (counted.on_disk(), 0, 0));
    let mut state = State::new();
    tell(&data.join("homes/ahpu"), "", &mut state);
    state
}

pub(super) fn tell(directory: &Path, place: &str, state: &mut State) {
    for entry in directory.read_dir().unwrap() {
        let entry = entry.unwrap();
        let name = format!("{place}{}", entry.file_name().into_string().unwrap());
        if entry.path().is_dir() {
            state.insert(format!("{name}/"), Vec::new());
            tell(&entry.path(), &format!("{name}/"), state);
        } else {
            state.insert(name, std::fs::read(entry.path()).unwrap());
        }
    }
}

fn sweep(data: &Path) {
    let later = SystemTime::now() + Duration::from_secs(60);
    EmbeddedStore::open(data).unwrap().sweep_partials(later).unwrap();
}

type Work<'w> = dyn Fn(&Arc<dyn HomeStore>) -> Result<(), StorageError> + 'w;

/// Tells what `work` does to a home that was laid out by `before`.
fn story(name: &str, before: &Work<'_>, work: &Work<'_>) {
    told(name, before, work, false);
}

fn told(name: &str, before: &Work<'_>, work: &Work<'_>, in_parts: bool) {
    Story {
        name,
        prepare: &|data| at_home(data, before).unwrap(),
        act: &|data| said(at_home(data, work)),
        see: &see,
        sweep: &sweep,
        in_parts,
    }
    .tell();
}

/// As a transfer does: claims what is held and right, and writes the rest in two pieces.
pub(super) fn fill(sink: &(impl Sink + ?Sized), content: &[u8]) -> Result<(), StorageError> {
    let mut held = vec![0; usize::try_from(sink.held()).unwrap()];
    let is_right = sink.read_held(0, &mut held).is_ok() && content.starts_with(&held);
    let mut at = if is_right { held.len() } else { 0 };
    while at < content.len() {
        let end = content.len().min(at + content.len().div_ceil(2));
        sink.write_at(u64::try_from(at).unwrap(), &content[at..end])?;
        at = end;
    }
    sink.commit()
}

fn upload(home: &Arc<dyn HomeStore>, name: &str, content: &[u8]) -> Result<(), StorageError> {
    let meta = FileMeta { modified: Some(7), mode: Some(0o640) };
    let size = u64::try_from(content.len()).unwrap();
    fill(&*begin_upload(&**home, &path(name), Some(size), meta)?, content)
}

fn put_all(home: &Arc<dyn HomeStore>, files: &[(&str, &[u8])]) -> Result<(), StorageError> {
    let file = |&(name, bytes): &(&str, &[u8])| SmallFile {
        path: path(name),
        bytes: bytes.to_vec(),
        meta: FileMeta::default(),
    };
    let files: Vec<_> = files.iter().map(file).collect();
    home.put_many(&files).into_iter().collect()
}

fn nothing(_: &Arc<dyn HomeStore>) -> Result<(), StorageError> {
    Ok(())
}

fn some_files(home: &Arc<dyn HomeStore>) -> Result<(), StorageError> {
    home.make_directory(&path("d/e"), true)?;
    put_all(home, &[("a", b"old content of a"), ("d/f", b"file"), ("d/e/g", b"deep")])
}

#[test]
fn a_fresh_upload_under_faults() {
    story("fresh", &nothing, &|home| upload(home, "f", b"new content"));
    story("empty", &nothing, &|home| upload(home, "f", b""));
}

#[test]
fn an_upload_that_replaces_under_faults() {
    story("replace", &some_files, &|home| upload(home, "a", b"new"));
    story("extend", &some_files, &|home| upload(home, "a", b"old content of a, and more"));
}

#[test]
fn a_resumed_upload_under_faults() {
    let torn = |home: &Arc<dyn HomeStore>| {
        some_files(home)?;
        let sink = begin_upload(&**home, &path("a"), Some(20), FileMeta::default())?;
        sink.write_at(0, b"resumed con")
    };
    story("resume", &torn, &|home| upload(home, "a", b"resumed content, all"));
    story("resume with less", &torn, &|home| upload(home, "a", b"resume"));
    story("give up", &torn, &|home| {
        let (partials, _) = home.partials(None, 9)?;
        for partial in &partials {
            home.discard_partial(&partial.id)?;
        }
        Ok(())
    });
}

#[test]
fn a_batch_under_faults() {
    let many: [(&str, &[u8]); 5] =
        [("a", b"new a"), ("b", b"new b"), ("d/f", b"new f"), ("d/h", b"h"), ("d/e/g", b"")];
    let few = &many[1..4];
    told("many", &some_files, &move |home| put_all(home, &many), true);
    told("few", &some_files, &move |home| put_all(home, few), true);
    story("one", &some_files, &|home| put_all(home, &[("a", b"new a")]));
}

#[test]
fn a_rename_under_faults() {
    let to = |from: &'static str, to: &'static str, replace: bool| {
        move |home: &Arc<dyn HomeStore>| home.rename(&path(from), &path(to), replace)
    };
    story("rename", &some_files, &to("a", "b", false));
    story("rename elsewhere", &some_files, &to("a", "d/e/b", false));
    story("rename over", &some_files, &to("d/f", "a", true));
    story("rename a directory", &some_files, &to("d/e", "e", false));
}

#[test]
fn a_removal_under_faults() {
    story("remove", &some_files, &|home| home.remove(&path("a"), false));
    story("remove a tree", &some_files, &|home| home.remove(&path("d"), true));
    let empty = |home: &Arc<dyn HomeStore>| home.make_directory(&path("d"), false);
    story("remove a directory", &empty, &|home| home.remove(&path("d"), false));
}

#[test]
fn a_new_directory_under_faults() {
    story("make", &some_files, &|home| home.make_directory(&path("d/new"), false));
    let deep = |home: &Arc<dyn HomeStore>| {
        home.make_directory(&path("x/y"), true)?;
        put_all(home, &[("x/y/z", b"in it")])
    };
    told("make with parents", &some_files, &deep, true);
}

#[test]
fn a_first_start_under_faults() {
    Story {
        name: "first start",
        prepare: &|_| {},
        act: &|top| said(at_home(&top.join("new/data"), |home| upload(home, "f", b"first"))),
        see: &|top| see(&top.join("new/data")),
        sweep: &|top| sweep(&top.join("new/data")),
        in_parts: false,
    }
    .tell();
}
