//! What is printed: none of it is lost in silence, and whoever has read enough is not told of it.

use std::fs::File;
use std::process::{Command, Output, Stdio};

use crate::support::site::{PASSWORD, client, sealane};
use crate::support::trees::make;
use crate::support::{Stage, fails, noise, ok, result, stderr, stdout, text};

fn full() -> File {
    File::options().write(true).open("/dev/full").unwrap()
}

/// Runs with stdout on a full disk.
fn on_full_disk(mut command: Command) -> Output {
    command.stdout(full()).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap()
}

/// Runs with a stdout that nobody reads any more.
fn into_closed_pipe(mut command: Command) -> Output {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap()
}

fn admin(stage: &Stage, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealane-admin"));
    command.arg("--config").arg(stage.site.config()).args(arguments).stdin(Stdio::null());
    command
}

const UNWRITTEN: &str = "cannot write to standard output: No space left";

#[test]
fn a_result_that_finds_no_room_is_an_error_in_every_command_of_the_client() {
    let stage = Stage::new();
    let local = stage.site.local();
    make(&local, &[("tree/a", noise(5000, 1)), ("tree/b", noise(5, 2))]);
    let (tree, paper) = (local.join("tree"), local.join("paper"));
    let (tree, paper) = (text(&tree), text(&paper));
    ok(sealane(["put", "-r", "--receipt", paper, tree, &stage.at("tree")]));
    std::fs::write(local.join("tree/b"), b"other").unwrap();
    let person = crate::support::Person::new();
    let key = person.directory.path().join("key.pem");
    let key = text(&key);
    ok(person.run(["--key", key, "key", "generate"]));
    let known = stage.at("").split("ann@").nth(1).unwrap().to_owned();
    ok(person.run(["trust", "add", "--name", "work", &format!("sealane://ann@{known}")]));
    let at = |path: &str| stage.at(path);
    let runs: [&[&str]; 14] = [
        &["ls", &at("tree")],
        &["ls", "-lr", &at("")],
        &["stat", &at("tree/a")],
        &["df", &at("")],
        &["put", "-rn", tree, &at("other")],
        &["sync", "-n", tree, &at("tree")],
        &["receipt", "check", "--pin", stage.site.pin(), paper],
        &["--key", key, "key", "show"],
        &["trust", "list"],
        &["trust", "show"],
        &["trust", "export"],
        &["--json", "put", "-r", tree, &at("tree")],
        &["--json", "mkdir", &at("new")],
        &["--json", "partial", "ls", &at("")],
    ];
    for run in runs {
        let output = on_full_disk(person.command(run));
        let said = stderr(&output);
        assert!(said.contains(UNWRITTEN), "{run:?}: {said}");
        assert_eq!(output.status.code(), Some(1), "{run:?}: {said}");
    }
    // What went wrong before is the worse news.
    let output = on_full_disk(person.command(["verify", "-r", tree, &at("")]));
    assert_eq!(output.status.code(), Some(8), "{}", stderr(&output));
    assert!(stderr(&output).contains(UNWRITTEN));
    let output = on_full_disk(client(["get", &at("tree/a"), "-"]));
    fails(output, 7, "the disk is full");
    for flag in ["--help", "--version"] {
        fails(on_full_disk(client([flag])), 1, UNWRITTEN);
    }
}

#[test]
fn a_result_that_finds_no_room_is_an_error_in_every_command_of_the_administrator() {
    let stage = Stage::new();
    let folder = stage.site.directory.path().join("old");
    std::fs::create_dir(&folder).unwrap();
    let (made, generated) = (stage.local("made"), stage.local("generated"));
    let runs: [&[&str]; 18] = [
        &["address"],
        &["cert", "show"],
        &["cert", "generate", text(&generated)],
        &["cert", "rotate", "prepare"],
        &["calibrate", "--target-ms", "10"],
        &["init", text(&made)],
        &["status"],
        &["quota", "check"],
        &["account", "list"],
        &["account", "show"],
        &["account", "show", "ann"],
        &["account", "quota", "ann", "1G"],
        &["account", "disable", "ann"],
        &["account", "enable", "ann"],
        &["account", "report"],
        &["account", "import", "-n", text(&folder)],
        &["account", "key", "add", "ann", stage.site.pin()],
        &["account", "key", "list", "ann"],
    ];
    for run in runs {
        let output = on_full_disk(admin(&stage, run));
        assert!(stderr(&output).contains(UNWRITTEN), "{run:?}: {}", stderr(&output));
        assert_eq!(output.status.code(), Some(1), "{run:?}: {}", stderr(&output));
    }
    for json in [&["--json", "account", "list"], &["--json", "cert", "show"]] {
        fails(on_full_disk(admin(&stage, json)), 1, UNWRITTEN);
    }
    fails(on_full_disk(admin(&stage, &["--help"])), 1, UNWRITTEN);
    let mut server = Command::new(env!("CARGO_BIN_EXE_sealaned"));
    server.arg("--version");
    fails(on_full_disk(server), 1, UNWRITTEN);
}

#[test]
fn a_reader_that_has_seen_enough_is_not_told_of_it() {
    let stage = Stage::new();
    let file = stage.site.file("file", &noise(3 << 20, 1));
    ok(sealane(["put", text(&file), &stage.at("file")]));
    let runs: [&[&str]; 4] = [
        &["ls", &stage.at("")],
        &["--json", "ls", &stage.at("")],
        &["get", &stage.at("file"), "-"],
        &["--help"],
    ];
    for run in runs {
        let output = into_closed_pipe(client(run));
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{run:?}");
    }
    let output = into_closed_pipe(admin(&stage, &["account", "list"]));
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    // Nor does it hide what else there is to say.
    fails(into_closed_pipe(client(["ls", &stage.at("none")])), 3, "none");
}

#[test]
fn remarks_that_nobody_can_read_end_nothing() {
    let stage = Stage::new();
    let file = stage.site.file("file", b"x");
    for json in [&[][..], &["--json"]] {
        let (reader, gone) = std::io::pipe().unwrap();
        drop(reader);
        for stream in [Stdio::from(full()), Stdio::from(gone)] {
            let mut command = client(json);
            command.args(["-v", "put", text(&file), &stage.at("file")]);
            assert!(command.stderr(stream).stdout(Stdio::null()).status().unwrap().success());
        }
    }
}

#[test]
fn a_generated_password_that_cannot_be_printed_changes_nothing() {
    let stage = Stage::new();
    let ls = || sealane(["ls", &stage.at("")]);
    let closed = || {
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$@\" >&-", "sh", env!("CARGO_BIN_EXE_sealane-admin")]);
        command.arg("--config").arg(stage.site.config());
        command
    };
    for json in [&[][..], &["--json"]] {
        let passwd = || {
            let mut command = admin(&stage, json);
            command.args(["account", "passwd", "ann", "--generate"]);
            command
        };
        let null = File::options().write(true).open("/dev/null").unwrap();
        let mut lost = passwd();
        lost.stdout(null);
        let mut shut = closed();
        shut.args(json).args(["account", "passwd", "ann", "--generate"]).stderr(Stdio::piped());
        let runs = [
            on_full_disk(passwd()),
            into_closed_pipe(passwd()),
            lost.stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap(),
            shut.spawn().unwrap().wait_with_output().unwrap(),
        ];
        for output in runs {
            assert!(stderr(&output).contains("nothing was changed"), "{}", stderr(&output));
            fails(output, 1, "cannot write to standard output");
            ok(ls());
        }
    }
    let add = || admin(&stage, &["account", "add", "bob", "--generate"]);
    fails(on_full_disk(add()), 1, "cannot write to standard output");
    fails(stage.site.admin(["account", "show", "bob"]), 3, "bob");
    // One that is printed counts, and is the one that was printed.
    let printed = ok(stage.site.admin(["account", "passwd", "ann", "--generate"]));
    let password = stdout(&printed).trim().to_owned();
    let with = |password: &str| {
        client(["ls", &stage.at("")]).env("SEALANE_PASSWORD", password).output().unwrap()
    };
    ok(with(&password));
    fails(with(PASSWORD), 4, "");
    let refused = stage.site.admin(["account", "add", "ann", "--generate"]);
    assert!(stderr(&refused).contains("counts for nothing"), "{}", stderr(&refused));
}

#[test]
fn a_command_line_that_is_wrong_is_an_object_too() {
    let stage = Stage::new();
    let mut outputs = Vec::new();
    for wrong in [
        &["account", "quota", "bob", "1.5G"][..],
        &["account", "add", "a@b", "--generate"],
        &["account", "add"],
        &["nonsense"],
        &[],
    ] {
        outputs.push(admin(&stage, &[&["--json"], wrong].concat()).output().unwrap());
        outputs.push(admin(&stage, &[wrong, &["--json"]].concat()).output().unwrap());
    }
    for wrong in [&["ls", "sealane://bob@127.0.0.1:x/"][..], &["ls"], &["put", "--nonsense"]] {
        outputs.push(sealane([&["--json"], wrong].concat()));
    }
    for output in outputs {
        let object = result(&output);
        assert_eq!(stdout(&output).lines().count(), 1, "{}", stdout(&output));
        assert_eq!((&object["type"], &object["exit"]), (&"error".into(), &2.into()), "{object}");
        assert_eq!(object["code"], "usage");
        assert_eq!(output.status.code(), Some(2));
        assert!(!stderr(&output).is_empty() && !object["error"].as_str().unwrap().is_empty());
    }
    // Behind `--` it is no flag, and without it there is no object.
    assert!(sealane(["ls", "--", "--json"]).stdout.is_empty());
    assert!(sealane(["nonsense"]).stdout.is_empty());
}

#[test]
fn that_something_exists_has_a_code_of_its_own() {
    let stage = Stage::new();
    ok(sealane(["mkdir", &stage.at("d")]));
    let code = |output: Output| result(&output)["code"].as_str().unwrap().to_owned();
    assert_eq!(code(sealane(["--json", "mkdir", &stage.at("d")])), "exists");
    let again =
        stage.site.admin(["--json", "account", "add", "ann", "--password-file", "/dev/null"]);
    assert_eq!(code(again), "usage");
    let password = stage.site.file("password", b"x");
    let again = ["--json", "account", "add", "ann", "--password-file", text(&password)];
    assert_eq!(code(stage.site.admin(again)), "exists");
    assert_eq!(code(stage.site.admin(["--json", "init", text(&stage.site.root())])), "exists");
    assert_eq!(code(sealane(["--json", "stat", &stage.at("none")])), "not-found");
    let wrong = client(["--json", "ls", &stage.at("")]).env("SEALANE_PASSWORD", "no").output();
    assert_eq!(code(wrong.unwrap()), "login");
}
