//! The usual way, and what a key may be limited to.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::{World, without_password};
use crate::support::{Person, fails, ok, result, stderr, stdout};

#[test]
fn a_key_is_made_once_and_openssl_finds_the_same_pin() {
    for flags in [&["key", "generate"][..], &["key", "generate", "--p256"]] {
        let person = Person::new();
        fails(person.run(["key", "show"]), 3, "there is no key yet");
        let made = ok(person.run(flags));
        let file = person.directory.path().join("sealane/key.pem");
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let directory = file.parent().unwrap().metadata().unwrap();
        assert_eq!(directory.permissions().mode() & 0o777, 0o700);
        let before = std::fs::read(&file).unwrap();
        fails(person.run(["key", "generate"]), 1, "a key is never overwritten");
        assert_eq!(std::fs::read(&file).unwrap(), before);

        let shown = ok(person.run(["key", "show"]));
        assert_eq!(stdout(&shown), stdout(&made));
        let note = stderr(&shown);
        let line = note.split("the same with ").nth(1).unwrap().lines().next().unwrap();
        let openssl = ok(Command::new("sh").args(["-c", line]).output().unwrap());
        let pin = stdout(&shown).lines().next().unwrap().to_owned();
        assert_eq!(format!("sha256//{}", stdout(&openssl).trim()), pin, "{line}");
        assert_eq!(result(&ok(person.run(["--json", "key", "show"])))["pin"], pin);
    }
}

#[test]
fn after_enrolling_no_password_is_asked_and_no_argon2_is_spent() {
    let world = World::new();
    ok(world.person.run(["key", "generate"]));
    // A password, if there is one, does where the key does not yet.
    ok(world.person.run(["ls", "work:"]));
    let pin = world.pin();
    let place = world.server.address;
    let refused = world.keyed(&["ls", "work:"]);
    fails(refused, 4, &format!("{place} does not accept the key {pin} for user ann\n"));
    let hint = format!(
        "hint: add it with: sealane-admin account key add ann {pin}, or log in with a password"
    );
    assert!(stderr(&world.keyed(&["ls", "work:"])).contains(&hint));

    let enrolled = ok(world.person.run(["key", "enroll", "work", "--comment", "laptop"]));
    assert!(stdout(&enrolled).contains(&format!("ann logs in to {place} with the key {pin}")));
    let before = world.evaluations();
    let file = world.site.file("a", b"hello");
    ok(world.keyed(&["put", file.to_str().unwrap(), "work:a"]));
    assert_eq!(stdout(&ok(world.keyed(&["ls", "work:"]))), "a\n");
    assert_eq!(world.evaluations(), before);
    assert!(std::fs::read_to_string(world.record()).unwrap().contains("last_login"));

    // Once more changes nothing.
    let record = std::fs::read(world.record()).unwrap();
    let again = ok(world.person.run(["key", "enroll", "work"]));
    assert!(stdout(&again).contains(&format!("with the key {pin} already")), "{}", stdout(&again));
    assert_eq!(std::fs::read(world.record()).unwrap(), record);
    let listed = stdout(&ok(world.site.admin(["account", "key", "list", "ann"])));
    assert!(listed.contains(&pin) && listed.contains("laptop"), "{listed}");
    let shown = stdout(&ok(world.site.admin(["account", "show", "ann"])));
    assert!(shown.contains(&pin), "{shown}");

    // The same key in another place, named by flag or variable.
    let elsewhere = world.site.directory.path().join("elsewhere.pem");
    std::fs::rename(world.key_file(), &elsewhere).unwrap();
    fails(world.keyed(&["ls", "work:"]), 4, "no password for ann");
    ok(world.keyed(&["--key", elsewhere.to_str().unwrap(), "ls", "work:"]));
    let mut by_variable = without_password(world.person.command(["ls", "work:"]));
    ok(by_variable.env("SEALANE_KEY", &elsewhere).output().unwrap());
    fails(world.keyed(&["--key", "/nowhere/key.pem", "ls", "work:"]), 3, "/nowhere/key.pem");
}

#[test]
fn a_server_may_keep_enrolling_to_its_administrator() {
    let world = World::with(|config| config.replace("\nenroll = true", "\nenroll = false"));
    ok(world.person.run(["key", "generate"]));
    let pin = world.pin();
    fails(world.person.run(["key", "enroll", "work"]), 1, "lets only its administrator enter keys");
    ok(world.site.admin(["account", "key", "add", "ann", &pin, "--comment", "by hand"]));
    ok(world.keyed(&["ls", "work:"]));
    let record = std::fs::read(world.record()).unwrap();
    fails(world.site.admin(["account", "key", "add", "ann", &pin]), 1, "is there already");
    assert_eq!(std::fs::read(world.record()).unwrap(), record);
}

/// Enters the key anew with other conditions.
fn limit(world: &World, conditions: &[&str]) {
    let pin = world.pin();
    world.site.admin(["account", "key", "revoke", "ann", &pin]);
    let add = ["account", "key", "add", "ann", &pin];
    ok(world.site.admin(add.iter().chain(conditions)));
}

#[test]
fn a_drop_box_takes_files_and_gives_nothing() {
    let world = World::enrolled();
    let big = world.site.file("big", &crate::support::noise(5 << 20, 3));
    let big = big.to_str().unwrap();
    ok(world.keyed(&["put", big, "work:outside"]));
    limit(&world, &["--permissions", "write", "--root", "in/coming"]);
    ok(world.keyed(&["put", big, "work:f"]));
    ok(world.keyed(&["put", big, "work:f"]));
    let home = world.site.home("ann");
    assert_eq!(std::fs::read(home.join("in/coming/f")).unwrap(), std::fs::read(big).unwrap());
    let copy = world.site.local().join("copy");
    let copy = copy.to_str().unwrap();
    for refused in [
        &["ls", "work:"][..],
        &["stat", "work:f"],
        &["df", "work:"],
        &["get", "work:f", copy],
        &["verify", big, "work:f"],
        &["partial", "ls", "work:"],
    ] {
        let run = world.keyed(refused);
        assert!(stderr(&run).contains("this key may not do that"), "{refused:?}: {}", stderr(&run));
        assert_ne!(run.status.code(), Some(0));
    }
    ok(world.keyed(&["mv", "--force", "work:f", "/g"]));
    ok(world.keyed(&["rm", "work:g"]));
    fails(world.keyed(&["rm", "work:outside"]), 3, "no such file");
    fails(world.keyed(&["rm", "work:../outside"]), 2, "'.' or '..'");
    assert!(home.join("outside").exists());

    limit(&world, &["--permissions", "read,list"]);
    ok(world.keyed(&["get", "work:outside", copy]));
    fails(world.keyed(&["rm", "work:outside"]), 1, "this key may not do that");
    fails(world.keyed(&["put", big, "work:x"]), 1, "this key may not do that");
}

#[test]
fn a_key_counts_from_its_networks_and_until_its_day() {
    let world = World::enrolled();
    limit(&world, &["--from", "203.0.113.0/24,2001:db8::/32"]);
    fails(world.keyed(&["ls", "work:"]), 4, "does not accept the key");
    limit(&world, &["--from", "203.0.113.0/24", "--from", "127.0.0.0/8"]);
    ok(world.keyed(&["ls", "work:"]));
    limit(&world, &["--expires", "2000-01-01"]);
    fails(world.keyed(&["ls", "work:"]), 4, "does not accept the key");
    assert!(world.server.log().contains("the key expired after 2000-01-01"));
    let pin = world.pin();
    for wrong in [
        &["--from", "anywhere"][..],
        &["--expires", "soon"],
        &["--permissions", "all"],
        &["--root", "../x"],
        &["--comment", "\u{1b}[2J"],
    ] {
        let add = ["account", "key", "add", "ann", &pin];
        let run = world.site.admin(add.iter().chain(wrong));
        assert!(matches!(run.status.code(), Some(1 | 2)), "{wrong:?}");
    }
    // A hand that misspells a condition disables the entry, not the account.
    limit(&world, &[]);
    let record = std::fs::read_to_string(world.record()).unwrap();
    let broken = record.replace("\"permissions\":", "\"from\":[\"127.0.0.0/33\"],\"permissions\":");
    assert_ne!(broken, record);
    std::fs::write(world.record(), broken).unwrap();
    fails(world.keyed(&["ls", "work:"]), 4, "does not accept the key");
    ok(world.person.run(["ls", "work:"]));
    let listed = stdout(&ok(world.site.admin(["account", "list"])));
    assert!(listed.contains("1 of its keys count for nothing"), "{listed}");
    let listed = stdout(&ok(world.site.admin(["account", "key", "list", "ann"])));
    assert!(listed.contains("key 1 does not count: '127.0.0.0/33' is no network"), "{listed}");
}
