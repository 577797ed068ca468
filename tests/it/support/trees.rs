//! Trees on the disk: made, looked at, compared.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// What is below `root`: for each relative path a directory (`None`) or what the file holds.
/// Anything else is left out.
pub fn content(root: &Path) -> BTreeMap<String, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut ahead = vec![root.to_owned()];
    while let Some(here) = ahead.pop() {
        for entry in std::fs::read_dir(&here).unwrap() {
            let entry = entry.unwrap();
            let path = entry.path();
            let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                found.insert(name, None);
                ahead.push(path);
            } else if kind.is_file() {
                found.insert(name, Some(std::fs::read(&path).unwrap()));
            }
        }
    }
    found
}

/// Permission bits and modification time, in nanoseconds, of every file and directory below `root`.
pub fn marks(root: &Path, directories: bool) -> BTreeMap<String, (u32, i128)> {
    let kept = content(root).into_iter().filter(|(_, bytes)| directories || bytes.is_some());
    kept.map(|(name, _)| {
        let data = root.join(&name).metadata().unwrap();
        let time = i128::from(data.mtime()) * 1_000_000_000 + i128::from(data.mtime_nsec());
        (name, (data.permissions().mode() & 0o777, time))
    })
    .collect()
}

/// Fails unless both hold the same; with rsync installed, it is asked as well.
#[track_caller]
pub fn same(one: &Path, other: &Path) {
    let (left, right) = (content(one), content(other));
    let names = |tree: &BTreeMap<String, _>| tree.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&left), names(&right));
    for (name, bytes) in &left {
        assert!(right[name] == *bytes, "{name} differs");
    }
    let with_slash = |path: &Path| path.join("");
    let rsync = std::process::Command::new("rsync")
        .args(["-rnc", "--delete", "--no-links", "--itemize-changes"])
        .args([with_slash(one), with_slash(other)])
        .output();
    if let Ok(output) = rsync {
        let text = String::from_utf8_lossy(&output.stdout);
        let text: Vec<_> = text.lines().filter(|line| !line.contains("non-regular")).collect();
        assert!(text.is_empty(), "rsync -rnc: {text:?}");
    }
}

/// Writes files (with directories) below `root`; a name that ends in a slash is an empty directory.
pub fn make(root: &Path, files: &[(&str, Vec<u8>)]) {
    for (name, bytes) in files {
        let path = root.join(name);
        if name.ends_with('/') {
            std::fs::create_dir_all(path).unwrap();
        } else {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
    }
}
