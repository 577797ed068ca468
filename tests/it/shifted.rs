//! A file whose bytes have moved, replaced in both directions by the real programs: what crosses
//! the wire is counted, an interruption is gone on from, and the result is the source.

use std::path::PathBuf;
use std::process::Stdio;

use crate::support::site::{client, sealane, until};
use crate::support::{Stage, noise, ok, text};

const MIB: usize = 1 << 20;
const SIZE: usize = 64 * MIB;

fn command(stage: &Stage, up: bool) -> Vec<String> {
    let (address, local) = (stage.through("file"), text(&stage.local("file")).to_owned());
    if up {
        vec!["put".into(), "-q".into(), local, address]
    } else {
        vec!["get".into(), "-q".into(), address, local]
    }
}

/// The source and the target.
fn ends(stage: &Stage, up: bool) -> (PathBuf, PathBuf) {
    let (local, remote) = (stage.local("file"), stage.home("file"));
    if up { (local, remote) } else { (remote, local) }
}

/// Replaces `old` by `new`; gives the bytes that crossed, both ways together.
fn replace(stage: &Stage, up: bool, old: &[u8], new: &[u8]) -> usize {
    let (from, to) = ends(stage, up);
    std::fs::write(from, new).unwrap();
    std::fs::write(&to, old).unwrap();
    let passed = || stage.proxy.sent() + stage.proxy.received();
    let before = passed();
    ok(sealane(command(stage, up)));
    assert!(std::fs::read(to).unwrap() == new);
    (passed() - before) as usize
}

#[test]
fn what_has_moved_is_not_sent_again() {
    let stage = Stage::new();
    let old = noise(SIZE, 1);
    let mut changed = old.clone();
    changed[9 * MIB..10 * MIB].copy_from_slice(&noise(MIB, 2));
    let inserted = [&b"new"[..], &old].concat();
    let removed = [&old[..5 * MIB], &old[7 * MIB + 3..]].concat();
    for up in [true, false] {
        for (name, new, most) in [
            ("one MiB changed", &changed, 2 * MIB),
            ("inserted in front", &inserted, 3 * MIB),
            ("removed", &removed, 3 * MIB),
        ] {
            let crossed = replace(&stage, up, &old, new);
            assert!(crossed < most, "{name}: {crossed} bytes (up: {up})");
        }
    }
}

#[test]
fn an_interrupted_replacement_goes_on() {
    let stage = Stage::new();
    let old = noise(SIZE, 3);
    let new = [&noise(100, 4), &old[..]].concat();
    for up in [true, false] {
        let (from, to) = ends(&stage, up);
        std::fs::write(from, &new).unwrap();
        std::fs::write(&to, &old).unwrap();
        let passed = || if up { stage.proxy.sent() } else { stage.proxy.received() };
        let before = passed();
        let mut child = client(command(&stage, up)).stderr(Stdio::null()).spawn().unwrap();
        until("two chunks have passed", || passed() - before > 2 * MIB as u64);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(std::fs::read(&to).unwrap() == old || std::fs::read(&to).unwrap() == new);
        ok(sealane(command(&stage, up)));
        assert!(std::fs::read(&to).unwrap() == new);
    }
}
