//! Downloads to the user's own machine.

use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;
use sealane_base::files::{FileSource, LocalSink, spool};

fn create(path: &std::path::Path, size: u64) -> Result<LocalSink, StorageError> {
    LocalSink::create(path, size, FileMeta::default(), false)
}

fn names(directory: &TempDir) -> Vec<String> {
    let entries = std::fs::read_dir(directory.path()).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_download_resumes_beside_its_destination() {
    let directory = tempfile::tempdir().unwrap();
    let destination = directory.path().join("f");
    assert!(!LocalSink::would_hold(&destination));
    let sink = create(&destination, 6).unwrap();
    sink.write_at(0, b"abc").unwrap();
    refused!(create(&destination, 6), StorageError::InUse);
    drop(sink);
    assert!(LocalSink::would_hold(&destination));
    let sink = create(&destination, 6).unwrap();
    assert_eq!(sink.held(), 3);
    sink.write_at(3, b"def").unwrap();
    assert!(!destination.exists());
    sink.commit().unwrap();
    assert!(sink.write_at(0, b"x").is_err());
    drop(sink);
    assert_eq!(std::fs::read(&destination).unwrap(), b"abcdef");
    assert_eq!(names(&directory), ["f"]);

    let sink = create(&destination, 6).unwrap();
    assert_eq!(sink.held(), 6);
    sink.write_at(0, b"x").unwrap();
    sink.discard();
    drop(sink);
    assert_eq!(std::fs::read(&destination).unwrap(), b"abcdef");
    drop(create(&destination, 6).unwrap());
    assert_eq!(names(&directory), ["f"]);
}

#[test]
fn modes_and_times_are_kept_when_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let destination = directory.path().join("f");
    let mode = || destination.metadata().unwrap().permissions().mode() & 0o7777;
    std::fs::write(&destination, b"").unwrap();
    let usual = mode();
    std::fs::remove_file(&destination).unwrap();
    let meta = FileMeta { modified: Some(-1_000_000_001), mode: Some(0o4500) };

    create(&destination, 0).unwrap().commit().unwrap();
    assert_eq!(mode(), usual, "as any program of the user makes files");
    std::fs::remove_file(&destination).unwrap();
    LocalSink::create(&destination, 0, meta, false).unwrap().commit().unwrap();
    assert_eq!(
        (mode() & 0o400, mode() & 0o7277),
        (0o400, 0),
        "as the sender has it, less the umask"
    );
    std::fs::set_permissions(&destination, PermissionsExt::from_mode(0o640)).unwrap();
    LocalSink::create(&destination, 0, meta, false).unwrap().commit().unwrap();
    assert_eq!(mode(), 0o640, "as it was");
    LocalSink::create(&destination, 0, meta, true).unwrap().commit().unwrap();
    assert_eq!(mode(), 0o500, "as the sender has it, but never set-id");
    assert_eq!(FileSource::open(&destination).unwrap().meta().modified, meta.modified);
}

#[test]
fn a_partial_is_private() {
    let directory = tempfile::tempdir().unwrap();
    let sink = create(&directory.path().join("f"), 6).unwrap();
    sink.write_at(0, b"abc").unwrap();
    let [name] = names(&directory).try_into().unwrap();
    let mode = directory.path().join(&name).metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(name.starts_with(".sealane-") && name.ends_with(".part"), "{name}");
}

#[test]
fn only_files_and_free_names_are_written_to() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    refused!(create(directory.path(), 1), StorageError::IsDirectory);
    refused!(create(&at("new/"), 1), StorageError::IsDirectory);
    refused!(create(std::path::Path::new("/"), 1), StorageError::IsDirectory);
    refused!(create(&at("no/f"), 1), StorageError::NotFound);
    refused!(create(std::path::Path::new("/dev/null"), 1), StorageError::NotRegular);
    make_fifo(&at("fifo"));
    refused!(create(&at("fifo"), 1), StorageError::NotRegular);
    symlink("target", at("link")).unwrap();
    refused!(create(&at("link"), 1), StorageError::NotRegular);
    refused!(create(&at("huge"), u64::MAX), StorageError::DiskFull { short: Some(_) });
    assert_eq!(names(&directory).len(), 2);
}

#[test]
fn a_planted_partial_is_not_used() {
    let directory = tempfile::tempdir().unwrap();
    let destination = directory.path().join("f");
    let sink = create(&destination, 3).unwrap();
    let [part] = names(&directory).try_into().unwrap();
    let part = directory.path().join(part);
    drop(sink);
    let victim = directory.path().join("victim");
    std::fs::write(&victim, b"precious").unwrap();
    symlink(&victim, &part).unwrap();
    refused!(create(&destination, 3), StorageError::NotRegular);
    std::fs::remove_file(&part).unwrap();
    std::fs::hard_link(&victim, &part).unwrap();
    refused!(create(&destination, 3), StorageError::Denied);
    std::fs::remove_file(&part).unwrap();
    make_fifo(&part);
    refused!(create(&destination, 3), StorageError::NotRegular);
    assert_eq!(std::fs::read(&victim).unwrap(), b"precious");
}

#[test]
fn a_stream_of_unknown_length_becomes_a_nameless_file() {
    let directory = tempfile::tempdir().unwrap();
    let content = vec![9; 100_000];
    let source = spool(content.as_slice(), directory.path()).unwrap();
    assert_eq!(source.size(), 100_000);
    let mut read = vec![0; 100_000];
    source.read_at(0, &mut read).unwrap();
    assert_eq!(read, content);
    source.check_unchanged().unwrap();
    assert_eq!(names(&directory), Vec::<String>::new());
}

#[test]
fn an_ordinary_file_system_tells_names_apart_by_case() {
    let directory = tempfile::tempdir().unwrap();
    let tree = sealane_base::files::Tree::open(directory.path()).unwrap();
    assert!(!tree.folds_names().unwrap());
    assert_eq!(names(&directory), [""; 0]);
}
