//! Two sources of one command that would end under one name are refused before anything moves.

use std::fs::write;

use crate::support::site::sealane;
use crate::support::{Stage, fails, names, ok, stderr, text};

#[test]
fn uploads_to_one_name_are_refused_and_every_clash_is_named() {
    let stage = Stage::new();
    let local = stage.site.local();
    for (name, is_directory) in [
        ("a/x", false),
        ("b/x", false),
        ("a/y", true),
        ("b/y", false),
        ("c/z", true),
        ("d/z", true),
    ] {
        std::fs::create_dir_all(local.join(name).parent().unwrap()).unwrap();
        match is_directory {
            true => std::fs::create_dir(local.join(name)).unwrap(),
            false => write(local.join(name), name).unwrap(),
        }
    }
    write(local.join("b/only"), b"x").unwrap();
    let at = |name: &str| text(&local.join(name)).to_owned();
    let to = stage.at("");
    let run = |sources: &[&str]| {
        let sources: Vec<_> = sources.iter().map(|name| at(name)).collect();
        sealane(["put", "-r"].into_iter().chain(sources.iter().map(String::as_str)).chain([&*to]))
    };
    for (sources, clashes) in [
        (&["a/x", "b/x"][..], &["a/x"][..]),
        (&["a/x", "b/./x"], &["b/./x"]),
        (&["a/y/", "b/y"], &["b/y"]),
        (&["c/z", "b/only", "d/z/"], &["c/z", "d/z"]),
        (&["a/x", "a/y", "b/x", "b/y"], &["a/x", "a/y", "b/x", "b/y"]),
    ] {
        let output = run(sources);
        for clash in clashes {
            assert!(stderr(&output).contains(&at(clash)), "{clash}: {}", stderr(&output));
        }
        fails(output, 2, "nothing was done");
        assert_eq!(names(&stage.home("")), [""; 0], "{sources:?}");
    }
    // A directory without a name brings what it holds.
    let here = crate::support::site::client(["put", "-r", ".", &at("b/x"), &to])
        .current_dir(local.join("a"))
        .output();
    fails(here.unwrap(), 2, "would all become 'x'");
    assert_eq!(names(&stage.home("")), [""; 0]);
    ok(run(&["a/x", "b/only", "c/z"]));
    assert_eq!(names(&stage.home("")), ["only", "x", "z"]);
}

#[test]
fn downloads_to_one_name_are_refused_and_every_clash_is_named() {
    let stage = Stage::new();
    for path in ["a/x", "b/x", "a/t/f", "b/t/f", "top"] {
        std::fs::create_dir_all(stage.home(path).parent().unwrap()).unwrap();
        write(stage.home(path), path).unwrap();
    }
    let back = stage.directory("back");
    let get = |paths: &[&str]| {
        let addresses: Vec<_> = paths.iter().map(|path| stage.at(path)).collect();
        let flags = ["get", "-r"].into_iter();
        sealane(flags.chain(addresses.iter().map(String::as_str)).chain([text(&back)]))
    };
    for (paths, clashes) in [
        (&["a/x", "b/x"][..], &["a/x", "b/x"][..]),
        (&["a/x", "b/t", "b/x", "a/t"], &["a/x", "b/x", "a/t", "b/t"]),
        (&["b/t", "a/t/"], &["a/t", "b/t"]),
        (&["", "top"], &["top"]),
    ] {
        let output = get(paths);
        for clash in clashes {
            assert!(stderr(&output).contains(&format!("'{clash}'")), "{}", stderr(&output));
        }
        fails(output, 2, "nothing was done");
        assert_eq!(names(&back), [""; 0], "{paths:?}");
    }
    ok(get(&["a/x", "b/t"]));
}
