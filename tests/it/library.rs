//! The client as a library: its examples run against a real server, and it stays small.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use crate::support::site::PASSWORD;
use crate::support::trees::{make, same};
use crate::support::{Stage, noise, ok, stderr, stdout, text};

/// Items of the library that another crate can name.
const PUBLIC_ITEMS: usize = 150;

fn cargo(words: &[&str]) -> Output {
    let root = env!("CARGO_MANIFEST_DIR");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(words).args(["--offline", "--locked"]).current_dir(root).output().unwrap()
}

/// The program of an example, built as this test was.
fn example(name: &str) -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    let place = Path::new(env!("CARGO_BIN_EXE_sealane")).parent().unwrap();
    BUILT.get_or_init(|| {
        let target = text(place.parent().unwrap());
        // Together with this package, so that nothing is built anew with other features.
        let mut words = vec!["build", "-p", "sealane", "-p", "sealane-client", "--target-dir"];
        words.extend([target, "--example", "back_up", "--example", "watch"]);
        words.extend(place.ends_with("release").then_some("--release"));
        ok(cargo(&words));
    });
    place.join("examples").join(name)
}

fn run(name: &str, arguments: [&str; 2], password: &str) -> Output {
    let mut command = Command::new(example(name));
    command.args(arguments).env("SEALANE_PASSWORD", password).env_remove("SEALANE_KEY");
    command.output().unwrap()
}

#[test]
fn the_example_that_backs_up_sends_a_directory_once() {
    let stage = Stage::new();
    let from = stage.directory("work");
    make(&from, &[("a", noise(5000, 1)), ("d/b", noise(3 << 20, 2)), ("e/", Vec::new())]);
    let arguments = [text(&from), &stage.at("backup")];
    let first = ok(run("back_up", arguments, PASSWORD));
    assert_eq!(stdout(&first).trim(), "3150728 bytes, 0 unchanged");
    same(&from, &stage.home("backup"));
    let again = ok(run("back_up", arguments, PASSWORD));
    assert_eq!(stdout(&again).trim(), "0 bytes, 0 unchanged", "times say that all is there");
    let refused = run("back_up", arguments, "wrong");
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("login refused"), "{}", stderr(&refused));
}

#[test]
fn the_example_that_watches_shows_progress_up_to_the_whole_file() {
    let stage = Stage::new();
    let bytes = noise(40 << 20, 3);
    std::fs::create_dir_all(stage.home("")).unwrap();
    std::fs::write(stage.home("file"), &bytes).unwrap();
    let to = stage.local("got");
    let output = ok(run("watch", [&stage.at("file"), text(&to)], PASSWORD));
    assert!(std::fs::read(&to).unwrap() == bytes);
    let said = stdout(&output);
    assert!(said.contains("LoggedIn"), "{said}");
    let verified: Vec<u64> = said
        .lines()
        .filter_map(|line| line.strip_suffix(" of 41943040 bytes")?.parse().ok())
        .collect();
    assert!(!verified.is_empty() && verified.is_sorted(), "{said}");
    assert!(said.lines().last().unwrap().starts_with("41943040 bytes, root "), "{said}");
}

#[test]
fn a_program_that_embeds_the_client_compiles_nothing_of_the_server() {
    let tree = ["tree", "-p", "sealane-client", "-e", "normal", "--prefix", "none"];
    let output = ok(cargo(&tree));
    let crates: Vec<_> = stdout(&output).lines().map(|line| line.to_owned()).collect();
    assert!(crates.iter().any(|line| line.starts_with("sealane-protocol ")), "{crates:?}");
    for server in [
        "argon2",
        "md-5",
        "landlock",
        "seccompiler",
        "clap",
        "toml",
        "mimalloc",
        "sealane-core",
        "sealane-server",
    ] {
        let name = format!("{server} ");
        assert!(!crates.iter().any(|line| line.starts_with(&name)), "{server}");
    }
}

#[test]
fn the_library_has_a_small_face() {
    fn count(directory: &Path) -> usize {
        let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        let of = |path: PathBuf| match path.is_dir() {
            true => count(&path),
            false => {
                std::fs::read_to_string(path).unwrap().lines().filter(|it| is_item(it)).count()
            }
        };
        entries.map(of).sum()
    }
    /// What is `pub` can be reached: rustc warns of what cannot.
    fn is_item(line: &str) -> bool {
        const KINDS: [&str; 8] =
            ["async fn", "fn", "struct", "enum", "trait", "type", "mod", "const"];
        let item = line.trim_start().strip_prefix("pub ");
        item.is_some_and(|it| KINDS.iter().any(|kind| it.starts_with(&format!("{kind} "))))
    }
    let items = count(&Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/client/src"));
    assert!((50..=PUBLIC_ITEMS).contains(&items), "{items} public items");
}
