//! `sealane trust` and the file behind it.

use std::os::unix::fs::PermissionsExt;

use crate::support::{Person, Site, fails, ok, result, stderr, stdout};

#[test]
fn a_name_works_wherever_an_address_does() {
    let site = Site::new();
    site.account("ann", "10M");
    let (server, person) = (site.start(), Person::new());
    let address = site.address(&server, "ann", "");
    ok(person.run(["trust", "add", "--name", "work", &address]));
    let file = site.file("a.txt", b"hello");
    let name = file.to_str().unwrap();
    ok(person.run(["mkdir", "work:dir"]));
    ok(person.run(["put", name, "work:dir/"]));
    ok(person.run(["verify", name, "work:dir/a.txt"]));
    ok(person.run(["mv", "work:dir/a.txt", "work:b.txt"]));
    assert_eq!(stdout(&ok(person.run(["ls", "work:"]))), "b.txt\ndir/\n");
    let copy = site.local().join("copy");
    ok(person.run(["get", "ann@work:b.txt", copy.to_str().unwrap()]));
    assert_eq!(std::fs::read(copy).unwrap(), b"hello");
    fails(person.run(["ls", "home:"]), 2, "no server is called 'home'");
    // The address without its pins is enough for a known server.
    let bare = format!("sealane://ann@{}/", server.address);
    ok(person.run(["ls", &bare]));
    let shown = result(&ok(person.run(["--json", "trust", "show", "work"])));
    assert_eq!(shown["servers"], 1);
    let seen = stdout(&ok(person.run(["trust", "show"])));
    assert!(seen.contains("name work, account ann") && seen.contains("backup"), "{seen}");
    let mode = person.known().metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn an_address_counts_for_once_and_is_not_remembered() {
    let site = Site::new();
    site.account("ann", "10M");
    let (server, person) = (site.start(), Person::new());
    ok(person.run(["ls", &site.address(&server, "ann", "")]));
    assert!(!person.known().exists());
    let bare = format!("sealane://ann@{}/", server.address);
    fails(person.run(["ls", &bare]), 5, "is not known and no pin was given");
    let said = ok(person.run(["--accept-new", "ls", &site.address(&server, "ann", "")]));
    assert!(stderr(&said).contains("is known from now on"), "{}", stderr(&said));
    ok(person.run(["ls", &bare]));
}

#[test]
fn the_flag_counts_before_the_address_and_the_address_before_the_store() {
    let (site, other) = (Site::new(), Site::new());
    site.account("ann", "10M");
    let (server, person) = (site.start(), Person::new());
    let other_pins = other.pins.clone();
    let bare = format!("sealane://ann@{}/", server.address);
    let (right, wrong) = (format!("{bare}?{}", site.pins), format!("{bare}?{other_pins}"));
    let pin = |pins: &str| pins.split('&').next().unwrap().replace("pin=", "");
    fails(person.run(["ls", &wrong]), 5, "does not match its pin");
    ok(person.run(["--pin", &pin(&site.pins), "ls", &wrong]));
    fails(person.run(["--pin", &pin(&other_pins), "ls", &right]), 5, "does not match its pin");
    ok(person.run(["trust", "add", &wrong]));
    fails(person.run(["ls", &bare]), 5, "does not match its pin");
    ok(person.run(["ls", &right]));
    fails(person.run(["--accept-new", "ls", &bare]), 5, "does not match its pin");
    fails(person.run(["trust", "add", &right]), 1, "is known with other keys");
    let place = server.address.to_string();
    let replace =
        ["trust", "replace", &place, "--old", &pin(&other_pins), "--new", &pin(&site.pins)];
    ok(person.run(replace));
    ok(person.run(["ls", &bare]));
    ok(person.run(["trust", "remove", &place]));
    fails(person.run(["trust", "remove", &place]), 3, "is not known");
}

#[test]
fn what_is_known_travels_to_another_machine() {
    let (one, two) = (Person::new(), Person::new());
    let pin = "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    ok(one.run(["trust", "add", "--name", "work", "files.example:1", pin]));
    let file = one.directory.path().join("exported");
    std::fs::write(&file, ok(one.run(["trust", "export"])).stdout).unwrap();
    ok(two.run(["trust", "import", file.to_str().unwrap()]));
    assert_eq!(stdout(&one.run(["trust", "list"])), stdout(&two.run(["trust", "list"])));
    let before = std::fs::read(two.known()).unwrap();
    for (text, why) in [("{}", "is damaged"), (r#"{"version":2}"#, "has version 2")] {
        std::fs::write(&file, text).unwrap();
        fails(two.run(["trust", "import", file.to_str().unwrap()]), 2, why);
    }
    assert_eq!(std::fs::read(two.known()).unwrap(), before);
}

#[test]
fn four_programs_at_once_lose_nothing_of_one_another() {
    let person = Person::new();
    let pin = "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let person = &person;
            scope.spawn(move || {
                for server in 0..5 {
                    ok(person.run(["trust", "add", &format!("h{writer}:{}", server + 1), pin]));
                }
            });
        }
    });
    assert_eq!(stdout(&ok(person.run(["trust", "list"]))).lines().count(), 20);
}

#[test]
fn bad_input_is_named_and_changes_nothing() {
    let person = Person::new();
    let pin = "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    ok(person.run(["trust", "add", "--name", "work", "h:1", pin]));
    let before = std::fs::read(person.known()).unwrap();
    for bad in ["sha256//AAAA", "sha1//x", "sha256.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA!"] {
        let run = person.run(["trust", "add", "h:2", bad]);
        assert_eq!(run.status.code(), Some(2));
        assert!(stderr(&run).contains("is not a pin"), "{}", stderr(&run));
    }
    fails(person.run(["trust", "add", "--name", "work", "h:2", pin]), 1, "stands for h:1 already");
    assert_eq!(std::fs::read(person.known()).unwrap(), before);
    std::fs::set_permissions(person.known(), std::fs::Permissions::from_mode(0o644)).unwrap();
    fails(person.run(["ls", "sealane://ann@127.0.0.1:1/"]), 5, "lets others read or write it");
    fails(person.run(["trust", "remove", "work"]), 5, "lets others read or write it");
    assert_eq!(std::fs::read(person.known()).unwrap(), before);
}

#[test]
fn a_full_disk_leaves_the_store_as_it_was() {
    let person = Person::new();
    let pin = "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    ok(person.run(["trust", "add", "h:1", pin]));
    let before = std::fs::read(person.known()).unwrap();
    // A limit on the size of files stands for a disk without room.
    let mut limited = std::process::Command::new("sh");
    limited.args(["-c", "ulimit -f 0; trap '' XFSZ; exec \"$@\"", "sh"]);
    limited.args([env!("CARGO_BIN_EXE_sealane"), "trust", "add", "h:2", pin]);
    limited.env("XDG_CONFIG_HOME", person.directory.path());
    let run = limited.output().unwrap();
    assert_eq!(run.status.code(), Some(5), "{}", stderr(&run));
    assert!(stderr(&run).contains("cannot write"), "{}", stderr(&run));
    assert_eq!(std::fs::read(person.known()).unwrap(), before);
}

#[test]
fn a_damaged_entry_keeps_from_its_own_server_only() {
    let site = Site::new();
    site.account("ann", "10M");
    let (server, person) = (site.start(), Person::new());
    ok(person.run(["trust", "add", "--name", "work", &site.address(&server, "ann", "")]));
    let pin =
        |number: usize| sealane_base::types::Pin::of_public_key(&number.to_be_bytes()).to_string();
    ok(person.run(["trust", "add", "--name", "bad", "files.example:1", &pin(0)]));
    // As an earlier version could leave it: more keys than a reader takes.
    let mut known: serde_json::Value =
        serde_json::from_slice(&std::fs::read(person.known()).unwrap()).unwrap();
    let keys = known["servers"][1]["keys"].as_array_mut().unwrap();
    for number in 1..34 {
        let mut key = keys[0].clone();
        (key["pin"], key["state"]) = (pin(number).into(), "revoked".into());
        keys.push(key);
    }
    std::fs::write(person.known(), known.to_string()).unwrap();

    ok(person.run(["ls", "work:"]));
    let listed = ok(person.run(["trust", "list"]));
    assert_eq!(stdout(&listed).lines().count(), 1);
    assert!(stderr(&listed).contains("files.example:1 is not used"), "{}", stderr(&listed));
    fails(person.run(["ls", "bad:"]), 2, "is damaged");
    fails(person.run(["ls", "sealane://ann@files.example:1/"]), 5, "is damaged");
    fails(person.run(["--pin", &pin(0), "ls", "sealane://ann@files.example:1/"]), 5, "is damaged");
    ok(person.run(["trust", "remove", "bad"]));
    assert_eq!(stderr(&ok(person.run(["trust", "list"]))), "");
    ok(person.run(["trust", "add", "--name", "bad", "files.example:1", &pin(0)]));
    ok(person.run(["trust", "remove", "--damaged"]));
    assert_eq!(stdout(&ok(person.run(["trust", "list"]))).lines().count(), 2);
}
