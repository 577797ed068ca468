//! Every object that `--json` prints is in `docs/JSON.md`, with every field it has.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Output;

use crate::support::site::sealane;
use crate::support::trees::make;
use crate::support::{Stage, fails, noise, ok, result, stderr, stdout};

/// Fields by type, from the tables of the document; types of several tables have the fields of all.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/JSON.md");
    let mut types: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, name, fields, ..] = cells[..] else { continue };
        let Some(name) = name.strip_prefix('`').and_then(|name| name.strip_suffix('`')) else {
            continue;
        };
        let fields = fields.split(", ").map(|field| field.trim_matches('`').to_owned());
        types.entry(name.to_owned()).or_default().extend(fields);
    }
    types
}

#[test]
fn what_is_printed_is_what_is_documented() {
    let (stage, types) = (Stage::new(), documented());
    let local = stage.site.local();
    let path = |name: &str| local.join(name).to_str().unwrap().to_owned();
    let files = [("tree/a", noise(5000, 1)), ("tree/d/b", noise(3 << 20, 2)), ("paper", vec![])];
    make(&local, &files);
    std::os::unix::fs::symlink("a", local.join("tree/link")).unwrap();
    let (tree, paper, back) = (path("tree"), path("paper"), path("back"));
    let runs: [&[&str]; 15] = [
        &["put", "-r", "--receipt", &paper, &tree, &stage.at("tree")],
        &["put", "-rn", &tree, &stage.at("other")],
        &["put", "--retry-for", "0", &path("none"), &stage.at("none")],
        &["get", "-r", &stage.at("tree"), &back],
        &["sync", "--delete", &tree, &stage.at("tree")],
        &["verify", "-r", &tree, &stage.at("tree")],
        &["verify", "-r", &tree, &stage.at("")],
        &["receipt", "check", "--pin", stage.site.pin(), &paper],
        &["ls", &stage.at("tree")],
        &["stat", &stage.at("tree/a")],
        &["df", &stage.at("")],
        &["partial", "ls", &stage.at("")],
        &["mv", &stage.at("tree/a"), "/tree/c"],
        &["rm", "-r", &stage.at("tree")],
        &["stat", &stage.at("tree")],
    ];
    let mut seen = BTreeSet::new();
    for run in runs {
        let output = sealane(["--json"].iter().chain(run));
        for line in stdout(&output).lines() {
            let object: serde_json::Value = serde_json::from_str(line).unwrap();
            let name = object["type"].as_str().unwrap().to_owned();
            let fields = types.get(&name).unwrap_or_else(|| panic!("{name} is not documented"));
            for field in object.as_object().unwrap().keys().filter(|field| *field != "type") {
                assert!(fields.contains(field), "{run:?}: {name} has {field}");
            }
            seen.insert(name);
        }
        assert!(!stdout(&output).is_empty(), "{run:?}: {}", stderr(&output));
    }
    for name in ["start", "file", "step", "skipped", "error", "result", "compared", "entry"] {
        assert!(seen.contains(name), "{name} was never printed");
    }
}

fn words(output: &Output) -> String {
    stderr(output)
}

#[test]
fn sums_say_what_happened() {
    let stage = Stage::new();
    let tree = stage.local("tree");
    make(&tree, &[("a", noise(5000, 1)), ("d/f", noise(10, 2))]);
    let from = tree.to_str().unwrap();
    let there = stage.home("");
    let plan = ok(sealane(["sync", "-n", from, &stage.at("tree")]));
    assert!(
        words(&plan).contains("2 files of 4.8 KiB would be sent, 0 deleted\n"),
        "{}",
        words(&plan)
    );
    ok(sealane(["put", "-r", from, &stage.at("tree")]));
    std::fs::remove_dir_all(there.join("tree/d")).unwrap();
    std::fs::write(there.join("tree/d"), b"in the way").unwrap();
    let output = sealane(["put", "-r", from, &stage.at("")]);
    assert!(words(&output).contains("1 file, 4.8 KiB (0 B sent, 4.8 KiB unchanged), 1 failed, in"));
    fails(output, 9, "at the other end");
    let back = stage.local("back");
    let down = ok(sealane(["get", "-r", &stage.at("tree"), back.to_str().unwrap()]));
    assert!(words(&down).contains("2 files, 4.8 KiB (4.8 KiB received, 0 B unchanged), in"));
}

#[test]
fn things_go_where_people_expect_them() {
    let stage = Stage::new();
    make(&stage.home(""), &[("d/", vec![]), ("f", noise(9, 1)), ("e/x", vec![])]);
    ok(sealane(["mv", &stage.at("f"), "/d"]));
    ok(sealane(["mv", &stage.at("e"), "d"]));
    assert_eq!(crate::support::names(&stage.home("d")), ["e", "f"]);
    let file = stage.site.file("new", b"new");
    let from = file.to_str().unwrap();
    let plan = ok(sealane(["put", "-n", from, &stage.at("new")]));
    assert_eq!(stdout(&plan), format!("file       {from} -> new\n"));
    assert!(!stage.home("new").exists());
    let output = sealane(["put", from, &stage.at("no/such/place")]);
    assert!(stderr(&output).contains("mkdir -p"));
    let output = sealane(["stat", &stage.at("no")]);
    assert!(!stderr(&output).contains("mkdir"));
    // Several sources of which none arrives.
    let output = sealane(["put", "-r", "/does/not", "/exist", &stage.at("d/")]);
    assert!(stderr(&output).contains("0 of 2 files, 0 B, 2 failed"), "{}", stderr(&output));
    fails(output, 9, "no such file");
}

#[test]
fn a_limit_is_kept_both_ways() {
    let stage = Stage::new();
    let file = stage.site.file("f", &noise(1 << 20, 1));
    let (from, back) = (file.to_str().unwrap(), stage.local("back"));
    let back = back.to_str().unwrap();
    for arguments in [["put", from, &stage.at("f")], ["get", &stage.at("f"), back]] {
        let limited = ["--json", "--limit-rate", "1M"];
        let sum = result(&ok(sealane(limited.iter().chain(&arguments))));
        assert!(sum["seconds"].as_f64().unwrap() >= 0.9, "{sum}");
    }
    fails_to_parse(&["--limit-rate", "0"]);
    fails_to_parse(&["--limit-rate", "fast"]);
    fails_to_parse(&["--retry-for", "long"]);
}

fn fails_to_parse(flags: &[&str]) {
    let output = sealane(flags.iter().chain(&["ls", "sealane://ann@localhost:1/"]));
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}
