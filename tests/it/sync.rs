//! `sync` in both directions: what is unchanged costs nothing, what is gone goes, what is excluded
//! stays, and afterwards both ends are the same.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sealane::client::DigestCache;
use sealane::storage::{FileIdentity, FileSource};
use sealane::types::Digest;

use crate::support::site::sealane;
use crate::support::trees::{make, marks, same};
use crate::support::{Person, Server, Site, fails, names, noise, ok, result, stderr, stdout};

struct Stage {
    site: Site,
    server: Server,
    tree: PathBuf,
}

impl Stage {
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
            ("note.o", noise(50, 4)),
        ];
        make(&tree, &files);
        Self { site, server, tree }
    }

    fn at(&self, path: &str) -> String {
        self.site.address(&self.server, "ann", path)
    }

    fn home(&self, path: &str) -> PathBuf {
        self.site.home("ann").join(path)
    }

    fn up(&self, flags: &[&str]) -> std::process::Output {
        let address = self.at("copy/");
        let ends = [self.tree.to_str().unwrap(), &address];
        sealane(["sync", "--json"].iter().chain(flags).chain(&ends))
    }

    fn down(&self, flags: &[&str]) -> std::process::Output {
        let address = self.at("copy");
        let ends = [&address, self.tree.to_str().unwrap()];
        sealane(["sync", "--json"].iter().chain(flags).chain(&ends))
    }
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
    let stage = Stage::new();
    ok(stage.up(&[]));
    same(&stage.tree, &stage.home("copy"));
    assert_eq!(marks(&stage.tree, false), marks(&stage.home("copy"), false));
    let again = ok(stage.up(&["--delete"]));
    let (sent, held) = (&result(&again)["sent"], &result(&again)["held"]);
    assert_eq!((sent, held), (&0.into(), &((2 << 20) + 5 + 10_050).into()));
    assert_eq!(stdout(&again).lines().count(), 2, "{}", stdout(&again));

    set_time(&stage.tree.join("a/one"), SystemTime::UNIX_EPOCH);
    set_time(&stage.tree.join("large"), SystemTime::UNIX_EPOCH);
    let touched = ok(stage.up(&[]));
    assert_eq!(result(&touched)["sent"], 5000, "a large one is reconciled");
    assert_eq!(marks(&stage.tree, false), marks(&stage.home("copy"), false));

    let down = ok(stage.down(&[]));
    assert_eq!(result(&down)["sent"], 0);
    std::fs::remove_dir_all(&stage.tree).unwrap();
    ok(stage.down(&[]));
    same(&stage.home("copy"), &stage.tree);
    assert_eq!(marks(&stage.home("copy"), true), marks(&stage.tree, true));
}

#[test]
fn what_the_source_does_not_have_goes_only_when_asked_for() {
    let stage = Stage::new();
    ok(stage.up(&[]));
    std::fs::remove_dir_all(stage.tree.join("a")).unwrap();
    std::fs::remove_file(stage.tree.join("large")).unwrap();
    make(&stage.tree, &[("large/now/a directory", noise(7, 7)), ("a", noise(8, 8))]);
    fails(stage.up(&[]), 9, "at the other end");
    assert!(stage.home("copy/a/b/two").is_file());

    let plan = ok(stage.up(&["--delete", "-n"]));
    assert!(stdout(&plan).contains(r#""step":"delete","path":"copy/a/b/two""#));
    assert!(stage.home("copy/a/b/two").is_file());
    let output = ok(stage.up(&["--delete"]));
    assert_eq!(result(&output)["deleted"], 5);
    same(&stage.tree, &stage.home("copy"));

    make(&stage.tree, &[("x/y/z", noise(9, 9)), ("hollow/in", noise(9, 9))]);
    ok(stage.down(&[]));
    assert!(stage.tree.join("x/y/z").is_file());
    ok(stage.down(&["--delete"]));
    same(&stage.home("copy"), &stage.tree);
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
    let stage = Stage::new();
    make(&stage.tree, &[("deep/er/file", noise(9, 9))]);
    let mode = |path: &str, mode| {
        std::fs::set_permissions(stage.tree.join(path), PermissionsExt::from_mode(mode)).unwrap();
    };
    mode("a/one", 0o640);
    mode("hollow", 0o750);
    mode("", 0o700);
    let past = SystemTime::UNIX_EPOCH + std::time::Duration::from_nanos(1_234_567_890_123_456_789);
    for path in ["a/b/two", "deep/er", "deep", "hollow", ""] {
        std::fs::File::open(stage.tree.join(path)).unwrap().set_modified(past).unwrap();
    }
    let same = |other: &Path| {
        rsync_is_silent("-rnci", &stage.tree, other);
        rsync_is_silent("-rnpti", &stage.tree, other);
    };
    ok(stage.up(&[]));
    same(&stage.home("copy"));
    ok(sealane(["put", "-rp", stage.tree.to_str().unwrap(), &stage.at("put")]));
    same(&stage.home("put"));
    let back = stage.site.local().join("back");
    ok(sealane(["get", "-rp", &stage.at("copy"), back.to_str().unwrap()]));
    same(&back);
    ok(sealane(["sync", &stage.at("copy"), stage.site.local().join("synced").to_str().unwrap()]));
    same(&stage.site.local().join("synced"));
    ok(sealane(["put", "-r", stage.tree.to_str().unwrap(), &stage.at("plain")]));
    rsync_is_silent("-rnci", &stage.tree, &stage.home("plain"));

    // A file that comes and one that goes change the time of their directory.
    make(&stage.tree, &[("deep/er/new", noise(9, 1))]);
    std::fs::remove_file(stage.tree.join("a/b/two")).unwrap();
    ok(stage.up(&["--delete"]));
    same(&stage.home("copy"));
}

#[test]
fn a_mode_or_a_time_alone_comes_along_without_bytes() {
    let stage = Stage::new();
    ok(stage.up(&[]));
    let tree = |path: &str| stage.tree.join(path);
    let mode = |path: PathBuf, mode| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    };
    mode(tree("a/one"), 0o600);
    mode(tree("large"), 0o755);
    mode(tree("a"), 0o711);
    mode(tree("a/b/two"), 0o444);
    let plan = ok(stage.up(&["-n"]));
    assert!(stdout(&plan).contains(r#""step":"mode","path":"copy/a/one""#), "{}", stdout(&plan));
    assert_eq!(marks(&stage.home("copy"), false)["a/one"].0, 0o644, "a dry run changes nothing");
    assert_eq!(result(&ok(stage.up(&[])))["sent"], 0);
    let kept = |path: &str| marks(&stage.home("copy"), true)[path].0;
    assert_eq!(
        (kept("a/one"), kept("large"), kept("a"), kept("a/b/two")),
        (0o600, 0o755, 0o711, 0o644)
    );
    // What the server keeps for itself is not asked for again and again.
    let again = ok(stage.up(&[]));
    assert!(!stdout(&again).contains(r#""type":"file""#), "{}", stdout(&again));
    assert!(!stdout(&again).contains(r#""step":"#), "{}", stdout(&again));

    mode(stage.home("copy/large"), 0o640);
    mode(stage.home("copy/hollow"), 0o700);
    assert_eq!(result(&ok(stage.down(&[])))["sent"], 0);
    assert_eq!(marks(&stage.home("copy"), true), marks(&stage.tree, true));

    // By digest, a time that differs is no reason to send.
    set_time(&tree("a/one"), SystemTime::UNIX_EPOCH);
    assert_eq!(result(&ok(stage.up(&["--checksum"])))["sent"], 0);
    assert_eq!(marks(&stage.home("copy"), false), marks(&stage.tree, false));
    set_time(&stage.home("copy/a/one"), SystemTime::now());
    assert_eq!(result(&ok(stage.down(&["--checksum"])))["sent"], 0);
    assert_eq!(marks(&stage.home("copy"), false), marks(&stage.tree, false));
}

#[test]
fn digests_are_remembered_for_files_that_were_left_alone() {
    let stage = Stage::new();
    let person = Person::new();
    let place = person.directory.path().join("cache/sealane");
    let cache = place.join("digests");
    // What has just been written is not remembered.
    make(&stage.tree, &[("middle", noise(100_000, 6))]);
    for _ in 0..2 {
        let ends = [stage.tree.to_str().unwrap(), &stage.at("copy/")];
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
    let stage = Stage::new();
    make(&stage.home("copy"), &[("kept.o", noise(3, 3)), ("a/cache/x", noise(3, 4))]);
    make(&stage.home("copy"), &[("gone", noise(3, 5))]);
    let flags = ["--delete", "--exclude", "*.o", "--exclude", "cache/", "--exclude", "/a/b/*"];
    ok(stage.up(&flags));
    assert_eq!(names(&stage.home("copy")), ["a", "hollow", "kept.o", "large"]);
    assert_eq!(names(&stage.home("copy/a")), ["b", "cache", "one"]);
    assert_eq!(names(&stage.home("copy/a/b")), Vec::<String>::new());
    fails(stage.up(&["--exclude", "[x"]), 2, "is no pattern");
}

#[test]
fn a_change_under_the_same_size_and_time_takes_a_checksum() {
    let stage = Stage::new();
    ok(stage.up(&[]));
    forge(&stage.tree.join("a/one"));
    assert_eq!(result(&ok(stage.up(&[])))["sent"], 0);
    assert_eq!(result(&ok(stage.up(&["--checksum"])))["sent"], 5000);
    same(&stage.tree, &stage.home("copy"));
    forge(&stage.home("copy/a/b/two"));
    assert_eq!(result(&ok(stage.down(&["--checksum"])))["sent"], 5000);
    same(&stage.tree, &stage.home("copy"));
    set_time(&stage.tree.join("large"), SystemTime::UNIX_EPOCH);
    assert_eq!(result(&ok(stage.up(&["-c"])))["sent"], 0);
}

#[test]
fn nothing_is_deleted_when_a_part_could_not_be_listed() {
    let stage = Stage::new();
    ok(stage.up(&[]));
    std::fs::remove_file(stage.tree.join("a/one")).unwrap();
    make(&stage.tree, &[("back\\slash", Vec::new())]);
    let output = stage.up(&["--delete"]);
    assert!(stderr(&output).contains("nothing is deleted"), "{}", stderr(&output));
    fails(output, 9, "back\\slash");
    assert!(stage.home("copy/a/one").is_file());
}

#[test]
fn the_two_ends_are_a_directory_here_and_an_address() {
    let stage = Stage::new();
    let tree = stage.tree.to_str().unwrap();
    fails(sealane(["sync", tree, "/tmp"]), 2, "one end must be an address");
    fails(sealane(["sync", &stage.at("a"), &stage.at("b")]), 2, "a directory of this machine");
    fails(sealane(["sync", "/does/not/exist", &stage.at("b")]), 3, "no such file");
    fails(sealane(["sync", &format!("{tree}/large"), &stage.at("b")]), 1, "not a directory");
    fails(sealane(["sync", &stage.at("none"), tree]), 3, "no such file");
}

#[test]
fn a_known_server_is_called_by_its_name() {
    let stage = Stage::new();
    let person = Person::new();
    ok(person.run(["trust", "add", "--name", "work", &stage.at("")]));
    ok(person.run(["sync", stage.tree.to_str().unwrap(), "ann@work:copy/"]));
    same(&stage.tree, &stage.home("copy"));
    std::fs::remove_dir_all(&stage.tree).unwrap();
    ok(person.run(["sync", "ann@work:copy", stage.tree.to_str().unwrap()]));
    same(&stage.tree, &stage.home("copy"));
    fails(person.run(["sync", "nobody:copy", "/tmp"]), 2, "one end must be an address");
}
