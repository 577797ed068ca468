//! A command whose login is refused: its first requests were under way already, and nothing is seen
//! of them.

use crate::support::site::{client, sealane};
use crate::support::trees::make;
use crate::support::{Stage, fails, names, noise, ok, stderr, stdout, text};

/// What the commands would do, were the login good.
fn commands(stage: &Stage) -> Vec<Vec<String>> {
    let local = stage.directory("local");
    make(
        &local,
        &[("small", noise(5000, 1)), ("tree/d/a", noise(70, 2)), ("large", noise(20 << 20, 3))],
    );
    let (local, at) = (|name: &str| text(&local.join(name)).to_owned(), |path| stage.through(path));
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    vec![
        words(&["mkdir", &at("new")]),
        words(&["rm", "-r", &at("there")]),
        words(&["mv", &at("there"), "/moved"]),
        words(&["ls", &at("")]),
        words(&["stat", &at("there")]),
        words(&["df", &at("")]),
        words(&["put", &local("small"), &at("small")]),
        words(&["put", &local("large"), &at("large")]),
        words(&["put", "--receipt", &local("paper"), &local("small"), &at("small")]),
        words(&["put", &local("small"), &local("large"), &local("missing"), &at("")]),
        words(&["get", &at("there"), &at("missing"), &local("")]),
        words(&["put", "-n", &local("small"), &at("small")]),
        words(&["put", &local("missing"), &at("missing")]),
        words(&["put", "-r", &local("tree"), &at("tree")]),
        words(&["get", &at("there"), &local("got")]),
        words(&["get", &at("there"), "-"]),
        words(&["get", "-r", &at(""), &local("got")]),
        words(&["sync", "--delete", &local("tree"), &at("")]),
        words(&["verify", &local("missing"), &at("there")]),
        words(&["partial", "ls", &at("")]),
    ]
}

#[test]
fn a_refused_login_is_all_that_is_said_and_nothing_is_done() {
    let stage = Stage::new();
    ok(sealane(["put", text(&stage.site.config()), &stage.at("there")]));
    // After so many failures from one address nothing is checked any more, which is a refusal too.
    let limited = 4;
    for (number, command) in commands(&stage).iter().enumerate() {
        let output = client(command).env("SEALANE_PASSWORD", "wrong").output().unwrap();
        let said = stderr(&output);
        let expected = if number < limited { "login refused" } else { "login" };
        fails(output.clone(), 4, expected);
        assert_eq!(said.matches("error: ").count(), 1, "{command:?}: {said}");
        assert_eq!(stdout(&output), "", "{command:?}");
        assert_eq!(names(&stage.home("")), ["there"], "{command:?}");
    }
    assert_eq!(names(&stage.local("local")), ["large", "small", "tree"]);
}

#[test]
fn objects_say_that_it_was_refused_and_nothing_else() {
    let stage = Stage::new();
    let source = stage.local("file");
    std::fs::write(&source, b"bytes").unwrap();
    let command = ["--json", "put", text(&source), &stage.at("file")];
    let output = client(command).env("SEALANE_PASSWORD", "wrong").output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    assert_eq!(stdout(&output).lines().count(), 1, "{}", stdout(&output));
    let good = ok(sealane(command));
    assert!(stdout(&good).lines().next().unwrap().contains("\"start\""));
}
