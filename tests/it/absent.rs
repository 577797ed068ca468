//! What is not there, or not yet, or not any more, is not taken for data: empty and closed streams,
//! files of unknown size, files that grow or vanish.

use std::fs::write;
use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::disk::SmallDisk;
use crate::support::site::{client, sealane};
use crate::support::{Stage, fails, noise, ok, result, stderr, stdout, text};

/// The client as a shell runs it, with `redirection` at its end.
fn in_shell(redirection: &str, arguments: &[&str]) -> Output {
    let inner = client(arguments);
    let mut command = Command::new("sh");
    command.args(["-c", &format!("exec \"$@\" {redirection}"), "sh"]);
    command.arg(inner.get_program()).args(inner.get_args());
    command.envs(inner.get_envs().filter_map(|(key, value)| Some((key, value?))));
    command.output().unwrap()
}

#[test]
fn empty_and_closed_input_replace_nothing() {
    let stage = Stage::new();
    let good = stage.site.file("good", b"good");
    ok(sealane(["put", text(&good), &stage.at("dump")]));
    for (redirection, words) in [("<&-", "is closed"), ("</dev/null", "is empty")] {
        let at = stage.at("dump");
        fails(in_shell(redirection, &["put", "-", &at]), 1, words);
        let at = stage.at("new");
        fails(in_shell(redirection, &["put", "-", &at]), 1, words);
    }
    assert_eq!(std::fs::read(stage.home("dump")).unwrap(), b"good");
    assert!(!stage.home("new").exists());
    ok(in_shell("</dev/null", &["put", "--allow-empty", "-", &stage.at("new")]));
    assert_eq!(stage.home("new").metadata().unwrap().len(), 0);
}

#[test]
fn closed_output_swallows_no_file() {
    let stage = Stage::new();
    let good = stage.site.file("good", b"good");
    ok(sealane(["put", text(&good), &stage.at("dump")]));
    fails(in_shell(">&-", &["get", &stage.at("dump"), "-"]), 1, "standard output is closed");
    ok(in_shell(">/dev/null", &["get", &stage.at("dump"), "-"]));
}

#[test]
fn files_whose_size_the_system_does_not_know_arrive_whole() {
    let stage = Stage::new();
    let expected = std::fs::read("/proc/version").unwrap();
    ok(sealane(["put", "/proc/version", &stage.at("v")]));
    assert_eq!(std::fs::read(stage.home("v")).unwrap(), expected);
    ok(sealane(["verify", "/proc/version", &stage.at("v")]));
    write(stage.home("v"), b"").unwrap();
    fails(sealane(["verify", "/proc/version", &stage.at("v")]), 8, "differs");
    // As part of a tree; what is there is small and does not change.
    let tree = "/proc/sys/fs/inotify";
    ok(sealane(["put", "-r", tree, &stage.at("tree")]));
    let read = |path: &str| std::fs::read(format!("{tree}/{path}")).unwrap();
    let stored = std::fs::read(stage.home("tree/max_user_watches")).unwrap();
    assert_eq!(stored, read("max_user_watches"));
    ok(sealane(["verify", "-r", tree, &stage.at("tree")]));
    // Of these the system says that they are a page long.
    let page = "/sys/kernel/mm/transparent_hugepage/enabled";
    match std::fs::read(page) {
        Err(_) => println!("skipped: there is no {page}"),
        Ok(expected) => {
            ok(sealane(["put", page, &stage.at("page")]));
            assert_eq!(std::fs::read(stage.home("page")).unwrap(), expected);
        }
    }
}

#[test]
fn a_log_that_is_written_to_is_stored_as_it_was() {
    let stage = Stage::new();
    let first = noise(8 << 20, 1);
    for tree in [false, true] {
        let directory = stage.local(if tree { "tree" } else { "alone" });
        std::fs::create_dir(&directory).unwrap();
        let path = directory.join("log");
        write(&path, &first).unwrap();
        let mut log = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let flag = stop.clone();
        let writing = std::thread::spawn(move || {
            while !flag.load(Ordering::Relaxed) {
                log.write_all(b"line\n").unwrap();
            }
        });
        let put = match tree {
            true => sealane(["put", "-r", text(&directory), &stage.at("tree")]),
            false => sealane(["put", text(&path), &stage.at("log")]),
        };
        stop.store(true, Ordering::Relaxed);
        writing.join().unwrap();
        assert!(stderr(&put).contains("stored as it was when it was opened"), "{}", stderr(&put));
        ok(put);
        let stored = std::fs::read(stage.home(if tree { "tree/log" } else { "log" })).unwrap();
        let here = std::fs::read(&path).unwrap();
        assert!(stored.len() >= first.len() && here.starts_with(&stored));
        assert_eq!(crate::support::names(&stage.site.partials("ann")), [""; 0]);
    }
}

#[test]
fn files_that_vanish_are_a_warning_of_their_own() {
    let stage = Stage::new();
    let tree = stage.local("tree");
    std::fs::create_dir(&tree).unwrap();
    for number in 0..30 {
        write(tree.join(format!("f{number:02}")), noise(2 << 20, number)).unwrap();
    }
    let last: Vec<_> = (20..30).map(|number| tree.join(format!("f{number:02}"))).collect();
    let run = |arguments: &[&str], going: &[std::path::PathBuf]| {
        let mut command = client(arguments);
        command.args(["--json", "--limit-rate", "20M"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // The first file is told once all are listed.
        let mut lines =
            std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
        let told =
            lines.by_ref().map(Result::unwrap).find(|line| line.contains(r#""type":"file""#));
        assert!(told.is_some());
        for path in going {
            std::fs::remove_file(path).unwrap();
        }
        let rest: Vec<_> = lines.map(Result::unwrap).collect();
        let mut output = child.wait_with_output().unwrap();
        output.stdout = rest.join("\n").into_bytes();
        output
    };
    let up = run(&["sync", text(&tree), &stage.at("copy")], &last);
    assert_eq!(up.status.code(), Some(24), "{}", stderr(&up));
    assert!(stdout(&up).contains("it vanished"));
    let sum = result(&up);
    assert_eq!((sum["failed"].as_u64(), sum["ok"].as_bool()), (Some(0), Some(true)), "{sum}");
    assert!(sum["vanished"].as_u64() > Some(0));
    assert!(stage.home("copy/f19").is_file());
    ok(sealane(["sync", text(&tree), &stage.at("copy")]));

    let back = stage.local("back");
    let last: Vec<_> = (10..20).map(|number| stage.home(&format!("copy/f{number:02}"))).collect();
    let down = run(&["sync", &stage.at("copy"), text(&back)], &last);
    assert_eq!(down.status.code(), Some(24), "{}", stderr(&down));
    assert!(back.join("f09").is_file());
}

#[test]
fn an_input_that_has_no_room_says_where() {
    let stage = Stage::new();
    let small = stage.directory("small");
    let _disk = match SmallDisk::over(&small, "2m") {
        Ok(disk) => disk,
        Err(why) => {
            println!("skipped: {why}");
            return;
        }
    };
    let mut put = client(["put", "-", &stage.at("piped")]);
    put.env("TMPDIR", &small).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut put = put.stdout(Stdio::piped()).spawn().unwrap();
    let mut input = put.stdin.take().unwrap();
    let writing = std::thread::spawn(move || drop(input.write_all(&noise(5 << 20, 1))));
    let output = put.wait_with_output().unwrap();
    writing.join().unwrap();
    assert!(stderr(&output).contains("TMPDIR"), "{}", stderr(&output));
    fails(output, 7, text(&small));
    assert!(!stage.home("piped").exists());
}
