//! `verify`: what is the same, what differs, what only one end has, and which number that ends with.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use crate::support::proxy::Proxy;
use crate::support::site::sealane;
use crate::support::trees::make;
use crate::support::{Server, Site, fails, noise, ok, result, stderr, stdout};

struct Stage {
    site: Site,
    server: Server,
    tree: PathBuf,
}

impl Stage {
    /// A tree that is at both ends.
    fn new() -> Self {
        let site = Site::new();
        site.account("ann", "1G");
        let server = site.start();
        let tree = site.local().join("tree");
        let files = [
            ("a/one", noise(5000, 1)),
            ("a/b/two", noise(5000, 2)),
            ("large", noise((2 << 20) + 5, 3)),
            ("hollow/", Vec::new()),
        ];
        make(&tree, &files);
        make(&site.home("ann").join("tree"), &files);
        Self { site, server, tree }
    }

    fn at(&self, path: &str) -> String {
        self.site.address(&self.server, "ann", path)
    }

    fn there(&self, path: &str) -> PathBuf {
        self.site.home("ann").join("tree").join(path)
    }

    fn verify(&self, flags: &[&str], path: &str) -> std::process::Output {
        let address = self.at(path);
        let ends = [self.tree.to_str().unwrap(), &address];
        sealane(["verify", "-r"].iter().chain(flags).chain(&ends))
    }
}

#[test]
fn a_tree_that_is_the_same_is_said_to_be_and_hardly_moves_a_byte() {
    let stage = Stage::new();
    let proxy = Proxy::start(stage.server.address);
    let through = |path: &str| {
        stage.at(path).replace(&stage.server.address.to_string(), &proxy.address.to_string())
    };
    for path in ["tree", ""] {
        let address = through(path);
        let output = ok(sealane(["verify", "-r", stage.tree.to_str().unwrap(), &address]));
        assert_eq!(stdout(&output), "");
        assert!(stderr(&output).contains("3 the same, 0 not, 0 not compared"));
    }
    assert!(proxy.sent() + proxy.received() < 40_000);
    let sum = result(&ok(stage.verify(&["--json"], "tree")));
    assert_eq!((&sum["same"], &sum["ok"]), (&3.into(), &true.into()));
}

#[test]
fn what_differs_and_what_one_end_lacks_is_listed() {
    let stage = Stage::new();
    std::fs::write(stage.there("a/one"), noise(5000, 9)).unwrap();
    std::fs::write(stage.there("large"), b"short").unwrap();
    std::fs::remove_dir_all(stage.there("a/b")).unwrap();
    make(&stage.there(""), &[("new/x", noise(1, 1)), ("y", noise(1, 1))]);
    std::fs::remove_dir(stage.tree.join("hollow")).unwrap();
    std::fs::write(stage.tree.join("hollow"), b"a file").unwrap();
    let output = stage.verify(&[], "tree");
    let (text, tree) = (stdout(&output), stage.tree.display().to_string());
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

    let output = stage.verify(&["--json"], "tree");
    assert_eq!(output.status.code(), Some(8));
    let sum = result(&output);
    assert_eq!((&sum["differ"], &sum["same"], &sum["failed"]), (&6.into(), &0.into(), &0.into()));
    let flags = ["--exclude", "a", "--exclude", "hollow", "--exclude", "/large"];
    let output =
        stage.verify(&[&flags[..], &["--exclude", "new/", "--exclude", "y"]].concat(), "tree");
    assert_eq!(stdout(&ok(output)), "");
}

#[test]
fn what_cannot_be_compared_is_no_difference() {
    let stage = Stage::new();
    symlink("/etc/passwd", stage.tree.join("link")).unwrap();
    symlink("elsewhere", stage.there("link")).unwrap();
    ok(stage.verify(&[], "tree"));
    std::fs::set_permissions(stage.there("a/one"), PermissionsExt::from_mode(0o0)).unwrap();
    if std::fs::read(stage.there("a/one")).is_err() {
        fails(stage.verify(&[], "tree"), 9, "a/one");
    }
    fails(stage.verify(&[], "none"), 3, "no such file");
    let missing = stage.site.local().join("missing");
    fails(sealane(["verify", missing.to_str().unwrap(), &stage.at("x")]), 3, "no such file");
    // A directory without -r.
    fails(sealane(["verify", stage.tree.to_str().unwrap(), &stage.at("tree")]), 1, "directory");
}

#[test]
fn files_that_are_named_are_compared_with_those_of_their_names() {
    let stage = Stage::new();
    let (one, two) = (stage.tree.join("a/one"), stage.tree.join("a/b/two"));
    std::fs::copy(&two, stage.there("a/two")).unwrap();
    let files = [one.to_str().unwrap(), two.to_str().unwrap()];
    let address = stage.at("tree/a/");
    let output = ok(sealane(["verify"].iter().chain(&files).chain(&[address.as_str()])));
    assert_eq!(stdout(&output).lines().count(), 2);
    std::fs::remove_file(stage.there("a/two")).unwrap();
    let output = sealane(["verify"].iter().chain(&files).chain(&[address.as_str()]));
    fails(output, 8, "there is no tree/a/two on the server");
}
