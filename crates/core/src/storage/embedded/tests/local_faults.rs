//! Downloads, when any call fails and when the power is cut anywhere: see `fsio::rehearsal`.

use std::path::Path;

use super::faults::{fill, tell};
use super::*;
use sealane_base::files::{LocalSink, Tree, make_directory};
use sealane_base::fsio::rehearsal::{State, Story, said};

/// Files whose names show.
fn see(directory: &Path) -> State {
    let mut state = State::new();
    tell(directory, "", &mut state);
    state.retain(|name, _| !name.contains(".sealane-"));
    state
}

fn told(
    name: &str,
    prepare: &dyn Fn(&Path),
    act: &dyn Fn(&Path) -> Result<(), StorageError>,
    in_parts: bool,
) {
    let act = |directory: &Path| said(act(directory));
    Story { name, prepare, act: &act, see: &see, sweep: &|_| {}, in_parts }.tell();
}

fn download(to: &Path, content: &[u8]) -> Result<(), StorageError> {
    let meta = FileMeta { modified: Some(7), mode: Some(0o640) };
    let size = u64::try_from(content.len()).unwrap();
    fill(&LocalSink::create(to, size, meta, true)?, content)
}

#[test]
fn a_download_under_faults() {
    let get = |content: &'static [u8]| move |at: &Path| download(&at.join("f"), content);
    let old = |at: &Path| std::fs::write(at.join("f"), b"old content").unwrap();
    let torn = |at: &Path| {
        let sink = LocalSink::create(&at.join("f"), 12, FileMeta::default(), true).unwrap();
        sink.write_at(0, b"new con").unwrap();
    };
    told("fresh", &|_| {}, &get(b"new content"), false);
    told("replace", &old, &get(b"new"), false);
    told("extend", &old, &get(b"old content, more of it"), false);
    told("resume", &torn, &get(b"new content"), false);
}

#[test]
fn a_batch_of_downloads_under_faults() {
    let old = |at: &Path| {
        std::fs::create_dir(at.join("d")).unwrap();
        std::fs::write(at.join("d/a"), b"old").unwrap();
    };
    let act = |at: &Path| {
        let tree = Tree::open(at)?;
        let file = |name: &str| SmallFile {
            path: path(name),
            bytes: name.as_bytes().to_vec(),
            meta: FileMeta::default(),
        };
        let files: Vec<_> = ["d/a", "d/b", "c", "e", "d/f"].into_iter().map(file).collect();
        tree.put_many(&files, true).into_iter().collect()
    };
    told("many", &old, &act, true);
}

#[test]
fn new_directories_for_downloads_under_faults() {
    let act = |at: &Path| {
        make_directory(&at.join("top/"), 0o777)?;
        Tree::open(&at.join("top"))?.make_directory(&path("d"), 0o777)?;
        download(&at.join("top/d/f"), b"in it")
    };
    told("directories", &|_| {}, &act, true);
}
