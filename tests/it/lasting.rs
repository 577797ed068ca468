//! What goes wrong with a connection on the way is mended inside one command: cut, left by one end
//! only, another address, a server that is killed and started anew. And what cannot be mended ends
//! it.

use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::site::{client, sealane, until};
use crate::support::trees::{make, same};
use crate::support::{Site, Stage, fails, noise, ok, result, stderr, stdout, text};

const MIB: u64 = 1 << 20;
const SIZE: u64 = 40 * MIB + 777;

/// Waits until `bytes` more have passed, or the child has ended; true if it goes on.
fn passed(stage: &Stage, child: &mut Child, bytes: u64) -> bool {
    let all = || stage.proxy.sent() + stage.proxy.received();
    let (before, mut ended) = (all(), false);
    until("bytes pass", || {
        ended = child.try_wait().unwrap().is_some();
        ended || all() - before >= bytes
    });
    !ended
}

fn start(arguments: &[&str]) -> Child {
    client(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn reconnects(output: &Output) -> usize {
    stdout(output).matches(r#""state":"back""#).count()
}

#[test]
fn a_file_goes_on_over_cuts_that_the_server_hears_of_or_does_not() {
    for (salt, down) in [(1, false), (2, true)] {
        let stage = Stage::new();
        let bytes = noise(SIZE as usize, salt);
        let (here, there) = (stage.local("file"), stage.home("file"));
        let (source, target) = if down { (&there, &here) } else { (&here, &there) };
        std::fs::write(source, &bytes).unwrap();
        let address = stage.through("file");
        let mut child = match down {
            true => start(&["get", "--json", &address, text(&here)]),
            false => start(&["put", "--json", text(&here), &address]),
        };
        let mut cuts = 0;
        for strike in 0..4u64 {
            if !passed(&stage, &mut child, 3 * MIB + strike * 700_001) {
                break;
            }
            cuts += 1;
            if strike % 2 == 0 { stage.proxy.leave() } else { stage.proxy.cut() }
        }
        let output = ok(child.wait_with_output().unwrap());
        assert!(std::fs::read(target).unwrap() == bytes);
        assert!(cuts > 0 && reconnects(&output) > 0, "{}", stdout(&output));
        assert_eq!(reconnects(&output), stdout(&output).matches(r#""state":"lost""#).count());
        let carried = if down { stage.proxy.received() } else { stage.proxy.sent() };
        let most = SIZE + 2 * MIB * cuts + MIB;
        assert!(carried <= most, "{carried} bytes for {SIZE}, {cuts} cuts");
        let sum = result(&output);
        assert_eq!((&sum["ok"], &sum["files"]), (&true.into(), &1.into()));
        let (sent, held) = (sum["sent"].as_u64().unwrap(), sum["held"].as_u64().unwrap());
        assert_eq!(sent + held, SIZE);
        assert!(held <= 2 * MIB * cuts, "{held}: what was never acknowledged, and nothing before");
    }
}

#[test]
fn a_tree_goes_on_when_the_server_is_killed_and_started_anew() {
    let mut stage = Stage::new();
    let tree = stage.local("tree");
    let mut files: Vec<_> =
        (0..1500).map(|i| (format!("d{}/{i}", i % 7), noise(3000, i as u64))).collect();
    files.push(("large/one".to_owned(), noise(20 << 20, 1)));
    files.push(("large/two".to_owned(), noise(9 << 20, 2)));
    let named: Vec<_> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    make(&tree, &named);
    let (address, back) = (stage.through("tree"), stage.local("back"));
    let there = stage.home("tree");
    for arguments in [
        vec!["put", "-r", "--json", text(&tree), &address],
        vec!["get", "-r", "--json", &address, text(&back)],
        vec!["sync", "--json", &address, text(&tree)],
    ] {
        if arguments[0] == "sync" {
            std::fs::remove_dir_all(&tree).unwrap();
        }
        let mut child = start(&arguments);
        let struck = passed(&stage, &mut child, 4 * MIB);
        stage.server.kill();
        stage.server = stage.site.start();
        stage.proxy.lead(stage.server.address, Ipv4Addr::LOCALHOST);
        let output = ok(child.wait_with_output().unwrap());
        assert_eq!(result(&output)["failed"], 0);
        assert!(!struck || reconnects(&output) == 1, "{arguments:?}: {}", stderr(&output));
    }
    same(&there, &back);
    same(&there, &tree);
    assert_eq!(std::fs::read(back.join("large/one")).unwrap(), noise(20 << 20, 1));
    assert_eq!(crate::support::trees::content(&back).len(), 1502 + 8);
}

#[test]
fn another_address_takes_its_own_upload_over() {
    let stage = Stage::new();
    let source = stage.site.file("file", &noise(SIZE as usize, 3));
    let mut child = start(&["put", text(&source), &stage.through("file")]);
    assert!(passed(&stage, &mut child, 5 * MIB));
    stage.proxy.lead(stage.server.address, Ipv4Addr::new(127, 0, 0, 2));
    stage.proxy.leave();
    let output = ok(child.wait_with_output().unwrap());
    assert!(stage.server.log().contains("127.0.0.2"), "{}", stage.server.log());
    let words = stderr(&output);
    assert!(words.contains("; connecting again\n") && words.contains("connected again after"));
    same(&stage.site.local(), &stage.home(""));
}

/// Begins an upload and stops it for good by what `strike` does to the site.
fn struck(arguments: &[&str], strike: impl FnOnce(&mut Stage)) -> (Stage, Output) {
    let mut stage = Stage::new();
    let source = stage.site.file("file", &noise(SIZE as usize, 4));
    let address = stage.through("file");
    let all: Vec<_> = ["put", text(&source), &address].iter().chain(arguments).copied().collect();
    let mut child = start(&all);
    assert!(passed(&stage, &mut child, 5 * MIB));
    strike(&mut stage);
    stage.proxy.cut();
    (stage, child.wait_with_output().unwrap())
}

#[test]
fn a_password_that_was_changed_ends_it() {
    let (_, output) = struck(&[], |stage| {
        let file = stage.site.file("new password", b"another one");
        ok(stage.site.admin(["account", "passwd", "ann", "--password-file", text(&file)]));
    });
    assert_eq!(stderr(&output).matches("error: ").count(), 1, "{}", stderr(&output));
    fails(output, 4, "login refused");
}

#[test]
fn a_server_with_another_key_is_refused_as_ever() {
    let other = Site::new();
    other.account("ann", "1G");
    let impostor = other.start();
    let (_, output) = struck(&[], |stage| stage.proxy.lead(impostor.address, Ipv4Addr::LOCALHOST));
    fails(output, 5, "does not match");
    assert!(!impostor.log().contains("logged in"));
}

#[test]
fn patience_is_as_long_as_was_asked_for() {
    for patience in ["0", "1"] {
        let since = Instant::now();
        let (stage, output) = struck(&["--retry-for", patience], |stage| stage.server.kill());
        assert!(since.elapsed() < Duration::from_secs(30));
        assert_eq!(stage.proxy.connections(), 1);
        let noted = stderr(&output).contains("connecting again");
        assert_eq!(noted, patience != "0", "{}", stderr(&output));
        assert!(stderr(&output).contains("hint: run the same command again"));
        assert_eq!(stderr(&output).matches("error: ").count(), 1, "{}", stderr(&output));
        fails(output, 6, &stage.proxy.address.to_string());
    }
    // The first connection is not tried again.
    let stage = Stage::new();
    let nobody = stage.through("x").replace(&stage.proxy.address.port().to_string(), "1");
    let output = sealane(["put", "--json", "/etc/hostname", &nobody]);
    assert!(!stdout(&output).contains("reconnect"));
    fails(output, 6, "cannot reach");
}

fn interrupt(child: &Child) {
    let id = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
}

#[test]
fn ctrl_c_keeps_what_arrived_and_says_how_to_go_on() {
    let stage = Stage::new();
    let source = stage.site.file("file", &noise(SIZE as usize, 6));
    let mut child = start(&["put", text(&source), &stage.through("file")]);
    assert!(passed(&stage, &mut child, 9 * MIB));
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    assert!(stderr(&output).contains("hint: run the same command again: it goes on"));
    fails(output, 130, "interrupted");
    let again = result(&ok(sealane(["put", "--json", text(&source), &stage.through("file")])));
    assert!(again["held"].as_u64().unwrap() >= 4 * MIB, "{again}");
    assert!(stage.home("file").is_file());
}

#[test]
fn ctrl_c_ends_the_wait_for_a_server_at_once() {
    let mut stage = Stage::new();
    let source = stage.site.file("file", &noise(SIZE as usize, 7));
    let mut child = start(&["put", "--json", text(&source), &stage.through("file")]);
    assert!(passed(&stage, &mut child, 5 * MIB));
    stage.server.kill();
    let (mut line, mut lines) = (String::new(), BufReader::new(child.stdout.take().unwrap()));
    while !line.contains("\"lost\"") {
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0, "it ended");
    }
    interrupt(&child);
    let since = Instant::now();
    let output = child.wait_with_output().unwrap();
    assert!(since.elapsed() < Duration::from_secs(5));
    fails(output, 130, "interrupted");
}

#[test]
fn a_second_ctrl_c_ends_what_does_not_heed_the_first() {
    let stage = Stage::new();
    // It reads its own standard input to the end before it does anything else.
    let mut child =
        client(["put", "-", &stage.through("file")]).stdin(Stdio::piped()).spawn().unwrap();
    let _open = child.stdin.take();
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let heeds = || std::fs::read_to_string(&status).unwrap_or_default();
    // Once it catches the signal (bit 1 of the mask).
    until("it is ready", || {
        let text = heeds();
        let mask = text.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or("0");
        u64::from_str_radix(mask.trim(), 16).unwrap_or(0) & 2 != 0
    });
    interrupt(&child);
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
}
