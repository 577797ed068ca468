//! System calls that fail in running programs, by `strace`, which answers them in the kernel's
//! place.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::{Ground, missing, rounds};
use crate::support::site::{client, sealane};
use crate::support::{Site, fails, names, noise, ok, stderr};

/// MD5 of "password".
const MD5: &str = "5f4dcc3b5aa765d61d8327deb882cf99";
const SYNC: &str = "fsync,fdatasync,syncfs";
const RENAME: &str = "rename,renameat,renameat2";
/// Which of the calls of each thread fail. In the suite the first ones, and then only the first of
/// a thread.
const WHEN: [&str; 9] = ["1+2", "1+", "1", "2", "3", "2+2", "4", "2+3", "5+"];

/// `program` under `strace`, which is not its parent, so that a signal to it meets the program.
fn strace(program: &str, log: &Path, calls: &str, error: &str, when: &str) -> Command {
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "-qq", "-e", &format!("trace={calls}")]);
    command.args(["-e", &format!("inject={calls}:error={error}:when={when}"), "-o"]);
    command.arg(log).arg(program);
    command
}

/// How many calls it failed.
fn injected(log: &Path) -> u64 {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().filter(|line| line.ends_with("(INJECTED)")).count() as u64
}

/// Why none of this can be done, if it cannot.
fn no_strace() -> Option<String> {
    missing("strace", &["-D", "-f", "-qq", "-o", "/dev/null", "true"])
}

/// A server among whose calls some fail, again and again, and what is left by it.
fn failing_server(calls: &str, error: &str) {
    let mut ground = Ground::alone(Site::new());
    ground.prepare();
    let log = ground.site.directory.path().join("strace");
    for when in &WHEN[..WHEN.len().min(rounds(1) as usize)] {
        legacy(&ground, "old");
        let command = strace(env!("CARGO_BIN_EXE_sealaned"), &log, calls, error, when);
        // It may refuse to start: then there is nothing to lose.
        if let Ok(mut server) = ground.site.start_by(command) {
            let homes = ground.open_homes(&server);
            let (site, actors) = (&ground.site, &mut ground.actors);
            for actor in actors.iter_mut() {
                actor.script(site, &server, false);
            }
            let mut upgrade = client(["ls", &site.address(&server, "old", "")]);
            upgrade.env("SEALANE_PASSWORD", "password").output().unwrap();
            ground.check_ledgers(true);
            assert!(server.child.try_wait().unwrap().is_none(), "{}", server.log());
            server.kill();
            drop(homes);
        }
        let failed = injected(&log);
        assert!(failed > 0 || *when != WHEN[0], "{calls}: nothing failed");
        ground.tally.faults += failed;
        ground.recover();
        upgraded(&mut ground, "old");
    }
}

fn record(ground: &Ground, name: &str) -> PathBuf {
    ground.site.root().join(format!("accounts/{name}.db"))
}

/// A record that its first login upgrades.
fn legacy(ground: &Ground, name: &str) {
    let text = format!(
        r#"{{"username":"{name}","password":"{MD5}","limitsize":9000,"homepath":"homes/{name}"}}"#
    );
    std::fs::write(record(ground, name), text).unwrap();
}

/// It is old or new, and its password logs in.
fn upgraded(ground: &mut Ground, name: &str) {
    let text = std::fs::read_to_string(record(ground, name)).unwrap();
    let stored: Value = serde_json::from_str(&text).unwrap();
    let password = stored["password"].as_str().unwrap();
    let is_whole = password == MD5 || password.starts_with("$argon2id$");
    ground.tally.account(is_whole && stored["limitsize"] == 9000, &text);
    let server = ground.site.start();
    let mut command = client(["ls", &ground.site.address(&server, name, "")]);
    let output = command.env("SEALANE_PASSWORD", "password").output().unwrap();
    ground.tally.account(output.status.success(), stderr(&output));
}

#[test]
fn a_server_whose_syncs_fail() {
    if let Some(why) = no_strace() {
        return println!("skipped: {why}");
    }
    failing_server(SYNC, "EIO");
}

/// What is still in memory cannot be told from what is on the disk until the power is cut: so
/// whoever could sync nothing must not say that anything is done.
#[test]
fn a_server_that_can_sync_nothing_acknowledges_nothing() {
    if let Some(why) = no_strace() {
        return println!("skipped: {why}");
    }
    let site = Site::new();
    site.account("ann", "1G");
    let [small, large] = [3000, 3 << 20].map(|size| site.file(&format!("{size}"), &noise(size, 1)));
    let (small, large) = (small.to_str().unwrap(), large.to_str().unwrap());
    let many: Vec<_> = (0..6).map(|i| site.file(&format!("many{i}"), &noise(i, 2))).collect();
    let many = many.iter().map(|path| path.to_str().unwrap());
    let server = site.start();
    for name in ["moved", "gone"] {
        ok(sealane(["put", small, &site.address(&server, "ann", name)]));
    }
    drop(server);
    let log = site.directory.path().join("strace");
    let command = strace(env!("CARGO_BIN_EXE_sealaned"), &log, SYNC, "EIO", "1+");
    let server = site.start_by(command).unwrap();
    let at = |name: &str| site.address(&server, "ann", name);
    let home = at("");
    for arguments in [
        vec!["put", small, &at("small")],
        vec!["put", large, &at("large")],
        ["put"].into_iter().chain(many).chain([home.as_str()]).collect(),
        vec!["mkdir", &at("new")],
        vec!["mv", &at("moved"), &at("elsewhere")],
        vec!["rm", &at("gone")],
    ] {
        let failed = injected(&log);
        let output = client(arguments.iter().chain(&["--retry-for", "0"])).output().unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        assert!(injected(&log) > failed, "{arguments:?} failed by itself: {}", stderr(&output));
    }
}

#[test]
fn a_server_whose_renames_fail() {
    if let Some(why) = no_strace() {
        return println!("skipped: {why}");
    }
    failing_server(RENAME, "EIO");
}

#[test]
fn a_server_whose_writes_exceed_the_quota_of_the_file_system() {
    if let Some(why) = no_strace() {
        return println!("skipped: {why}");
    }
    failing_server("pwrite64", "EDQUOT");
}

#[test]
fn a_server_whose_writes_find_no_room() {
    if let Some(why) = no_strace() {
        return println!("skipped: {why}");
    }
    failing_server("pwrite64", "ENOSPC");
}

#[test]
fn a_server_that_cannot_remove() {
    if let Some(why) = no_strace() {
        return println!("skipped: {why}");
    }
    failing_server("unlink,unlinkat", "EIO");
}

#[test]
fn a_server_that_cannot_cut_files_or_change_their_modes() {
    if let Some(why) = no_strace() {
        return println!("skipped: {why}");
    }
    failing_server("ftruncate,fchmod,utimensat", "EIO");
}

#[test]
fn a_server_that_cannot_read_its_files() {
    if let Some(why) = no_strace() {
        return println!("skipped: {why}");
    }
    failing_server("pread64,getdents64", "EIO");
}

/// The administrator's program, each of whose calls of a kind fails in turn: the record is the old
/// one or the new one, and the new one if it said so.
fn failing_administrator(calls: &str, error: &str) {
    let mut ground = Ground::alone(Site::new());
    ground.prepare();
    let log = ground.site.directory.path().join("strace");
    let stored = |ground: &Ground| {
        let text = std::fs::read_to_string(record(ground, "ann")).unwrap();
        serde_json::from_str::<Value>(&text).ok().and_then(|record| record["limitsize"].as_u64())
    };
    let mut old = stored(&ground).unwrap();
    for number in 1.. {
        let wanted = (1 << 30) + number;
        let program = env!("CARGO_BIN_EXE_sealane-admin");
        let mut command = strace(program, &log, calls, error, &number.to_string());
        let config = ground.site.config();
        let output = command.arg("--config").arg(config).args(["account", "quota", "ann"]);
        let output = output.arg(wanted.to_string()).output().unwrap();
        let failed = injected(&log);
        ground.tally.faults += failed;
        let found = stored(&ground);
        let is_as_told = match output.status.success() {
            true => found == Some(wanted),
            false => found == Some(old) || found == Some(wanted),
        };
        ground.tally.account(is_as_told, (calls, number, found, stderr(&output)));
        old = found.unwrap();
        if failed == 0 {
            assert!(output.status.success() && number > 1, "{number}: {}", stderr(&output));
            break;
        }
    }
    let left = names(&ground.site.root().join("accounts"));
    let temporaries = left.iter().filter(|name| name.ends_with(".tmp")).count();
    assert_eq!(temporaries, 0, "{left:?}");
    let server = ground.site.start();
    ground.check(&server);
}

#[test]
fn an_administrator_whose_syncs_and_renames_fail() {
    if let Some(why) = no_strace() {
        return println!("skipped: {why}");
    }
    failing_administrator(SYNC, "EIO");
    failing_administrator(RENAME, "EIO");
}

#[test]
fn an_administrator_who_can_open_no_more_files() {
    if let Some(why) = no_strace() {
        return println!("skipped: {why}");
    }
    failing_administrator("openat,open", "EMFILE");
}

#[test]
fn an_administrator_who_can_write_no_more() {
    if let Some(why) = no_strace() {
        return println!("skipped: {why}");
    }
    failing_administrator("write", "ENOSPC");
}

/// A client whose calls fail in turn has the old file or the new one, and the same command ends
/// well.
fn failing_client(calls: &str, error: &str) {
    let mut ground = Ground::alone(Site::new());
    let server = ground.site.start();
    let log = ground.site.directory.path().join("strace");
    let (old, new) = (noise(70_000, 1), noise((3 << 20) + 5, 2));
    let source = ground.site.file("source", &new);
    let address = ground.site.address(&server, "ann", "file");
    ok(sealane(["put", source.to_str().unwrap(), &address]));
    let place = ground.site.local().join("here");
    std::fs::create_dir(&place).unwrap();
    let target = place.join("file");
    for when in ["1", "2", "3", "4", "1+"] {
        std::fs::write(&target, &old).unwrap();
        let mut command = strace(env!("CARGO_BIN_EXE_sealane"), &log, calls, error, when);
        let known = client([""; 0]);
        let variables = known.get_envs().filter_map(|(key, value)| Some((key, value?)));
        let output = command.args(["get", &address]).arg(&target).envs(variables).output().unwrap();
        ground.tally.faults += injected(&log);
        let found = std::fs::read(&target).unwrap();
        let is_whole = found == new || found == old && !output.status.success();
        ground.tally.file(is_whole, (calls, when, found.len(), stderr(&output)));
        if !output.status.success() {
            fails(output, if error == "EIO" { 1 } else { 7 }, "");
        }
        ok(sealane(["get", &address, target.to_str().unwrap()]));
        ground.tally.file(std::fs::read(&target).unwrap() == new, (calls, when));
        assert_eq!(names(&place), ["file"]);
    }
}

#[test]
fn a_client_whose_calls_fail() {
    if let Some(why) = no_strace() {
        return println!("skipped: {why}");
    }
    failing_client(SYNC, "EIO");
    failing_client(RENAME, "EIO");
    failing_client("pwrite64", "ENOSPC");
    failing_client("pwrite64", "EDQUOT");
}
