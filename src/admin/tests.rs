//! New directories, addresses, accounts: what is made, what is refused.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use time::OffsetDateTime;

use super::*;
use sealane_base::types::{Address, ListenAddress};

const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

fn reach() -> Reach {
    Reach { listen: ListenAddress::parse("127.0.0.1:9901").into_iter().collect(), public: None }
}

fn make(directory: &Path) -> Result<InitReport, AdminError> {
    init(directory, &reach(), NOW, |backup| format!("backup is {backup}"))
}

fn files(certs: &Path) -> CertificateFiles {
    CertificateFiles {
        certificate: certs.join("server.crt"),
        key: certs.join("server.key"),
        backup_pin: None,
    }
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn tree(directory: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            paths.extend(tree(&path));
        }
        paths.push(path);
    }
    paths.sort_unstable();
    paths
}

#[test]
fn a_new_server_is_for_its_owner_alone() {
    let dir = tempfile::tempdir().unwrap();
    let top = dir.path().join("new");
    let report = make(&top).unwrap();
    for (name, expected) in [
        ("", 0o700),
        ("accounts", 0o700),
        ("data", 0o700),
        ("certs", 0o700),
        ("certs/server.key", 0o600),
        ("certs/backup.key", 0o600),
        ("certs/server.crt", 0o644),
        ("certs/backup.crt", 0o644),
        ("certs/keys.json", 0o644),
        ("certs/keys.lock", 0o600),
        ("config.toml", 0o644),
    ] {
        assert_eq!(mode(&top.join(name)), expected, "{name}");
    }
    assert_eq!(tree(&top).len(), 10);
    assert_ne!(report.keys.server, report.keys.backup);
    assert_eq!(report.address.pins, [report.keys.server, report.keys.backup]);
    let config =
        String::from_utf8(sealane_base::fsio::read_bounded(&top.join("config.toml"), 999).unwrap());
    assert_eq!(config.unwrap(), format!("backup is {}", report.keys.backup));
}

#[test]
fn nothing_is_overwritten_and_nothing_made_beside_it() {
    for name in ["config.toml", "certs", "accounts", "data"] {
        let dir = tempfile::tempdir().unwrap();
        symlink("nowhere", dir.path().join(name)).unwrap();
        let error = make(dir.path()).unwrap_err();
        let expected = format!("'{}' exists already", dir.path().join(name).display());
        assert_eq!((error.to_string(), error.hint().is_some()), (expected, true));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "{name}");
    }
    let dir = tempfile::tempdir().unwrap();
    make(dir.path()).unwrap();
    assert!(matches!(make(dir.path()), Err(AdminError::Exists(_))));
    for name in ["server.key", "server.crt", "backup.key", "backup.crt"] {
        let dir = tempfile::tempdir().unwrap();
        symlink("nowhere", dir.path().join(name)).unwrap();
        let error = generate(dir.path(), NOW).unwrap_err();
        assert!(matches!(&error, AdminError::Exists(path) if path.ends_with(name)), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "{name}");
    }
}

#[test]
fn a_file_in_place_of_the_directory_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let (file, link) = (dir.path().join("f"), dir.path().join("l"));
    sealane_base::fsio::create_new(&file, b"", 0o600).unwrap();
    symlink("nowhere", &link).unwrap();
    for taken in [&file, &link] {
        let error = make(taken).unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot create '{}': ", taken.display())), "{error}");
    }
    assert!(make(&dir.path().join("none/new")).unwrap_err().is_not_found());
    assert_eq!(mode(&file), 0o600);
}

#[test]
fn the_backup_pin_is_the_configured_one_or_that_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let made = generate(dir.path(), NOW).unwrap();
    let files = files(dir.path());
    let backup = |files: &CertificateFiles| pins(files).unwrap().backup;
    assert_eq!(
        pins(&files).unwrap(),
        Pins { server: made.server, next: None, backup: Some(made.backup) }
    );
    let other = Pin::of_public_key(b"other");
    assert_eq!(backup(&CertificateFiles { backup_pin: Some(other), ..files.clone() }), Some(other));
    // A server from before there were rings, or whose ring was not brought along.
    fs::remove_file(dir.path().join("keys.json")).unwrap();
    assert_eq!(backup(&files), Some(made.backup));
    fs::remove_file(dir.path().join("backup.crt")).unwrap();
    assert_eq!(backup(&files), None);
    sealane_base::fsio::create_new(&dir.path().join("backup.crt"), b"?", 0o644).unwrap();
    assert!(pins(&files).unwrap_err().to_string().contains("backup.crt': no certificate found"));
    // Without the key the pins are still known.
    fs::remove_file(dir.path().join("backup.crt")).unwrap();
    fs::remove_file(&files.key).unwrap();
    assert_eq!(pins(&files).unwrap().server, made.server);
    fs::remove_file(&files.certificate).unwrap();
    assert!(pins(&files).unwrap_err().is_not_found());
}

#[test]
fn a_key_that_the_server_would_refuse_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    generate(dir.path(), NOW).unwrap();
    let files = files(dir.path());
    let report = show(&files).unwrap();
    assert!(report.key_problem.is_none());
    assert_eq!(report.backup_key, Some(dir.path().join("backup.key")));
    set_mode(&files.key, 0o640);
    let problem = show(&files).unwrap().key_problem.unwrap();
    assert!(problem.to_string().contains("its mode 0640 lets others"), "{problem}");
    assert!(problem.hint().unwrap().starts_with("chmod 600"));
    fs::rename(dir.path().join("backup.key"), &files.key).unwrap();
    let report = show(&files).unwrap();
    let problem = report.key_problem.unwrap();
    assert!(problem.to_string().ends_with("do not belong together"), "{problem}");
    assert_eq!(report.backup_key, None);
}

#[test]
fn a_machine_name_is_asked_for_before_anything_is_made() {
    // Whatever the machine is called, the address must read back.
    let dir = tempfile::tempdir().unwrap();
    let everywhere =
        Reach { listen: ListenAddress::parse("0.0.0.0:9901").into_iter().collect(), public: None };
    match init(dir.path(), &everywhere, NOW, |_| String::new()) {
        Ok(report) => {
            let text = report.address.to_string();
            assert_eq!(Address::parse(&text).unwrap(), report.address);
        }
        Err(AdminError::HostName(_)) => assert!(tree(dir.path()).is_empty()),
        Err(error) => panic!("{error}"),
    }
}
