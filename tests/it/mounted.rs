//! Homes that are mounts of their own.

use crate::support::disk::SmallDisk;
use crate::support::site::sealane;
use crate::support::{Stage, fails, names, noise, ok, result, stdout, text};

#[test]
fn a_home_may_be_a_mount_and_nothing_below_it() {
    let stage = Stage::new();
    stage.site.account("bob", "8M");
    let home = stage.site.home("bob");
    std::fs::create_dir(&home).unwrap();
    let _disk = match SmallDisk::over(&home, "20m") {
        Ok(disk) => disk,
        Err(why) => {
            println!("skipped: {why}");
            return;
        }
    };
    let at = |path: &str| stage.site.address(&stage.server, "bob", path);
    let (small, large) =
        (stage.site.file("small", b"x"), stage.site.file("large", &noise(3 << 20, 1)));
    ok(sealane(["put", text(&small), text(&large), &at("")]));
    ok(sealane(["put", text(&large), &at("small")]));
    ok(sealane(["mkdir", "-p", &at("d/e")]));
    ok(sealane(["rm", "-r", &at("d")]));
    // Its partials are there, where nobody sees or names them.
    assert_eq!(names(&home), [".sealane-partials", "large", "small"]);
    assert_eq!(stdout(&ok(sealane(["ls", &at("")]))), "large\nsmall\n");
    assert_eq!(result(&ok(sealane(["df", "--json", &at("")])))["used"], 6 << 20);
    for name in [".sealane-partials", ".sealane-partials/x"] {
        assert_eq!(sealane(["put", text(&small), &at(name)]).status.code(), Some(2));
    }
    let back = stage.local("back");
    ok(sealane(["get", "-r", &at(""), text(&back)]));
    assert_eq!(names(&back), ["large", "small"]);
    let check = ok(stage.site.admin(["quota", "check", "bob"]));
    drop(check);
    // Further down a mount has no place for partials: that is said before anything moves.
    let below = home.join("below");
    std::fs::create_dir(&below).unwrap();
    let _below = SmallDisk::over(&below, "2m").unwrap();
    fails(sealane(["put", text(&small), &at("below/x")]), 1, "another file system");
    fails(sealane(["mv", &at("small"), "/below/x"]), 1, "another file system");
}
