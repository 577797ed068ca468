//! The end of an account, and a new name for one: record, sessions and files.

use std::os::unix::fs::symlink;
use std::process::Output;

use sealane_base::types::{Address, PinSet, Secret};
use sealane_client::{Client, Target};

use crate::support::service::connect;
use crate::support::site::{PASSWORD, sealane};
use crate::support::{Person, Server, Site, fails, names, ok, stdout, text};

async fn session(site: &Site, server: &Server, user: &str) -> Client {
    let address = Address::parse(&site.address(server, user, "")).unwrap();
    let pins = PinSet::new(address.pins.clone()).unwrap();
    let target = Target::new(&address, address.user.clone().unwrap(), pins);
    connect(&target, &Secret::new(PASSWORD.to_owned())).await.unwrap()
}

/// Two accounts with a tree and an interrupted upload each.
fn site() -> (Site, Server) {
    let site = Site::new();
    let server = site.start();
    for name in ["ann", "bob"] {
        site.account(name, "10M");
        let file = site.file("letter", name.as_bytes());
        ok(sealane(["mkdir", "-p", &site.address(&server, name, "deep/er/and/er")]));
        ok(sealane(["put", text(&file), &site.address(&server, name, "deep/er/letter")]));
        ok(sealane(["put", text(&file), &site.address(&server, name, "letter")]));
        std::fs::create_dir_all(site.partials(name)).unwrap();
        std::fs::write(site.partials(name).join("left.part"), b"left").unwrap();
    }
    (site, server)
}

fn account(site: &Site, arguments: &[&str]) -> Output {
    site.admin([&["account"], arguments].concat())
}

fn add(site: &Site, name: &str, more: &[&str]) -> Output {
    let password = site.file("password", PASSWORD.as_bytes());
    account(site, &[&["add", name, "--password-file", text(&password)], more].concat())
}

fn listed(site: &Site, server: &Server, user: &str) -> String {
    stdout(&ok(sealane(["ls", &site.address(server, user, "")])))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_removed_with_its_files_and_with_nothing_else() {
    let (site, server) = site();
    let outside = site.file("outside", b"not yours");
    symlink(site.local(), site.home("ann").join("deep/link")).unwrap();
    symlink(&outside, site.home("ann").join("file")).unwrap();
    let client = session(&site, &server, "ann").await;
    client.usage().await.unwrap();
    let removed = ok(account(&site, &["remove", "ann", "--files", "delete"]));
    assert_eq!(stdout(&removed), "ann: removed; its files are deleted\n");
    client.usage().await.unwrap_err();
    assert!(!site.home("ann").exists() && !site.partials("ann").exists());
    assert!(outside.is_file() && site.home("bob").join("deep/er/letter").is_file());
    assert!(site.partials("bob").join("left.part").is_file());
    // Nothing is handed over.
    ok(add(&site, "ann", &[]));
    assert_eq!(listed(&site, &server, "ann"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archived_home_is_whole_and_out_of_reach() {
    let (site, server) = site();
    let client = session(&site, &server, "ann").await;
    ok(account(&site, &["remove", "ann", "--files", "archive"]));
    client.usage().await.unwrap_err();
    let archive = site.root().join("data/archive");
    let archived = names(&archive);
    assert!(archived.len() == 1 && archived[0].starts_with("ann-2"), "{archived:?}");
    assert_eq!(std::fs::read(archive.join(&archived[0]).join("deep/er/letter")).unwrap(), b"ann");
    assert!(!site.home("ann").exists() && !site.partials("ann").exists());
    let home = format!("archive/{}", archived[0]);
    fails(add(&site, "eve", &["--adopt", "--home", &home]), 2, "cannot be used");
    ok(add(&site, "ann", &[]));
}

#[test]
fn files_that_another_account_reaches_stay() {
    let (site, _server) = site();
    ok(add(&site, "eve", &["--adopt", "--home", "homes/ann/deep"]));
    for what in ["delete", "archive"] {
        fails(account(&site, &["remove", "ann", "--files", what]), 1, "overlaps that of eve");
    }
    assert!(site.home("ann").join("letter").is_file());
    ok(account(&site, &["show", "ann"]));
    ok(account(&site, &["remove", "eve"]));
    ok(account(&site, &["remove", "ann"]));
    assert!(site.home("ann").join("letter").is_file());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_account_has_all_it_had() {
    let (site, server) = site();
    let person = Person::new();
    ok(person.run(["key", "generate"]));
    ok(person.run(["key", "enroll", &site.address(&server, "ann", "")]));
    fails(account(&site, &["rename", "ann", "bob"]), 1, "exists already");
    let client = session(&site, &server, "ann").await;
    let renamed = ok(account(&site, &["rename", "ann", "anna"]));
    assert!(stdout(&renamed).starts_with("anna: renamed, was ann; 10.0 MiB in "));
    client.usage().await.unwrap_err();
    fails(sealane(["ls", &site.address(&server, "ann", "")]), 4, "login refused");
    assert_eq!(listed(&site, &server, "anna"), "deep/\nletter\n");
    // By the key, which was enrolled under the old name.
    let mut by_key = person.command(["ls", &site.address(&server, "anna", "")]);
    ok(by_key.env_remove("SEALANE_PASSWORD").output().unwrap());
    assert!(!site.home("ann").exists() && !site.partials("ann").exists());
    assert!(site.partials("anna").join("left.part").is_file());
    ok(site.admin(["quota", "check", "anna"]));
    let record = std::fs::read_to_string(site.root().join("accounts/anna.db")).unwrap();
    assert!(!record.contains("renamed_from") && !record.contains("disabled"), "{record}");
}

/// A rename that was cut off after the record has its new name: the account is disabled, and the
/// same command ends it.
#[test]
fn a_rename_that_was_interrupted_goes_on() {
    for both in [false, true] {
        let (site, server) = site();
        let place = |name: &str| site.root().join(format!("accounts/{name}.db"));
        let old = std::fs::read_to_string(place("ann")).unwrap();
        let new = old.replace("\"ann\"", "\"anna\"").replace("homes/ann", "homes/anna");
        let marks = ",\"renamed_from\":\"ann\",\"disabled_before\":false,\"disabled\":true}";
        let new = format!("{}{marks}", new.trim_end().trim_end_matches('}'));
        std::fs::write(place("anna"), new).unwrap();
        if !both {
            std::fs::remove_file(place("ann")).unwrap();
        }
        fails(sealane(["ls", &site.address(&server, "anna", "")]), 4, "login refused");
        ok(account(&site, &["rename", "ann", "anna"]));
        assert_eq!(listed(&site, &server, "anna"), "deep/\nletter\n");
        assert!(!place("ann").exists() && !site.home("ann").exists());
    }
}
