//! `verify`: what is the same, what differs, what only one end has, and which number that ends
//! with.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Output;

use crate::support::site::sealane;
use crate::support::trees::make;
use crate::support::{Stage, fails, noise, ok, result, stderr, stdout, text};

/// A tree that is at both ends.
fn begin() -> (Stage, PathBuf) {
    let stage = Stage::new();
    let files = [
        ("a/one", noise(5000, 1)),
        ("a/b/two", noise(5000, 2)),
        ("large", noise((2 << 20) + 5, 3)),
        ("hollow/", Vec::new()),
    ];
    let tree = stage.local("tree");
    make(&tree, &files);
    make(&stage.home("tree"), &files);
    (stage, tree)
}

fn verify(stage: &Stage, flags: &[&str], path: &str) -> Output {
    let (tree, address) = (stage.local("tree"), stage.at(path));
    sealane(["verify", "-r"].iter().chain(flags).chain(&[text(&tree), &address]))
}

#[test]
fn a_tree_that_is_the_same_is_said_to_be_and_hardly_moves_a_byte() {
    let (stage, tree) = begin();
    for path in ["tree", ""] {
        let address = stage.through(path);
        let output = ok(sealane(["verify", "-r", text(&tree), &address]));
        assert_eq!(stdout(&output), "");
        assert!(stderr(&output).contains("3 the same, 0 not, 0 not compared"));
    }
    assert!(stage.proxy.sent() + stage.proxy.received() < 40_000);
    let sum = result(&ok(verify(&stage, &["--json"], "tree")));
    assert_eq!((&sum["same"], &sum["ok"]), (&3.into(), &true.into()));
}

#[test]
fn what_differs_and_what_one_end_lacks_is_listed() {
    let (stage, tree) = begin();
    std::fs::write(stage.home("tree/a/one"), noise(5000, 9)).unwrap();
    std::fs::write(stage.home("tree/large"), b"short").unwrap();
    std::fs::remove_dir_all(stage.home("tree/a/b")).unwrap();
    make(&stage.home("tree"), &[("new/x", noise(1, 1)), ("y", noise(1, 1))]);
    std::fs::remove_dir(tree.join("hollow")).unwrap();
    std::fs::write(tree.join("hollow"), b"a file").unwrap();
    let output = verify(&stage, &[], "tree");
    let (text, tree) = (stdout(&output), tree.display().to_string());
    let expected = [
        ("missing there", "a/b (a directory)"),
        ("other kind   ", "hollow (a file here, a directory there)"),
        ("differs      ", "large"),
        ("missing here ", "new (a directory)"),
        ("missing here ", "y (a file)"),
        ("differs      ", "a/one"),
    ];
    let expected = expected.map(|(word, path)| format!("{word}  {tree}/{path}\n")).concat();
    assert_eq!((text, output.status.code()), (expected, Some(8)));

    let output = verify(&stage, &["--json"], "tree");
    assert_eq!(output.status.code(), Some(8));
    let sum = result(&output);
    assert_eq!((&sum["differ"], &sum["same"], &sum["failed"]), (&6.into(), &0.into(), &0.into()));
    let flags = ["--exclude", "a", "--exclude", "hollow", "--exclude", "/large"];
    let output =
        verify(&stage, &[&flags[..], &["--exclude", "new/", "--exclude", "y"]].concat(), "tree");
    assert_eq!(stdout(&ok(output)), "");
}

#[test]
fn what_cannot_be_compared_is_no_difference() {
    let (stage, tree) = begin();
    symlink("/etc/passwd", tree.join("link")).unwrap();
    symlink("elsewhere", stage.home("tree/link")).unwrap();
    ok(verify(&stage, &[], "tree"));
    std::fs::set_permissions(stage.home("tree/a/one"), PermissionsExt::from_mode(0o0)).unwrap();
    if std::fs::read(stage.home("tree/a/one")).is_err() {
        fails(verify(&stage, &[], "tree"), 9, "a/one");
    }
    fails(verify(&stage, &[], "none"), 3, "no such file");
    let missing = stage.local("missing");
    fails(sealane(["verify", missing.to_str().unwrap(), &stage.at("x")]), 3, "no such file");
    // A directory without -r.
    fails(sealane(["verify", text(&tree), &stage.at("tree")]), 1, "directory");
}

#[test]
fn files_that_are_named_are_compared_with_those_of_their_names() {
    let (stage, tree) = begin();
    let (one, two) = (tree.join("a/one"), tree.join("a/b/two"));
    std::fs::copy(&two, stage.home("tree/a/two")).unwrap();
    let files = [one.to_str().unwrap(), two.to_str().unwrap()];
    let address = stage.at("tree/a/");
    let output = ok(sealane(["verify"].iter().chain(&files).chain(&[address.as_str()])));
    assert_eq!(stdout(&output).lines().count(), 2);
    std::fs::remove_file(stage.home("tree/a/two")).unwrap();
    let output = sealane(["verify"].iter().chain(&files).chain(&[address.as_str()]));
    fails(output, 8, "there is no tree/a/two on the server");
}
