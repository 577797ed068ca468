//! `sync` in both directions: what is unchanged costs nothing, what is gone goes, what is excluded
//! stays, and afterwards both ends are the same.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::SystemTime;

use sealane_base::files::{FileIdentity, FileSource};
use sealane_base::types::Digest;
use sealane_client::DigestCache;

use crate::support::site::{client_of_another, sealane};
use crate::support::trees::{make, marks, same};
use crate::support::{Person, Stage, fails, names, noise, ok, result, stderr, stdout, text};

/// A tree that is here alone.
fn begin() -> (Stage, PathBuf) {
    let stage = Stage::new();
    let files = [
        ("a/one", noise(5000, 1)),
        ("a/b/two", noise(5000, 2)),
        ("large", noise((2 << 20) + 5, 3)),
        ("hollow/", Vec::new()),
        ("note.o", noise(50, 4)),
    ];
    let tree = stage.local("tree");
    make(&tree, &files);
    (stage, tree)
}

fn up(stage: &Stage, flags: &[&str]) -> Output {
    let (tree, address) = (stage.local("tree"), stage.at("copy/"));
    sealane(["sync", "--json"].iter().chain(flags).chain(&[text(&tree), &address]))
}

fn down(stage: &Stage, flags: &[&str]) -> Output {
    let (tree, address) = (stage.local("tree"), stage.at("copy"));
    sealane(["sync", "--json"].iter().chain(flags).chain(&[&address, text(&tree)]))
}

/// Other bytes of the same length under the same time.
fn forge(path: &Path) {
    let before = std::fs::metadata(path).unwrap().modified().unwrap();
    std::fs::write(path, noise(5000, 99)).unwrap();
    set_time(path, before);
}

fn set_time(path: &Path, time: SystemTime) {
    std::fs::OpenOptions::new().write(true).open(path).unwrap().set_modified(time).unwrap();
}

#[test]
fn a_second_run_moves_nothing_and_a_touched_file_moves_alone() {
    let (stage, tree) = begin();
    ok(up(&stage, &[]));
    same(&tree, &stage.home("copy"));
    assert_eq!(marks(&tree, false), marks(&stage.home("copy"), false));
    let again = ok(up(&stage, &["--delete"]));
    let (sent, held) = (&result(&again)["sent"], &result(&again)["held"]);
    assert_eq!((sent, held), (&0.into(), &((2 << 20) + 5 + 10_050).into()));
    assert_eq!(stdout(&again).lines().count(), 2, "{}", stdout(&again));

    set_time(&tree.join("a/one"), SystemTime::UNIX_EPOCH);
    set_time(&tree.join("large"), SystemTime::UNIX_EPOCH);
    let touched = ok(up(&stage, &[]));
    assert_eq!(result(&touched)["sent"], 5000, "a large one is reconciled");
    assert_eq!(marks(&tree, false), marks(&stage.home("copy"), false));

    assert_eq!(result(&ok(down(&stage, &[])))["sent"], 0);
    std::fs::remove_dir_all(&tree).unwrap();
    ok(down(&stage, &[]));
    same(&stage.home("copy"), &tree);
    assert_eq!(marks(&stage.home("copy"), true), marks(&tree, true));
}

#[test]
fn what_the_source_does_not_have_goes_only_when_asked_for() {
    let (stage, tree) = begin();
    ok(up(&stage, &[]));
    std::fs::remove_dir_all(tree.join("a")).unwrap();
    std::fs::remove_file(tree.join("large")).unwrap();
    make(&tree, &[("large/now/a directory", noise(7, 7)), ("a", noise(8, 8))]);
    fails(up(&stage, &[]), 9, "at the other end");
    assert!(stage.home("copy/a/b/two").is_file());

    let plan = ok(up(&stage, &["--delete", "-n"]));
    assert!(stdout(&plan).contains(r#""step":"delete","path":"copy/a/b/two""#));
    assert!(stage.home("copy/a/b/two").is_file());
    let output = ok(up(&stage, &["--delete", "--force"]));
    assert_eq!(result(&output)["deleted"], 5);
    same(&tree, &stage.home("copy"));

    make(&tree, &[("x/y/z", noise(9, 9)), ("hollow/in", noise(9, 9))]);
    ok(down(&stage, &[]));
    assert!(tree.join("x/y/z").is_file());
    ok(down(&stage, &["--delete"]));
    same(&stage.home("copy"), &tree);
}

/// What rsync would still have to do: nothing. Says why if it cannot be asked.
fn rsync_is_silent(flags: &str, one: &Path, other: &Path) {
    let ends = [one, other].map(|path| format!("{}/", path.display()));
    match std::process::Command::new("rsync").arg(flags).args(&ends).output() {
        Err(error) => eprintln!("skipped: rsync cannot be run: {error}"),
        Ok(output) => {
            assert!(output.status.success(), "{}", stderr(&output));
            assert_eq!(stdout(&output), "", "rsync {flags}");
        }
    }
}

#[test]
fn rsync_has_nothing_left_to_do() {
    let (stage, tree) = begin();
    make(&tree, &[("deep/er/file", noise(9, 9))]);
    let mode = |path: &str, mode| {
        std::fs::set_permissions(tree.join(path), PermissionsExt::from_mode(mode)).unwrap();
    };
    mode("a/one", 0o640);
    mode("hollow", 0o750);
    mode("", 0o700);
    let past = SystemTime::UNIX_EPOCH + std::time::Duration::from_nanos(1_234_567_890_123_456_789);
    for path in ["a/b/two", "deep/er", "deep", "hollow", ""] {
        std::fs::File::open(tree.join(path)).unwrap().set_modified(past).unwrap();
    }
    let same = |other: &Path| {
        rsync_is_silent("-rnci", &tree, other);
        rsync_is_silent("-rnpti", &tree, other);
    };
    ok(up(&stage, &[]));
    same(&stage.home("copy"));
    ok(sealane(["put", "-rp", text(&tree), &stage.at("put")]));
    same(&stage.home("put"));
    let back = stage.local("back");
    ok(sealane(["get", "-rp", &stage.at("copy"), back.to_str().unwrap()]));
    same(&back);
    ok(sealane(["sync", &stage.at("copy"), stage.local("synced").to_str().unwrap()]));
    same(&stage.local("synced"));
    ok(sealane(["put", "-r", text(&tree), &stage.at("plain")]));
    rsync_is_silent("-rnci", &tree, &stage.home("plain"));
    ok(sealane(["get", "-r", &stage.at("plain"), text(&stage.local("plain back"))]));
    rsync_is_silent("-rnci", &tree, &stage.local("plain back"));

    // A file that comes and one that goes change the time of their directory.
    make(&tree, &[("deep/er/new", noise(9, 1))]);
    std::fs::remove_file(tree.join("a/b/two")).unwrap();
    ok(up(&stage, &["--delete"]));
    same(&stage.home("copy"));
}

#[test]
fn a_mode_or_a_time_alone_comes_along_without_bytes() {
    let (stage, tree) = begin();
    ok(up(&stage, &[]));
    let mode = |path: PathBuf, mode| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    };
    mode(tree.join("a/one"), 0o600);
    mode(tree.join("large"), 0o755);
    mode(tree.join("a"), 0o711);
    mode(tree.join("a/b/two"), 0o444);
    let plan = ok(up(&stage, &["-n"]));
    assert!(stdout(&plan).contains(r#""step":"mode","path":"copy/a/one""#), "{}", stdout(&plan));
    assert_eq!(marks(&stage.home("copy"), false)["a/one"].0, 0o644, "a dry run changes nothing");
    assert_eq!(result(&ok(up(&stage, &[])))["sent"], 0);
    let kept = |path: &str| marks(&stage.home("copy"), true)[path].0;
    assert_eq!(
        (kept("a/one"), kept("large"), kept("a"), kept("a/b/two")),
        (0o600, 0o755, 0o711, 0o644)
    );
    // What the server keeps for itself is not asked for again and again.
    let again = ok(up(&stage, &[]));
    assert!(!stdout(&again).contains(r#""type":"file""#), "{}", stdout(&again));
    assert!(!stdout(&again).contains(r#""step":"#), "{}", stdout(&again));

    mode(stage.home("copy/large"), 0o640);
    mode(stage.home("copy/hollow"), 0o700);
    assert_eq!(result(&ok(down(&stage, &[])))["sent"], 0);
    assert_eq!(marks(&stage.home("copy"), true), marks(&tree, true));

    // By digest, a time that differs is no reason to send.
    set_time(&tree.join("a/one"), SystemTime::UNIX_EPOCH);
    assert_eq!(result(&ok(up(&stage, &["--checksum"])))["sent"], 0);
    assert_eq!(marks(&stage.home("copy"), false), marks(&tree, false));
    set_time(&stage.home("copy/a/one"), SystemTime::now());
    assert_eq!(result(&ok(down(&stage, &["--checksum"])))["sent"], 0);
    assert_eq!(marks(&stage.home("copy"), false), marks(&tree, false));
}

#[test]
fn digests_are_remembered_for_files_that_were_left_alone() {
    let (stage, tree) = begin();
    let person = Person::new();
    let place = person.directory.path().join("cache/sealane");
    let cache = place.join("digests");
    // What has just been written is not remembered.
    make(&tree, &[("middle", noise(100_000, 6))]);
    for _ in 0..2 {
        let ends = [text(&tree), &stage.at("copy/")];
        ok(person.run(["sync", "-c"].iter().chain(&ends)));
    }
    assert!(!cache.exists());

    // The program itself has been there for a while.
    let (old, copy) = (env!("CARGO_BIN_EXE_sealane"), stage.at("program"));
    ok(person.run(["put", old, &copy]));
    ok(person.run(["verify", "--no-cache", old, &copy]));
    assert!(!cache.exists());
    let verify = || person.run(["verify", old, &copy]);
    ok(verify());
    assert_eq!(cache.metadata().unwrap().len(), 16 + 72 + 32);
    ok(verify());
    // It is believed, and only for this very state of the file.
    let identity = FileSource::open(Path::new(old)).unwrap().identity();
    let lie = |identity| {
        let (cache, _) = DigestCache::open(&place);
        cache.remember(identity, Digest([7; 32]), SystemTime::now());
        cache.save().unwrap();
    };
    lie(identity);
    fails(verify(), 8, "differs");
    ok(person.run(["verify", "--no-cache", old, &copy]));
    lie(FileIdentity { changed: identity.changed - 1, ..identity });
    ok(verify());

    std::fs::write(&cache, b"rubbish").unwrap();
    let output = ok(verify());
    assert!(stderr(&output).contains("is damaged and not used"), "{}", stderr(&output));
}

#[test]
fn what_is_excluded_is_neither_brought_nor_removed() {
    let (stage, _) = begin();
    make(&stage.home("copy"), &[("kept.o", noise(3, 3)), ("a/cache/x", noise(3, 4))]);
    make(&stage.home("copy"), &[("gone", noise(3, 5))]);
    let flags = ["--delete", "--exclude", "*.o", "--exclude", "cache/", "--exclude", "/a/b/*"];
    ok(up(&stage, &flags));
    assert_eq!(names(&stage.home("copy")), ["a", "hollow", "kept.o", "large"]);
    assert_eq!(names(&stage.home("copy/a")), ["b", "cache", "one"]);
    assert_eq!(names(&stage.home("copy/a/b")), Vec::<String>::new());
    fails(up(&stage, &["--exclude", "[x"]), 2, "is no pattern");
}

#[test]
fn a_change_under_the_same_size_and_time_takes_a_checksum() {
    let (stage, tree) = begin();
    ok(up(&stage, &[]));
    forge(&tree.join("a/one"));
    assert_eq!(result(&ok(up(&stage, &[])))["sent"], 0);
    assert_eq!(result(&ok(up(&stage, &["--checksum"])))["sent"], 5000);
    same(&tree, &stage.home("copy"));
    forge(&stage.home("copy/a/b/two"));
    assert_eq!(result(&ok(down(&stage, &["--checksum"])))["sent"], 5000);
    same(&tree, &stage.home("copy"));
    set_time(&tree.join("large"), SystemTime::UNIX_EPOCH);
    assert_eq!(result(&ok(up(&stage, &["-c"])))["sent"], 0);
}

#[test]
fn nothing_is_deleted_when_a_part_could_not_be_listed() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: needs root to become another user");
        return;
    }
    let (stage, tree) = begin();
    ok(up(&stage, &[]));
    std::fs::remove_file(tree.join("a/one")).unwrap();
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    };
    mode(stage.site.directory.path(), 0o755);
    mode(&tree.join("a/b"), 0o700);
    let arguments = ["sync", "--delete", text(&tree), &stage.at("copy")];
    let mut other = client_of_another(&stage.site.directory.path().join("theirs"), arguments);
    let output = std::os::unix::process::CommandExt::uid(&mut other, 65534).output().unwrap();
    assert!(stderr(&output).contains("nothing is deleted"), "{}", stderr(&output));
    fails(output, 9, "permission denied");
    assert!(stage.home("copy/a/one").is_file());
}

#[test]
fn names_that_cannot_be_sent_are_left_out_and_block_nothing() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let (stage, tree) = begin();
    ok(up(&stage, &[]));
    let bad = ["back\\slash".as_bytes(), b"caf\xe9", b"evil\x1b[2J"].map(OsStr::from_bytes);
    let exclude = ["--delete", "--exclude", "back*", "--exclude", "caf?", "--exclude", "/a/evil*/"];
    for name in &bad[..2] {
        std::fs::write(tree.join(name), b"x").unwrap();
    }
    std::fs::create_dir(tree.join("a").join(bad[2])).unwrap();
    std::fs::remove_file(tree.join("a/one")).unwrap();
    let output = up(&stage, &["--delete"]);
    assert!(stderr(&output).contains("a/evil\\u{1b}"), "{}", stderr(&output));
    fails(output, 9, "back\\slash");
    assert!(!stage.home("copy/a/one").exists());
    std::fs::remove_file(tree.join("note.o")).unwrap();
    ok(up(&stage, &exclude));
    assert!(!stage.home("copy/note.o").exists());

    // The other way: the server has such names, and this machine as well.
    for name in &bad[..2] {
        std::fs::write(stage.home("copy").join(name), b"x").unwrap();
    }
    std::fs::create_dir(stage.home("copy/a").join(bad[2])).unwrap();
    for number in ["1", "2"] {
        std::fs::write(tree.join("a").join(number), b"x").unwrap();
    }
    fails(down(&stage, &["--delete"]), 9, "cannot be fetched");
    assert!(!tree.join("a/1").exists() && tree.join(bad[0]).is_file());
    std::fs::write(tree.join("a/2"), b"x").unwrap();
    ok(down(&stage, &exclude));
    assert!(!tree.join("a/2").exists());
    // What is there and cannot be told keeps nothing else.
    std::fs::write(stage.home("copy/a/extra"), b"x").unwrap();
    ok(up(&stage, &exclude));
    assert!(!stage.home("copy/a/extra").exists() && stage.home("copy").join(bad[1]).is_file());
}

#[test]
fn the_two_ends_are_a_directory_here_and_an_address() {
    let (stage, tree) = begin();
    let tree = text(&tree);
    fails(sealane(["sync", tree, "/tmp"]), 2, "one end must be an address");
    fails(sealane(["sync", &stage.at("a"), &stage.at("b")]), 2, "a directory of this machine");
    fails(sealane(["sync", "/does/not/exist", &stage.at("b")]), 3, "no such file");
    fails(sealane(["sync", &format!("{tree}/large"), &stage.at("b")]), 1, "not a directory");
    fails(sealane(["sync", &stage.at("none"), tree]), 3, "no such file");
}

#[test]
fn a_known_server_is_called_by_its_name() {
    let (stage, tree) = begin();
    let person = Person::new();
    ok(person.run(["trust", "add", "--name", "work", &stage.at("")]));
    ok(person.run(["sync", text(&tree), "ann@work:copy/"]));
    same(&tree, &stage.home("copy"));
    std::fs::remove_dir_all(&tree).unwrap();
    ok(person.run(["sync", "ann@work:copy", text(&tree)]));
    same(&tree, &stage.home("copy"));
    fails(person.run(["sync", "nobody:copy", "/tmp"]), 2, "one end must be an address");
}

#[test]
fn deleting_much_needs_force_and_is_told() {
    let (stage, tree) = begin();
    ok(up(&stage, &[]));
    let all = stage.local("all");
    std::fs::rename(&tree, &all).unwrap();
    std::fs::create_dir(&tree).unwrap();
    let before = crate::support::trees::content(&stage.home("copy"));
    let empty = up(&stage, &["--delete"]);
    fails(empty, 1, "is empty");
    fails(up(&stage, &["--delete", "--max-delete", "6"]), 1, "--max-delete allows 6");
    fails(up(&stage, &["--delete", "--force", "--max-delete", "6"]), 1, "--max-delete allows 6");
    // One file more than half of seven names.
    make(&tree, &[("a/one", noise(5000, 1)), ("note.o", noise(50, 4))]);
    fails(up(&stage, &["--delete"]), 1, "4 of 7 names");
    assert_eq!(crate::support::trees::content(&stage.home("copy")), before);
    let plan = up(&stage, &["--delete", "-n"]);
    assert!(stderr(&plan).contains("this would be refused"), "{}", stderr(&plan));
    ok(plan);
    // The other way round: the server's directory is empty.
    std::fs::create_dir(stage.home("hollow")).unwrap();
    let down = sealane(["sync", "--delete", &stage.at("hollow"), text(&all)]);
    fails(down, 1, "is empty");
    same(&stage.home("copy"), &all);
    fails(sealane(["sync", "--delete", &stage.at("missing"), text(&all)]), 3, "missing");
    fails(sealane(["sync", "--delete", "/missing", &stage.at("copy")]), 3, "missing");

    let done = sealane(["sync", "--delete", "--force", text(&tree), &stage.at("copy")]);
    assert!(stderr(&done).contains("4 deleted"), "{}", stderr(&done));
    ok(done);
    same(&tree, &stage.home("copy"));
    std::fs::remove_file(tree.join("note.o")).unwrap();
    let one = ok(up(&stage, &["--delete", "--max-delete", "1"]));
    assert_eq!(result(&one)["deleted"], 1);
}
