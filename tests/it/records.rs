//! Records that are in nobody's interest, disks without room, and two administrators at once.

use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::Value;

use super::support::disk::SmallDisk;
use super::support::site::{client, until};
use super::support::{Site, fails, names, ok, result, stderr, stdout};

/// MD5 of "password".
const MD5: &str = "5f4dcc3b5aa765d61d8327deb882cf99";
const NOBODY: u32 = 65534;

fn record(name: &str) -> String {
    format!(
        r#"{{"username":"{name}","password":"{MD5}","limitsize":9000,"homepath":"homes/{name}"}}"#
    )
}

fn accounts(site: &Site) -> PathBuf {
    site.root().join("accounts")
}

fn put(site: &Site, name: &str) {
    std::fs::write(accounts(site).join(format!("{name}.db")), record(name)).unwrap();
}

fn stored(site: &Site, name: &str) -> String {
    let text = std::fs::read_to_string(accounts(site).join(format!("{name}.db"))).unwrap();
    let record: Value = serde_json::from_str(&text).unwrap();
    record["password"].as_str().unwrap().to_owned()
}

fn log_in(site: &Site, server: &super::support::Server, name: &str, password: &str) -> Output {
    let mut command = client(["ls", &site.address(server, name, "")]);
    command.env("SEALANE_PASSWORD", password).output().unwrap()
}

/// Gives everything below `path`, and the way to it, to a user without rights.
fn give_away(site: &Site, path: &Path) {
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(site.directory.path(), open).unwrap();
    chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    if path.is_dir() {
        for name in names(path) {
            give_away(site, &path.join(name));
        }
    }
}

/// `sealane-admin` as somebody who may not read everything; says why if that cannot be had.
fn without_rights(site: &Site, arguments: &[&str]) -> Result<Output, String> {
    let program = env!("CARGO_BIN_EXE_sealane-admin");
    let mut command = if rustix::process::geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", program]);
        command
    } else {
        Command::new(program)
    };
    let output = command.arg("--config").arg(site.config()).args(arguments).output();
    let output = output.map_err(|error| format!("root reads everything, and setpriv: {error}"))?;
    match output.status.code() {
        Some(126 | 127) => Err("root reads everything, and others may not run the programs".into()),
        _ => Ok(output),
    }
}

#[test]
fn a_record_that_cannot_be_read_stays_out_alone_and_is_told() {
    let site = Site::new();
    let folder = site.directory.path().join("old");
    std::fs::create_dir(&folder).unwrap();
    for name in ["good", "secret"] {
        std::fs::write(folder.join(format!("{name}.db")), record(name)).unwrap();
    }
    if rustix::process::geteuid().is_root() {
        give_away(&site, &site.root());
        give_away(&site, &folder);
    }
    let close = |path: PathBuf| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o000)).unwrap();
    };
    close(folder.join("secret.db"));
    let folder = folder.to_str().unwrap();
    let import = match without_rights(&site, &["account", "import", folder]) {
        Ok(output) => output,
        Err(why) => return println!("skipped: {why}"),
    };
    assert!(stdout(&import).contains("secret.db: refused: Permission denied"), "{import:?}");
    fails(import, 9, "1 records were refused");
    put(&site, "closed");
    close(accounts(&site).join("closed.db"));
    let wrap = without_rights(&site, &["account", "wrap", "--json"]).unwrap();
    assert_eq!((wrap.status.code(), &result(&wrap)["exit"]), (Some(9), &9.into()));
    assert!(stdout(&wrap).contains("closed: cannot read"), "{}", stdout(&wrap));
    assert!(stored(&site, "good").starts_with("{md5+argon2id}"));
    let again = without_rights(&site, &["account", "passwd", "closed", "--generate"]).unwrap();
    fails(again, 1, "closed.db': Permission denied");
}

#[test]
fn what_root_writes_into_another_users_accounts_is_that_users() {
    use std::os::unix::fs::MetadataExt;
    if !rustix::process::geteuid().is_root() {
        return println!("skipped: only root can give files away");
    }
    let site = Site::new();
    give_away(&site, &site.root());
    site.account("ann", "1M");
    put(&site, "old");
    ok(site.admin(["account", "wrap"]));
    ok(site.admin(["account", "passwd", "ann", "--generate"]));
    for place in [accounts(&site), site.root().join("migration")] {
        assert_eq!(place.metadata().unwrap().uid(), NOBODY, "{place:?}");
        for name in names(&place) {
            assert_eq!(place.join(&name).metadata().unwrap().uid(), NOBODY, "{name}");
        }
    }
    match without_rights(&site, &["account", "passwd", "old", "--generate"]) {
        Ok(output) => drop(ok(output)),
        Err(why) => println!("skipped: {why}"),
    }
}

#[test]
fn links_fifos_and_giants_are_named_and_left_alone() {
    let site = Site::new();
    put(&site, "good");
    let at = |file: &str| accounts(&site).join(file);
    symlink(at("good.db"), at("link.db")).unwrap();
    mknodat(CWD, at("fifo.db"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    let giant = record("giant") + &" ".repeat(64 * 1024 + 1 - record("giant").len());
    std::fs::write(at("giant.db"), &giant).unwrap();
    std::fs::write(at("torn.db"), &record("torn")[..30]).unwrap();
    let wrap = site.admin(["account", "wrap"]);
    for line in [
        "link: cannot read",
        "fifo: cannot read",
        "giant: cannot read",
        "it is larger than 65536 bytes",
        "torn: cannot use",
        "1 wrapped",
    ] {
        assert!(stdout(&wrap).contains(line), "{line}: {}", stdout(&wrap));
    }
    assert!(!stdout(&wrap).contains(MD5));
    fails(wrap, 9, "4 records could not be changed");
    assert!(at("link.db").symlink_metadata().unwrap().is_symlink());
    assert_eq!(std::fs::read_to_string(at("giant.db")).unwrap(), giant);
    let server = site.start();
    for name in ["link", "fifo", "giant", "torn"] {
        // From a place where it is no stranger's fault.
        ok(site.admin(["account", "unblock", name, "--source", "127.0.0.1"]));
        fails(log_in(&site, &server, name, "password"), 4, "login refused");
        let told = format!("login refused: damaged account record user=\"{name}\"");
        until(&told, || server.log().contains(&told));
    }
    ok(log_in(&site, &server, "good", "password"));
    let undo = ok(site.admin(["account", "undo"]));
    assert!(stdout(&undo).contains("0 put back, 1 left alone"), "{}", stdout(&undo));
}

fn no_temporaries(site: &Site) {
    assert!(!names(&accounts(site)).iter().any(|name| name.ends_with(".tmp")));
}

#[test]
fn a_full_disk_stops_import_and_the_same_command_goes_on() {
    let site = Site::new();
    let disk = match SmallDisk::over(&accounts(&site), "128k") {
        Ok(disk) => disk,
        Err(why) => return println!("skipped: {why}"),
    };
    let folder = site.directory.path().join("old");
    std::fs::create_dir(&folder).unwrap();
    for number in 0..60 {
        let name = format!("u{number:02}");
        std::fs::write(folder.join(format!("{name}.db")), record(&name)).unwrap();
    }
    let import = ["account", "import", folder.to_str().unwrap()];
    let stopped = site.admin(import);
    assert!(stderr(&stopped).contains("hint: make room and run the same command again"));
    fails(stopped, 7, "No space left on device");
    no_temporaries(&site);
    let there: Vec<_> =
        names(&accounts(&site)).into_iter().filter(|n| n.ends_with(".db")).collect();
    assert!(!there.is_empty() && there.len() < 60, "{}", there.len());
    for name in &there {
        assert_eq!(stored(&site, name.trim_end_matches(".db")), MD5);
    }
    disk.change("size=8m");
    ok(site.admin(import));
    assert_eq!(names(&accounts(&site)).iter().filter(|n| n.ends_with(".db")).count(), 60);
}

#[test]
fn a_full_disk_changes_no_record_at_wrap_undo_or_login() {
    let site = Site::new();
    let disk = match SmallDisk::over(&accounts(&site), "128k") {
        Ok(disk) => disk,
        Err(why) => return println!("skipped: {why}"),
    };
    for name in ["a", "b", "late"] {
        put(&site, name);
    }
    let is_whole = || {
        no_temporaries(&site);
        let all = ["a", "b", "late"].map(|name| stored(&site, name));
        assert!(all.iter().all(|text| text == MD5 || text.starts_with("{md5+argon2id}$")));
        all.iter().filter(|text| *text == MD5).count()
    };
    let filler = disk.fill();
    fails(site.admin(["account", "wrap"]), 7, "No space left on device");
    assert_eq!(is_whole(), 3);
    // No room for the backup: no record is touched, room for them or not.
    std::fs::remove_file(&filler).unwrap();
    let backups = site.root().join("migration");
    let _ = std::fs::create_dir(&backups);
    let other = SmallDisk::over(&backups, "128k").unwrap();
    let filler_there = other.fill();
    fails(site.admin(["account", "wrap"]), 7, "No space left on device");
    assert_eq!(is_whole(), 3);
    std::fs::remove_file(filler_there).unwrap();
    ok(site.admin(["account", "wrap"]));
    assert_eq!(is_whole(), 0);

    let filler = disk.fill();
    fails(site.admin(["account", "undo"]), 7, "No space left on device");
    assert_eq!(is_whole(), 0);
    let server = site.start();
    ok(log_in(&site, &server, "late", "password"));
    let told = "password record could not be upgraded";
    until(told, || server.log().contains(told));
    assert_eq!(is_whole(), 0);
    std::fs::remove_file(filler).unwrap();
    ok(log_in(&site, &server, "late", "password"));
    assert!(stored(&site, "late").starts_with("$argon2id$"));
    let undone = result(&ok(site.admin(["account", "undo", "--json"])));
    assert_eq!((&undone["restored"], &undone["changed_meanwhile"]), (&2.into(), &1.into()));
}

#[test]
fn originals_that_do_not_fit_into_the_backup_stay_where_they_are() {
    let site = Site::new();
    let backups = site.root().join("migration");
    std::fs::create_dir(&backups).unwrap();
    let disk = match SmallDisk::over(&backups, "128k") {
        Ok(disk) => disk,
        Err(why) => return println!("skipped: {why}"),
    };
    let all: Vec<String> = (0..40).map(|number| format!("u{number:02}")).collect();
    all.iter().for_each(|name| put(&site, name));
    // Room for the head of a backup, and not for what it is for.
    let filler = std::fs::File::options().write(true).open(disk.fill()).unwrap();
    filler.set_len(filler.metadata().unwrap().len() - 4096).unwrap();
    fails(site.admin(["account", "wrap"]), 7, "No space left on device");
    assert!(all.iter().all(|name| stored(&site, name) == MD5));
}

#[test]
fn two_administrators_at_once_lose_nothing_of_each_other() {
    let site = Site::new();
    let folder = site.directory.path().join("old");
    std::fs::create_dir(&folder).unwrap();
    let all: Vec<String> = (0..40).map(|number| format!("u{number:02}")).collect();
    for name in &all {
        std::fs::write(folder.join(format!("{name}.db")), record(name)).unwrap();
    }
    let admin = |arguments: &[&str]| ok(site.admin([arguments, &["--json"]].concat()));
    let number = |output: &Output, key: &str| result(output)[key].as_u64().unwrap();
    let import = ["account", "import", folder.to_str().unwrap()];
    let (first, second) = std::thread::scope(|scope| {
        let first = scope.spawn(|| admin(&import));
        (admin(&import), first.join().unwrap())
    });
    assert_eq!(number(&first, "imported") + number(&second, "imported"), 40);
    assert_eq!(number(&first, "present") + number(&second, "present"), 40);

    let (first, second, reset) = std::thread::scope(|scope| {
        let wraps = [
            scope.spawn(|| admin(&["account", "wrap"])),
            scope.spawn(|| admin(&["account", "wrap"])),
        ];
        let reset: Vec<String> = (0..8)
            .map(|number| {
                let output = admin(&["account", "passwd", &all[39 - number], "--generate"]);
                result(&output)["password"].as_str().unwrap().to_owned()
            })
            .collect();
        let [first, second] = wraps.map(|wrap| wrap.join().unwrap());
        (first, second, reset)
    });
    let wrapped = number(&first, "wrapped") + number(&second, "wrapped");
    assert!((32..=40).contains(&wrapped), "{wrapped}");
    for name in &all[..32] {
        assert!(stored(&site, name).starts_with("{md5+argon2id}"), "{name}");
    }
    for name in &all[32..] {
        assert!(stored(&site, name).starts_with("$argon2id$"), "{name}: the reset is gone");
    }
    let server = site.start();
    until("the server has looked", || server.log().contains("wrapped=32"));
    ok(log_in(&site, &server, &all[39], &reset[0]));
    fails(log_in(&site, &server, &all[39], "password"), 4, "login refused");
    ok(log_in(&site, &server, &all[0], "password"));
    // Whoever came first, the backups of both together bring everything else back.
    let undone = admin(&["account", "undo"]);
    assert_eq!(number(&undone, "restored"), 31);
}
