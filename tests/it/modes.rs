//! Who may read what: modes there and back, groups, and what an ordinary user may not open.

use std::fs::{create_dir, set_permissions, write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::site::{PASSWORD, client_of_another, sealane};
use crate::support::{Stage, ok, text};

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

fn set(path: &Path, mode: u32) {
    set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

/// The client with a umask of its own.
fn with_umask(umask: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "umask \"$1\"; shift; exec \"$@\"", "sh", umask]);
    command.arg(env!("CARGO_BIN_EXE_sealane")).args(arguments);
    command.env("SEALANE_PASSWORD", PASSWORD).stdin(Stdio::null());
    command.env("XDG_CONFIG_HOME", "/nonexistent").env("XDG_CACHE_HOME", "/nonexistent");
    command
}

#[test]
fn what_is_private_here_is_private_when_it_comes_back() {
    let stage = Stage::new();
    let tree = stage.local("tree");
    for directory in ["", "closed", "open"] {
        create_dir(tree.join(directory)).unwrap();
    }
    let large = vec![7; (2 << 20) + 5];
    for (name, mode) in [("closed/f", 0o600), ("open/f", 0o644), ("large", 0o600), ("run", 0o755)] {
        write(tree.join(name), if name == "large" { &large[..] } else { b"x" }).unwrap();
        set(&tree.join(name), mode);
    }
    set(&tree.join("closed"), 0o700);
    set(&tree.join("open"), 0o755);
    set(&tree, 0o750);
    ok(sealane(["put", "-r", text(&tree), &stage.at("tree")]));
    for name in ["closed/f", "large"] {
        let file = tree.join(name);
        ok(sealane(["put", text(&file), &stage.at(&name.replace('/', "-"))]));
        let back = stage.local("back");
        ok(with_umask("022", &["get", &stage.at(&name.replace('/', "-")), text(&back)])
            .output()
            .unwrap());
        assert_eq!(mode(&back), 0o600, "{name}");
        std::fs::remove_file(back).unwrap();
    }
    let back = stage.local("tree-back");
    ok(with_umask("022", &["get", "-r", &stage.at("tree"), text(&back)]).output().unwrap());
    for (name, wanted) in [
        ("closed/f", 0o600),
        ("open/f", 0o644),
        ("large", 0o600),
        ("run", 0o755),
        ("closed", 0o700),
        ("open", 0o755),
        ("", 0o750),
    ] {
        assert_eq!(mode(&back.join(name)), wanted, "{name}");
    }
    // Never wider than the umask lets it be, and what is there keeps its own.
    let narrow = stage.local("narrow");
    ok(with_umask("077", &["get", "-r", &stage.at("tree"), text(&narrow)]).output().unwrap());
    assert_eq!((mode(&narrow.join("open/f")), mode(&narrow.join("open"))), (0o600, 0o700));
    set(&back.join("open/f"), 0o640);
    write(back.join("open/f"), b"other").unwrap();
    ok(sealane(["get", &stage.at("tree/open/f"), text(&back.join("open/f"))]));
    assert_eq!(mode(&back.join("open/f")), 0o640);
}

#[test]
fn a_file_made_private_since_is_private_on_the_server_too() {
    let stage = Stage::new();
    let tree = stage.local("tree");
    create_dir(&tree).unwrap();
    create_dir(tree.join("d")).unwrap();
    write(tree.join("d/f"), b"x").unwrap();
    set(&tree.join("d/f"), 0o644);
    set(&tree.join("d"), 0o755);
    ok(sealane(["put", "-r", text(&tree), &stage.at("tree")]));
    set(&tree.join("d/f"), 0o600);
    set(&tree.join("d"), 0o700);
    ok(sealane(["put", "-r", text(&tree), &stage.at("")]));
    assert_eq!((mode(&stage.home("tree/d/f")), mode(&stage.home("tree/d"))), (0o600, 0o700));
}

#[test]
fn what_is_piped_in_has_the_mode_that_a_shell_would_give_it() {
    let stage = Stage::new();
    for (umask, wanted) in [("022", 0o644), ("077", 0o600)] {
        let mut put = with_umask(umask, &["put", "-", &stage.at(umask)]);
        let mut put = put.stdin(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut put.stdin.take().unwrap(), b"secret").unwrap();
        assert!(put.wait().unwrap().success());
        assert_eq!(mode(&stage.home(umask)), wanted);
    }
}

#[test]
fn set_group_id_and_sticky_bits_of_directories_stay() {
    let stage = Stage::new();
    let tree = stage.local("tree");
    for directory in ["", "sub"] {
        create_dir(tree.join(directory)).unwrap();
        set(&tree.join(directory), 0o775);
    }
    write(tree.join("sub/f"), b"x").unwrap();
    ok(sealane(["sync", text(&tree), &stage.at("copy")]));
    for (name, before, after) in [("shared", 0o2775, 0o2775), ("sticky", 0o1777, 0o1775)] {
        let here = stage.local(name);
        create_dir(&here).unwrap();
        set(&here, before);
        ok(sealane(["sync", &stage.at("copy"), text(&here)]));
        assert_eq!(mode(&here), after, "{name}");
        assert_eq!(mode(&here.join("sub")), 0o775 | after & 0o2000, "{name}/sub");
    }
    // On the server as well.
    set(&stage.home("copy/sub"), 0o2770);
    ok(sealane(["sync", text(&tree), &stage.at("copy")]));
    assert_eq!(mode(&stage.home("copy/sub")), 0o2775);
}

#[test]
fn files_in_a_set_group_id_directory_of_a_home_have_its_group() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root may give a directory any group");
        return;
    }
    let stage = Stage::new();
    let group = 4711;
    create_dir(stage.home("web")).unwrap();
    std::os::unix::fs::chown(stage.home("web"), None, Some(group)).unwrap();
    set(&stage.home("web"), 0o2775);
    let (small, large) =
        (stage.site.file("small", b"x"), stage.site.file("large", &vec![1; 3 << 20]));
    ok(sealane(["put", text(&small), text(&large), &stage.at("web/")]));
    ok(sealane(["mkdir", &stage.at("web/d")]));
    for name in ["web/small", "web/large", "web/d"] {
        assert_eq!(stage.home(name).metadata().unwrap().gid(), group, "{name}");
    }
}

#[test]
fn what_its_owner_may_not_open_gets_its_mode_all_the_same() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: needs root to become another user");
        return;
    }
    let stage = Stage::new();
    let top = stage.site.directory.path();
    set(top, 0o755);
    let tree = stage.local("tree");
    create_dir(&tree).unwrap();
    create_dir(tree.join("d")).unwrap();
    for name in ["w", "d/a"] {
        write(tree.join(name), b"1").unwrap();
    }
    ok(sealane(["sync", text(&tree), &stage.at("copy")]));
    let theirs = stage.local("theirs");
    create_dir(&theirs).unwrap();
    std::os::unix::fs::chown(&theirs, Some(65534), Some(65534)).unwrap();
    let down = || {
        use std::os::unix::process::CommandExt;
        let (to, from) = (theirs.join("s"), stage.at("copy"));
        let arguments = ["sync", &from, text(&to)];
        let mut command = client_of_another(&theirs.join("home"), arguments);
        command.uid(65534).gid(65534).output().unwrap()
    };
    ok(down());
    set(&theirs.join("s/w"), 0o200);
    ok(down());
    assert_eq!(mode(&theirs.join("s/w")), 0o644);
    set(&theirs.join("s/d"), 0o555);
    write(tree.join("d/b"), b"2").unwrap();
    ok(sealane(["sync", text(&tree), &stage.at("copy")]));
    ok(down());
    assert_eq!(std::fs::read(theirs.join("s/d/b")).unwrap(), b"2");
    assert_eq!(mode(&theirs.join("s/d")), 0o755);
}
