//! Small things of the command line that people expect from other programs.

use std::process::Command;

use crate::support::site::{PASSWORD, client, sealane};
use crate::support::trees::make;
use crate::support::{Person, Stage, fails, noise, ok, result, stderr, stdout, text};

#[test]
fn behind_two_dashes_every_name_is_a_name() {
    let stage = Stage::new();
    let local = stage.site.local();
    make(&local, &[("a", b"1".to_vec()), ("-x", b"2".to_vec()), ("--json", b"3".to_vec())]);
    let here = |arguments: &[&str]| client(arguments).current_dir(&local).output().unwrap();
    let put = ok(here(&["put", "--", "a", "-x", "--json", &stage.at("")]));
    assert!(put.stdout.is_empty());
    for (name, bytes) in [("a", b"1"), ("-x", b"2"), ("--json", b"3")] {
        assert_eq!(std::fs::read(stage.home(name)).unwrap(), bytes);
    }
    ok(here(&["get", "--", &stage.at("a"), "-out"]));
    assert_eq!(std::fs::read(local.join("-out")).unwrap(), b"1");
    ok(here(&["verify", "--", "a", "-x", &stage.at("")]));
    ok(here(&["mv", "--", &stage.at("a"), "-y"]));
    assert!(stage.home("-y").exists());
    // A dash alone stays standard output.
    assert_eq!(stdout(&ok(here(&["get", "--", &stage.at("-y"), "-"]))), "1");
    fails(here(&["put", "-z", "a", &stage.at("")]), 2, "-z");
}

#[test]
fn slashes_and_dots_that_mean_nothing_are_passed_over() {
    let stage = Stage::new();
    let file = stage.site.file("f", b"x");
    ok(sealane(["mkdir", &stage.at("n")]));
    ok(sealane(["put", text(&file), &stage.at("n/.//")]));
    for path in ["n//f", "./n/f", "n/./f", "/n/f", "n/f"] {
        ok(sealane(["stat", &stage.at(path)]));
    }
    ok(sealane(["mv", &stage.at("n//f"), ".//n/./g"]));
    assert!(stage.home("n/g").exists());
    fails(sealane(["stat", &stage.at("n/../n/g")]), 2, "'.' or '..'");
}

#[test]
fn ls_lists_what_is_below_by_its_path() {
    let stage = Stage::new();
    make(
        &stage.home(""),
        &[("t/a", noise(5, 1)), ("t/d/b", noise(6, 2)), ("t/d/e/c", noise(7, 3))],
    );
    let listed = ok(sealane(["ls", "-r", &stage.at("t")]));
    assert_eq!(stdout(&listed), "a\nd/\nd/b\nd/e/\nd/e/c\n");
    let listed = ok(sealane(["ls", "-lr", &stage.at("")]));
    assert!(
        stdout(&listed).lines().any(|line| line.starts_with("file") && line.ends_with("  t/d/e/c"))
    );
    let listed = ok(sealane(["--json", "ls", "--recursive", &stage.at("t")]));
    assert_eq!((&result(&listed)["entries"], &result(&listed)["failed"]), (&5.into(), &0.into()));
    assert!(stdout(&listed).contains("\"name\":\"d/e/c\""));
    assert_eq!(stdout(&ok(sealane(["ls", &stage.at("t")]))), "a\nd/\n");
}

#[test]
fn the_bar_keeps_to_one_line_of_the_terminal() {
    let stage = Stage::new();
    let file = stage.site.file("large", &noise(12 << 20, 1));
    let mut command = client(["put", "--limit-rate", "10M", text(&file), &stage.at("large")]);
    command.env("TERM", "xterm").env_remove("NO_COLOR");
    let screen = Person::new().types(command, "no such question", |_| String::new());
    assert_eq!(screen.code, Some(0), "{}", screen.text);
    assert!(screen.text.contains("MiB of 12.00 MiB"), "{}", screen.text);
    // What was broken into two lines is drawn over by going up.
    assert!(!screen.text.contains("\u{1b}[1A"), "{:?}", screen.text);
}

#[test]
fn a_reader_may_leave_in_the_middle_of_a_file() {
    let stage = Stage::new();
    let file = stage.site.file("large", &noise(8 << 20, 1));
    ok(sealane(["put", text(&file), &stage.at("large")]));
    let script = "\"$0\" get \"$1\" - | head -c 5 >/dev/null; echo \"${PIPESTATUS[0]}\"";
    let mut command = Command::new("bash");
    command.args(["-c", script, env!("CARGO_BIN_EXE_sealane"), &stage.at("large")]);
    command.env("SEALANE_PASSWORD", PASSWORD).env("HOME", stage.site.directory.path());
    let Ok(output) = command.output() else {
        println!("skipped: there is no bash");
        return;
    };
    assert_eq!((stdout(&output).as_str(), stderr(&output).as_str()), ("0\n", ""));
}

#[test]
fn a_server_may_have_several_names_each_with_its_account() {
    let stage = Stage::new();
    stage.site.account("bob", "1M");
    let person = Person::new();
    let add = |name: &str, user: &str| {
        let address = stage.at("").replace("ann@", &format!("{user}@"));
        person.run(["trust", "add", "--name", name, &address])
    };
    ok(add("old", "ann"));
    ok(add("new", "ann"));
    ok(add("bobs", "bob"));
    for (name, user) in [("old:", "ann"), ("new:", "ann"), ("bobs:", "bob")] {
        ok(person.run(["ls", name]));
        assert!(stage.server.log().contains(&format!("user=\"{user}\"")), "{name}");
    }
    assert!(stdout(&ok(person.run(["trust", "list"]))).starts_with("old,new,bobs"));
    let shown = stdout(&ok(person.run(["trust", "show", "bobs"])));
    assert!(shown.contains("name old, account ann") && shown.contains("name bobs, account bob"));
    // What is written can be read, up to the most that there may be.
    for number in 0..29 {
        ok(add(&format!("n{number}"), "ann"));
    }
    fails(add("one-too-many", "ann"), 1, "more than 32 are not kept");
    ok(person.run(["ls", "n28:"]));
    ok(add("n28", "bob"));
    // One name, one server.
    let elsewhere = stage.through("");
    let taken = person.run(["trust", "add", "--name", "new", &elsewhere]);
    fails(taken, 1, "the name 'new' stands for");
    let file = person.directory.path().join("exported");
    std::fs::write(&file, ok(person.run(["trust", "export"])).stdout).unwrap();
    let other = Person::new();
    ok(other.run(["trust", "import", text(&file)]));
    ok(other.run(["ls", "bobs:"]));
}
