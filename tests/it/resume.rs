//! `kill -9` of either program in the middle of an upload, a download, a replacement: the same
//! command again ends in a good file, the old version stays whole meanwhile, and hardly anything
//! crosses the wire twice.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use crate::support::site::{client, sealane, until};
use crate::support::{Stage, Tally, fails, noise, ok, result, text};

const MIB: u64 = 1 << 20;
const SIZE: u64 = 24 * MIB + 777;
/// Rounds of every scenario: `scripts/torture` asks for many more.
const ROUNDS: u64 = 3;

#[derive(Clone, Copy, Debug)]
enum Victim {
    Client,
    Server,
}

/// Starts a client, strikes when `after` bytes have passed, and makes all ready to go on. True if
/// it struck before the client had ended.
fn strike(stage: &mut Stage, victim: Victim, arguments: &[String], after: u64, down: bool) -> bool {
    let mut child = start(arguments);
    let (before, mut ended) = (carried(stage, down), false);
    until("bytes pass or the transfer ends", || {
        ended = child.try_wait().unwrap().is_some();
        ended || carried(stage, down) - before >= after
    });
    match victim {
        Victim::Client => child.kill().unwrap(),
        Victim::Server => stage.server.kill(),
    }
    child.wait().unwrap();
    if let Victim::Server = victim {
        stage.server = stage.site.start();
        stage.proxy.lead(stage.server.address, Ipv4Addr::LOCALHOST);
    }
    !ended
}

/// Bytes that crossed in the direction of the file so far.
fn carried(stage: &Stage, down: bool) -> u64 {
    if down { stage.proxy.received() } else { stage.proxy.sent() }
}

fn start(arguments: &[String]) -> Child {
    // What is tested here is the next command, not that one command goes on.
    client(arguments)
        .args(["--retry-for", "0"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Where to strike in round `round` of a scenario: anywhere in the file, not the same twice.
fn moment(round: u64, salt: u64) -> u64 {
    let hash = blake3::hash(&[round.to_le_bytes(), salt.to_le_bytes()].concat());
    u64::from_le_bytes(hash.as_bytes()[..8].try_into().unwrap()) % SIZE
}

fn rounds() -> u64 {
    std::env::var("SEALANE_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS)
}

/// An upload or download, struck several times on its way; `old` is what the name held before.
fn scenario(victim: Victim, down: bool, old: Option<&[u8]>, salt: u64) {
    let mut tally = Tally::default();
    for round in 0..rounds() {
        let mut stage = Stage::new();
        let new = noise(SIZE as usize, salt * 1000 + round);
        let (source, target): (PathBuf, PathBuf) = if down {
            (stage.home("file"), stage.local("copy"))
        } else {
            (stage.local("file"), stage.home("copy"))
        };
        std::fs::write(&source, &new).unwrap();
        if let Some(old) = old {
            std::fs::write(&target, old).unwrap();
        }
        let arguments = |stage: &Stage| match down {
            true => ["get".to_owned(), stage.through("file"), text(&target).to_owned()],
            false => ["put".to_owned(), text(&source).to_owned(), stage.through("copy")],
        };
        let mut strikes = 0;
        for number in 0..3 {
            let after = moment(round * 3 + number, salt) / (number + 1);
            let command = arguments(&stage);
            strikes += u64::from(strike(&mut stage, victim, &command, after, down));
            let there = std::fs::read(&target).ok();
            let intact = there.as_deref() == old || there.as_deref() == Some(&new[..]);
            tally.file(intact, ("neither the old file nor the new one", round));
        }
        tally.kills += strikes;
        ok(client(arguments(&stage)).output().unwrap());
        tally.file(std::fs::read(&target).unwrap() == new, ("wrong file", round));
        let carried = carried(&stage, down);
        // Two chunks for every interruption; one more MiB for frames, records and handshakes.
        let most = SIZE + 2 * MIB * strikes + MIB;
        assert!(carried <= most, "round {round}: {carried} bytes for {SIZE}, {strikes} strikes");
        let left = crate::support::names(target.parent().unwrap());
        assert!(!left.iter().any(|name| name.contains(".part")), "{left:?}");
    }
}

#[test]
fn an_upload_survives_kill_of_the_client() {
    scenario(Victim::Client, false, None, 1);
}

#[test]
fn an_upload_survives_kill_of_the_server() {
    scenario(Victim::Server, false, None, 2);
}

#[test]
fn a_download_survives_kill_of_the_client() {
    scenario(Victim::Client, true, None, 3);
}

#[test]
fn a_download_survives_kill_of_the_server() {
    scenario(Victim::Server, true, None, 4);
}

#[test]
fn a_replacement_survives_kill_of_the_client_and_keeps_the_old_version() {
    scenario(Victim::Client, false, Some(&noise(5 * MIB as usize, 77)), 5);
}

#[test]
fn a_replacement_survives_kill_of_the_server_and_keeps_the_old_version() {
    scenario(Victim::Server, false, Some(&noise(30 * MIB as usize, 78)), 6);
}

#[test]
fn a_replaced_download_survives_kill_of_either_program() {
    scenario(Victim::Client, true, Some(&noise(5 * MIB as usize, 79)), 7);
    scenario(Victim::Server, true, Some(&noise(5 * MIB as usize, 80)), 8);
}

/// Interrupts an upload of `bytes` when about half of it is there; returns the partial.
fn half_uploaded(stage: &mut Stage, source: &Path) -> PathBuf {
    let command = ["put".to_owned(), text(source).to_owned(), stage.through("file")];
    strike(stage, Victim::Client, &command, SIZE / 2, false);
    let partials = stage.site.partials("ann");
    let part = crate::support::names(&partials).into_iter().find(|name| name.ends_with(".part"));
    partials.join(part.expect("a partial is left"))
}

#[test]
fn one_flipped_bit_in_a_partial_costs_one_chunk() {
    let mut stage = Stage::new();
    let source = stage.site.file("file", &noise(SIZE as usize, 9));
    let part = half_uploaded(&mut stage, &source);
    until("the server lets go of the partial", || stage.server.log().contains("session ended"));
    let mut bytes = std::fs::read(&part).unwrap();
    let whole_chunks = bytes.len() as u64 / MIB;
    assert!(whole_chunks >= 4, "{whole_chunks}");
    bytes[2 * MIB as usize + 99] ^= 0x40;
    std::fs::write(&part, &bytes).unwrap();
    let output = ok(sealane(["put", "--json", text(&source), &stage.through("file")]));
    let sum = result(&output);
    assert_eq!(sum["held"], (whole_chunks - 1) * MIB);
    assert_eq!(sum["sent"], SIZE - (whole_chunks - 1) * MIB);
    assert!(std::fs::read(stage.home("file")).unwrap() == noise(SIZE as usize, 9));
}

#[test]
fn a_source_that_changed_since_the_cut_sends_the_chunks_that_differ() {
    let mut stage = Stage::new();
    let mut bytes = noise(SIZE as usize, 10);
    let source = stage.site.file("file", &bytes);
    half_uploaded(&mut stage, &source);
    bytes[MIB as usize] ^= 1;
    bytes.truncate(20 * MIB as usize);
    std::fs::write(&source, &bytes).unwrap();
    ok(sealane(["put", text(&source), &stage.through("file")]));
    assert!(std::fs::read(stage.home("file")).unwrap() == bytes);
}

#[test]
fn an_interrupted_upload_is_invisible_and_counts_in_the_quota() {
    let mut stage = Stage::new();
    let source = stage.site.file("file", &noise(SIZE as usize, 11));
    let part = half_uploaded(&mut stage, &source);
    until("the server lets go of the partial", || stage.server.log().contains("session ended"));
    let listed = ok(sealane(["ls", &stage.through("")]));
    assert_eq!(crate::support::stdout(&listed), "");
    fails(sealane(["get", &stage.through("file"), "-"]), 3, "no such file");
    let usage = result(&ok(sealane(["df", "--json", &stage.through("")])));
    assert_eq!(usage["used"], std::fs::metadata(part).unwrap().len());
    assert_eq!(usage["reserved"], 0);
}

#[test]
fn a_server_told_to_stop_lets_an_upload_end() {
    let mut stage = Stage::new();
    let bytes = noise(60 * MIB as usize, 12);
    let source = stage.site.file("file", &bytes);
    let mut put = start(&["put".to_owned(), text(&source).to_owned(), stage.through("file")]);
    until("the upload is under way", || stage.proxy.sent() > 4 * MIB);
    let id = rustix::process::Pid::from_child(&stage.server.child);
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    assert!(put.wait().unwrap().success());
    assert!(stage.server.child.wait().unwrap().success());
    assert!(std::fs::read(stage.home("file")).unwrap() == bytes);
}
