//! Trees through the real programs: `put -r` and `get -r` bring all of a directory over, say what
//! they leave behind, and write nowhere else.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::support::disk::SmallDisk;
use crate::support::site::{client, sealane, until};
use crate::support::trees::{content, make, marks, same};
use crate::support::{Site, Stage, fails, names, noise, ok, result, stderr, stdout, text};

/// A tree of the client with files of all sizes.
fn tree(stage: &Stage) -> PathBuf {
    let tree = stage.local("tree");
    let mut files = vec![
        ("empty".to_owned(), Vec::new()),
        ("hollow/".to_owned(), Vec::new()),
        ("a/b/c/deep".to_owned(), noise(10_000, 1)),
        ("a/one chunk".to_owned(), noise(1 << 20, 2)),
        ("a/large é".to_owned(), noise((3 << 20) + 7, 3)),
        ("a-b".to_owned(), b"sorts between a and a/".to_vec()),
    ];
    files.extend((0..150).map(|i| (format!("many/{i}"), noise(i * 37, i as u64))));
    let files: Vec<_> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    make(&tree, &files);
    tree
}

#[test]
fn a_tree_goes_up_and_comes_back_the_same() {
    let stage = Stage::new();
    let tree = tree(&stage);
    let output = ok(sealane(["put", "-r", "--json", text(&tree), &stage.at("")]));
    assert_eq!(result(&output)["files"], 155);
    same(&tree, &stage.home("tree"));

    // As scp does it: into a directory that is there, else under the new name.
    ok(sealane(["put", "-r", text(&tree), &stage.at("copy")]));
    same(&tree, &stage.home("copy"));
    ok(sealane(["put", "-r", text(&tree), &stage.at("copy")]));
    same(&tree, &stage.home("copy/tree"));

    let back = stage.local("back");
    ok(sealane(["get", "-r", &stage.at("tree"), text(&back)]));
    same(&tree, &back);
    ok(sealane(["get", "-r", &stage.at("tree"), text(&back)]));
    same(&tree, &back.join("tree"));
    let home = stage.directory("home");
    ok(sealane(["get", "-r", &stage.at("tree"), &stage.at("copy/empty"), text(&home)]));
    assert_eq!(names(&home), ["empty", "tree"]);
    assert_eq!(names(&stage.site.partials("ann")), Vec::<String>::new());
}

#[test]
fn what_is_there_already_is_not_sent_again() {
    let stage = Stage::new();
    let tree = tree(&stage);
    ok(sealane(["put", "-r", text(&tree), &stage.at("")]));
    std::fs::remove_dir_all(stage.home("tree/a/b")).unwrap();
    std::fs::write(stage.home("tree/many/100"), noise(3700, 7)).unwrap();
    let output = ok(sealane(["put", "-r", "--json", text(&tree), &stage.at("")]));
    same(&tree, &stage.home("tree"));
    assert_eq!(result(&output)["sent"], 13_700, "{}", stdout(&output));

    let back = stage.local("back");
    ok(sealane(["get", "-r", &stage.at("tree"), text(&back)]));
    std::fs::remove_file(back.join("many/149")).unwrap();
    std::fs::write(back.join("many/100"), noise(3700, 7)).unwrap();
    std::fs::rename(&back, stage.directory("into").join("tree")).unwrap();
    let into = stage.directory("into");
    let output = ok(sealane(["get", "-r", "--json", &stage.at("tree"), text(&into)]));
    same(&tree, &into.join("tree"));
    assert_eq!(result(&output)["sent"], 149 * 37 + 3700);
}

#[test]
fn an_interrupted_tree_goes_on_where_it_stopped() {
    let stage = Stage::new();
    let tree = stage.local("tree");
    let files: Vec<_> = (0..3000).map(|i| (format!("d{}/{i}", i % 7), noise(2000, i))).collect();
    let files: Vec<_> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    make(&tree, &files);
    let mut put = client(["put", "-r", text(&tree), &stage.at("")]).spawn().unwrap();
    let arrived = || content(&stage.home("tree")).len();
    until("some files arrive", || stage.home("tree/d3").is_dir() && arrived() > 50);
    put.kill().unwrap();
    put.wait().unwrap();
    ok(sealane(["put", "-r", text(&tree), &stage.at("")]));
    same(&tree, &stage.home("tree"));
    let again = ok(sealane(["put", "-r", "--json", text(&tree), &stage.at("")]));
    assert_eq!(result(&again)["sent"], 0);
}

#[test]
fn times_and_modes_come_along_when_asked_for() {
    let stage = Stage::new();
    let tree = stage.local("tree");
    make(&tree, &[("d/f", b"1".to_vec()), ("d/g", b"2".to_vec()), ("locked/x", b"3".to_vec())]);
    std::fs::set_permissions(tree.join("d/f"), PermissionsExt::from_mode(0o640)).unwrap();
    ok(sealane(["put", "-rp", text(&tree), &stage.at("")]));
    assert_eq!(marks(&tree, false), marks(&stage.home("tree"), false));
    std::fs::set_permissions(stage.home("tree/locked"), PermissionsExt::from_mode(0o500)).unwrap();
    let back = stage.local("back");
    ok(sealane(["get", "-rp", &stage.at("tree"), text(&back)]));
    assert_eq!(marks(&stage.home("tree"), true), marks(&back, true));
    let again = ok(sealane(["put", "-rp", "--json", text(&tree), &stage.at("")]));
    assert_eq!((&result(&again)["sent"], &result(&again)["files"]), (&0.into(), &3.into()));
    std::fs::set_permissions(back.join("locked"), PermissionsExt::from_mode(0o700)).unwrap();
}

#[test]
fn links_and_special_files_stay_behind_with_a_note() {
    let stage = Stage::new();
    let tree = stage.local("tree");
    make(&tree, &[("d/f", b"1".to_vec())]);
    symlink("..", tree.join("d/loop")).unwrap();
    symlink("/etc/passwd", tree.join("passwd")).unwrap();
    let fifo = tree.join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0)
        .unwrap();
    let output = ok(sealane(["put", "-r", text(&tree), &stage.at("")]));
    for words in ["d/loop: skipped: it is a symbolic link", "fifo: skipped: it is a special file"] {
        assert!(stderr(&output).contains(words), "{}", stderr(&output));
    }
    assert_eq!(names(&stage.home("tree")), ["d"]);
    assert_eq!(names(&stage.home("tree/d")), ["f"]);
    // A link that the user names is followed.
    symlink(&tree, stage.local("named")).unwrap();
    ok(sealane(["put", "-rq", text(&stage.local("named")), &stage.at("")]));
    assert_eq!(names(&stage.home("named/d")), ["f"]);

    symlink("/etc/passwd", stage.home("tree/d/planted")).unwrap();
    let back = stage.local("back");
    let output = ok(sealane(["get", "-r", &stage.at("tree"), text(&back)]));
    assert!(stderr(&output).contains("d/planted: skipped"), "{}", stderr(&output));
    assert_eq!(names(&back.join("d")), ["f"]);
}

#[test]
fn links_in_the_destination_lead_nowhere() {
    let stage = Stage::new();
    let outside = stage.directory("outside");
    std::fs::write(outside.join("victim"), b"precious").unwrap();
    let tree = stage.local("tree");
    make(&tree, &[("d/f", noise(9, 1)), ("victim", noise(9, 2)), ("z", noise(2 << 20, 3))]);
    ok(sealane(["put", "-r", text(&tree), &stage.at("")]));
    let back = stage.directory("back/tree");
    symlink(&outside, back.join("d")).unwrap();
    symlink(outside.join("victim"), back.join("victim")).unwrap();
    symlink(outside.join("new"), back.join("z")).unwrap();
    let output = sealane(["get", "-r", &stage.at("tree"), text(&stage.directory("back"))]);
    assert_eq!(stderr(&output).matches("error: ").count(), 3, "{}", stderr(&output));
    fails(output, 9, "there is a symbolic link of this name");
    // The name of the tree is the server's too.
    symlink(&outside, stage.directory("again").join("tree")).unwrap();
    fails(
        sealane(["get", "-r", &stage.at("tree"), text(&stage.directory("again"))]),
        1,
        "not a directory",
    );
    assert_eq!(names(&outside), ["victim"]);
    assert_eq!(std::fs::read(outside.join("victim")).unwrap(), b"precious");
}

#[test]
fn what_is_in_the_way_stops_that_path_only() {
    let stage = Stage::new();
    let tree = stage.local("tree");
    make(&tree, &[("d/x/f", noise(9, 1)), ("f", noise(9, 2)), ("ok", noise(9, 3))]);
    make(&stage.home("tree"), &[("d/x", noise(9, 1)), ("f/", Vec::new())]);
    let output = sealane(["put", "-r", text(&tree), &stage.at("")]);
    assert_eq!(stderr(&output).matches("error: ").count(), 2, "{}", stderr(&output));
    fails(output, 9, "tree/d/x: there is a file of this name at the other end");
    assert_eq!(names(&stage.home("tree")), ["d", "f", "ok"]);
    let output = sealane(["get", "-r", &stage.at("tree"), text(&stage.site.local())]);
    assert_eq!(stderr(&output).matches("error: ").count(), 2, "{}", stderr(&output));
    fails(output, 9, "there is a directory of this name at the other end");
}

#[test]
fn names_that_cannot_travel_are_listed_and_the_rest_arrives() {
    let stage = Stage::new();
    let tree = stage.local("tree");
    make(
        &tree,
        &[("good", noise(9, 1)), ("bad\u{1b}[2J", noise(9, 2)), ("back\\slash", noise(9, 3))],
    );
    let deep = vec!["d"; 70].join("/");
    make(&tree, &[(&format!("{deep}/f"), noise(9, 4))]);
    let output = sealane(["put", "-r", text(&tree), &stage.at("")]);
    let words = stderr(&output);
    assert!(!words.contains('\u{1b}'), "{words}");
    assert!(words.contains("deeper than 64 components"), "{words}");
    fails(output, 9, "back\\slash: the path has a character that is not allowed");
    assert!(stage.home("tree/good").is_file());
    // 64 levels are as deep as any path goes.
    assert!(stage.home(&format!("tree/{}", vec!["d"; 63].join("/"))).is_dir());

    std::fs::write(stage.home("tree/b\u{7}ell"), b"").unwrap();
    let back = stage.local("back");
    let output = sealane(["get", "-r", &stage.at("tree"), text(&back)]);
    fails(output, 9, "1 names in it cannot be fetched");
    assert!(back.join("good").is_file());
}

#[test]
fn a_dry_run_says_what_would_be_done_and_does_nothing() {
    let stage = Stage::new();
    let tree = stage.local("tree");
    make(&tree, &[("d/f", noise(9, 1)), ("g", noise(9, 2))]);
    let output = ok(sealane(["put", "-rn", text(&tree), &stage.at("")]));
    assert_eq!(stdout(&output), "directory  tree/d\nfile       tree/d/f\nfile       tree/g\n");
    assert_eq!(names(&stage.home("")), Vec::<String>::new());
    ok(sealane(["put", "-r", text(&tree), &stage.at("")]));
    let back = stage.local("back");
    let output = ok(sealane(["get", "-rn", &stage.at("tree"), text(&back)]));
    assert!(stdout(&output).contains("back/d/f\n"), "{}", stdout(&output));
    assert!(!back.exists());
}

#[test]
fn a_missing_tree_and_a_missing_place_are_said() {
    let stage = Stage::new();
    let tree = stage.directory("tree");
    fails(sealane(["put", "-r", text(&tree), &stage.at("no/such/place")]), 3, "no such file");
    fails(sealane(["get", "-r", &stage.at("none"), text(&tree)]), 3, "none: no such file");
    fails(sealane(["get", "-r", &stage.at(""), "/no/such/place"]), 3, "no such file");
    fails(sealane(["put", text(&tree), &stage.at("x")]), 1, "-r sends a directory");
}

#[test]
fn a_tree_that_changes_under_the_walk_never_makes_a_wrong_file() {
    let stage = Stage::new();
    let tree = stage.local("tree");
    let files: Vec<_> = (0..400).map(|i| (format!("d{}/{i}", i % 9), noise(5000, i))).collect();
    let files: Vec<_> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    make(&tree, &files);
    let before = content(&tree);
    let mut put = client(["put", "-rq", text(&tree), &stage.at("")]).spawn().unwrap();
    until("it has begun", || stage.home("tree").exists());
    // Files vanish, directories become files and links, names move.
    std::fs::remove_dir_all(tree.join("d8")).unwrap();
    std::fs::rename(tree.join("d7"), tree.join("moved")).unwrap();
    std::fs::write(tree.join("d7"), b"a file now").unwrap();
    std::fs::rename(tree.join("d6"), tree.join("elsewhere")).unwrap();
    symlink("elsewhere", tree.join("d6")).unwrap();
    let status = put.wait().unwrap();
    assert!(matches!(status.code(), Some(0 | 9 | 24)), "{status}");
    for (name, bytes) in content(&stage.home("tree")) {
        assert!(before[&name] == bytes, "{name}");
    }
}

/// Each file that arrived is what it was or what it is, never some of both.
#[test]
fn files_that_grow_shrink_and_turn_into_directories_meanwhile_are_whole_or_missing() {
    for up in [true, false] {
        let stage = Stage::new();
        let (here, there) = (stage.local("tree"), stage.home("tree"));
        let (from, to) = if up { (&here, &there) } else { (&there, &here) };
        let mut files: Vec<_> = (0..6).map(|i| (format!("f{i}"), noise(3 << 20, i))).collect();
        files.extend((0..60).map(|i| (format!("d{}/{i}", i % 6), noise(9000, i))));
        let files: Vec<_> = files.iter().map(|(name, bytes)| (&name[..], bytes.clone())).collect();
        make(from, &files);
        let before = content(from);
        let slow = ["-rq", "--limit-rate", "6M"];
        let (address, local) = (stage.at("tree"), text(&here).to_owned());
        let ends = if up { [&local, &address] } else { [&address, &local] };
        let mut command = client([if up { "put" } else { "get" }]);
        let mut child = command.args(slow).args(ends).stderr(Stdio::null()).spawn().unwrap();
        until("it has begun", || to.is_dir() && !names(to).is_empty());
        let open = |name: &str| OpenOptions::new().append(true).open(from.join(name)).unwrap();
        for i in [2, 4] {
            open(&format!("f{i}")).write_all(&noise(1 << 20, 99)).unwrap();
            open(&format!("f{}", i + 1)).set_len(1 << 20).unwrap();
        }
        let both_ends = OpenOptions::new().write(true).open(from.join("f0")).unwrap();
        both_ends.write_all_at(b"new", 0).unwrap();
        both_ends.write_all_at(b"new", (3 << 20) - 3).unwrap();
        for name in ["f1", "d4/10"] {
            std::fs::remove_file(from.join(name)).unwrap();
            std::fs::create_dir(from.join(name)).unwrap();
        }
        std::fs::remove_dir_all(from.join("d5")).unwrap();
        std::fs::write(from.join("d5"), b"a file now").unwrap();
        let (status, after) = (child.wait().unwrap(), content(from));
        assert!(matches!(status.code(), Some(0 | 9 | 24)), "{status}");
        for (name, bytes) in content(to).into_iter().filter(|(name, _)| !name.contains(".sealane-"))
        {
            let is_whole = [&before, &after].iter().any(|tree| tree.get(&name) == Some(&bytes));
            assert!(is_whole, "{name} (up: {up})");
        }
    }
}

/// A file system of so many KiB over `place`; `None`, which is said, if there cannot be one here.
fn small_disk(place: &Path, kib: u32) -> Option<SmallDisk> {
    std::fs::create_dir_all(place).unwrap();
    SmallDisk::over(place, &format!("{kib}k")).map_err(|why| eprintln!("skipped: {why}")).ok()
}

/// What arrived on a disk that became full is good, and the same command completes it afterwards.
fn fill(tree: &Path, there: &Path, small: &SmallDisk, run: &dyn Fn() -> std::process::Output) {
    let before = content(tree);
    let output = run();
    let code = output.status.code();
    assert!(matches!(code, Some(0 | 7 | 9)), "{code:?} {}", stderr(&output));
    if code != Some(0) {
        assert!(stderr(&output).contains("full"), "{}", stderr(&output));
    }
    let arrived = if there.exists() { content(there) } else { Default::default() };
    for (name, bytes) in arrived.into_iter().filter(|(name, _)| !name.contains(".sealane-")) {
        assert!(before[&name] == bytes, "{name}");
    }
    small.change("size=64m");
    ok(run());
    same(tree, there);
}

#[test]
fn a_disk_that_fills_at_any_write_leaves_no_wrong_file() {
    let stage = Stage::new();
    let tree = stage.local("tree");
    let files = (0..40).map(|i| (format!("d{}/{i}", i % 5), noise(9_000 * i, i as u64)));
    let files: Vec<_> = files.into_iter().chain([("large".into(), noise(3 << 20, 99))]).collect();
    let files: Vec<_> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    make(&tree, &files);
    ok(sealane(["put", "-rq", text(&tree), &stage.at("")]));
    for round in 0..6 {
        let kib = 60 + 1700 * round;
        let place = stage.directory(&format!("small{round}"));
        let Some(small) = small_disk(&place, kib) else { return };
        let get = || sealane(["get", "-rq", &stage.at("tree"), text(&place)]);
        fill(&tree, &place.join("tree"), &small, &get);

        let site = Site::new();
        site.account("ann", "1G");
        let Some(small) = small_disk(&site.root().join("data"), kib + 200) else { return };
        let server = site.start();
        let to = site.address(&server, "ann", "");
        let put = || sealane(["put", "-rq", text(&tree), &to]);
        fill(&tree, &site.home("ann").join("tree"), &small, &put);
        drop(server);
    }
}
