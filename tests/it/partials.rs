//! `partial ls` and `partial rm`: what an interrupted upload left is shown, counts, and goes.

use crate::support::site::{client, sealane, until};
use crate::support::{Stage, fails, names, noise, ok, result, stdout};

#[test]
fn what_an_interrupted_upload_left_is_listed_and_removed() {
    let stage = Stage::new();
    ok(sealane(["mkdir", &stage.at("in")]));
    let file = stage.site.file("big", &noise(200 << 20, 1));
    let mut put =
        client(["put", "-q", file.to_str().unwrap(), &stage.at("in/big")]).spawn().unwrap();
    until("a partial has grown", || {
        let listed = sealane(["partial", "ls", "--json", &stage.at("")]);
        result(&listed)["bytes"].as_u64().unwrap() > 1 << 20
    });
    let busy = sealane(["partial", "rm", &stage.at("in/big")]);
    put.kill().unwrap();
    put.wait().unwrap();
    fails(busy, 8, "in/big: another transfer is writing to the same name");

    until("the server has let go", || {
        let usage = ok(sealane(["df", "--json", &stage.at("")]));
        result(&usage)["reserved"] == 0
    });
    let listed = ok(sealane(["partial", "ls", &stage.at("in")]));
    assert!(stdout(&listed).contains("of      209715200"), "{}", stdout(&listed));
    assert!(stdout(&listed).trim_end().ends_with("Z  in/big"), "{}", stdout(&listed));
    assert_eq!(stdout(&ok(sealane(["partial", "ls", &stage.at("elsewhere")]))), "");
    fails(sealane(["partial", "rm", &stage.at("in")]), 3, "no partial of this file");
    let removed = ok(sealane(["partial", "rm", "-r", "--json", &stage.at("in")]));
    assert_eq!(result(&removed)["removed"], 1);
    assert_eq!(names(&stage.site.partials("ann")), Vec::<String>::new());
    let usage = ok(sealane(["df", "--json", &stage.at("")]));
    assert_eq!((&result(&usage)["used"], &result(&usage)["reserved"]), (&0.into(), &0.into()));
}
