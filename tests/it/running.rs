//! What an administrator asks of a running server and changes in it: quotas, states of accounts,
//! the deadline.

use std::path::Path;
use std::sync::Arc;

use sealane_base::files::FileMeta;
use sealane_base::types::{Address, PinSet, RemotePath, Secret};
use sealane_client::{Client, Target};
use sealane_protocol::transfer::Meter;
use serde_json::Value;

use super::support::held::{Held, LetGo};
use super::support::site::{PASSWORD, client, sealane, until};
use super::support::{Server, Site, fails, ok, result, stderr, stdout};
use crate::support::service::connect;

const MIB: u64 = 1 << 20;

async fn log_in(site: &Site, server: &Server, user: &str) -> Arc<Client> {
    let address = Address::parse(&site.address(server, user, "")).unwrap();
    let target = Target {
        host: address.host,
        port: address.port,
        user: address.user.unwrap(),
        pins: PinSet::new(address.pins).unwrap(),
    };
    Arc::new(connect(&target, &Secret::new(PASSWORD.to_owned())).await.unwrap())
}

fn account(output: &std::process::Output, name: &str) -> Value {
    let text = stdout(output);
    let mut objects = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    objects.find(|object| object["name"] == name).unwrap_or_else(|| panic!("{name}: {text}"))
}

fn bytes_below(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_drifted_is_found_and_set_right_while_an_upload_runs() {
    let site = Site::new();
    for name in ["ann", "bob"] {
        site.account(name, "1G");
    }
    let server = site.start();
    let check = |more: &[&str]| site.admin([&["quota", "check", "--json"], more].concat());
    let session = log_in(&site, &server, "ann").await;
    for (name, size) in [("a", 1000), ("b", 500)] {
        let file = site.file(name, &vec![1; size]);
        ok(sealane(["put", file.to_str().unwrap(), &site.address(&server, "ann", name)]));
    }
    let source = Held::new(6 * MIB);
    let let_go = LetGo(source.clone());
    let upload = tokio::spawn({
        let (session, source) = (session.clone(), source.clone());
        let (path, meter) = (RemotePath::parse("big").unwrap(), Arc::new(Meter::default()));
        async move { session.upload(&path, source, FileMeta::default(), meter).await }
    });
    until("half of the upload is there", || {
        let report = ok(check(&["ann"]));
        account(&report, "ann")["uploading"] == 3 * MIB
    });
    let sound = account(&ok(check(&[])), "ann");
    assert_eq!((&sound["used"], &sound["reserved"]), (&1500.into(), &(6 * MIB).into()));
    assert_eq!((&sound["drift"], &sound["files"]), (&0.into(), &1500.into()));

    std::fs::remove_file(site.home("ann").join("b")).unwrap();
    std::fs::write(site.home("ann").join("by hand"), [2; 123]).unwrap();
    fails(site.admin(["quota", "check"]), 1, "1 ledgers differ from the disk");
    let found = check(&[]);
    assert_eq!(found.status.code(), Some(1));
    assert_eq!(account(&found, "ann")["drift"], -377);
    assert_eq!(account(&found, "bob")["open"], false);
    let table = stdout(&site.admin(["quota", "check"]));
    assert!(table.contains("-377") && table.contains("NAME"), "{table}");
    let repaired = ok(check(&["ann", "--repair"]));
    assert_eq!(account(&repaired, "ann")["repaired"], true);
    assert_eq!(result(&repaired)["repaired"], 1);
    assert_eq!(account(&ok(check(&[])), "ann")["used"], 1123);
    until("the log tells of it", || server.log().contains("drift=-377 repair=true"));

    drop(let_go);
    upload.await.unwrap().unwrap();
    let usage = session.usage().await.unwrap();
    assert_eq!((usage.used, usage.reserved), (1123 + 6 * MIB, 0));
    assert_eq!(usage.used, bytes_below(&site.home("ann")));
    assert_eq!(account(&ok(check(&[])), "ann")["drift"], 0);
    fails(check(&["nobody"]), 3, "there is no account 'nobody'");

    drop((session, server));
    let alone = ok(check(&[]));
    assert_eq!(account(&alone, "ann")["on_disk"], 1123 + 6 * MIB);
    assert_eq!(result(&alone)["running"], false);
    assert!(stderr(&alone).contains("no server is running"), "{}", stderr(&alone));
}

#[test]
fn the_states_of_all_accounts_are_told_and_a_damaged_one_is_loud() {
    let site = Site::new();
    for name in ["ann", "off", "zero"] {
        site.account(name, "1M");
    }
    ok(site.admin(["account", "disable", "off"]));
    let record = |name: &str| site.root().join("accounts").join(format!("{name}.db"));
    let old = r#"{"username":"old","password":"5f4dcc3b5aa765d61d8327deb882cf99","limitsize":9,"homepath":"homes/old"}"#;
    std::fs::write(record("old"), old).unwrap();
    std::fs::write(record("bad"), "{").unwrap();
    let text = std::fs::read_to_string(record("zero")).unwrap();
    std::fs::write(record("zero"), text.replace("1048576", "0")).unwrap();
    let server = site.start();
    until("the server has looked at its accounts", || {
        server.log().matches("damaged account record").count() == 2
    });
    let bad = format!("cannot use '{}'", record("bad").display());
    let zero = format!("cannot use '{}': its limitsize is 0", record("zero").display());
    assert!(server.log().contains(&bad) && server.log().contains(&zero), "{}", server.log());

    let before = server.log().matches(&zero).count();
    fails(sealane(["ls", &site.address(&server, "zero", "")]), 4, "login refused");
    until("the log names the file again", || server.log().matches(&zero).count() == before + 1);
    assert!(server.log().contains("login refused: damaged account record"), "{}", server.log());
    ok(sealane(["ls", &site.address(&server, "ann", "")]));

    let status = result(&ok(site.admin(["status", "--json"])));
    let accounts = &status["accounts"];
    let of = |state: &str| accounts[state].as_u64().unwrap();
    assert_eq!((of("argon2id"), of("md5"), of("unusable")), (3, 1, 1));
    assert_eq!((of("disabled"), of("damaged")), (1, 2));
    assert_eq!(accounts["damage"].as_array().unwrap().len(), 2);
    let table = stdout(&ok(site.admin(["status"])));
    let line = "accounts: 3 argon2id; 1 md5; 1 without a usable password; 1 disabled; 2 damaged\n";
    assert!(table.contains(line), "{table}");
    assert!(table.contains(&format!("damaged: the account is disabled: {zero}")), "{table}");
}

#[test]
fn a_deadline_is_moved_without_ending_a_session() {
    let site = Site::new();
    let record = site.root().join("accounts/old.db");
    let old = r#"{"username":"old","password":"5f4dcc3b5aa765d61d8327deb882cf99","limitsize":9000,"homepath":"homes/old"}"#;
    std::fs::write(&record, old).unwrap();
    let server = site.start();
    let config = std::fs::read_to_string(site.config()).unwrap();
    let hang_up = |text: &str, said: &str| {
        std::fs::write(site.config(), text).unwrap();
        let before = server.log().matches(said).count();
        let process = rustix::process::Pid::from_child(&server.child);
        rustix::process::kill_process(process, rustix::process::Signal::HUP).unwrap();
        until(said, || server.log().matches(said).count() > before);
    };
    let try_it = || {
        let mut command = client(["ls", &site.address(&server, "old", "")]);
        command.env("SEALANE_PASSWORD", "password").output().unwrap()
    };
    let past =
        config.replace("# legacy_deadline = \"2027-01-31\"", "legacy_deadline = \"2020-01-01\"");
    assert_ne!(past, config);
    hang_up(&past, "legacy_deadline is 2020-01-01");
    fails(try_it(), 4, "the password must be reset by the administrator");
    // What cannot be read changes nothing.
    hang_up("listen = 7", "configuration not read again: ");
    fails(try_it(), 4, "the password must be reset by the administrator");
    hang_up(&config, "legacy_deadline is none");
    ok(try_it());
}
