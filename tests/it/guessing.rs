//! A running server, guessed at and asked about it.

use std::os::unix::fs::PermissionsExt;

use sealane_base::types::{Address, PinSet, Secret};
use sealane_client::Target;

use super::support::site::{PASSWORD, client, sealane, until};
use super::support::{Server, Site, fails, ok, result, stderr, stdout};
use crate::support::service::connect;

fn wrong(address: &str) -> std::process::Output {
    client(["ls", address]).env("SEALANE_PASSWORD", "wrong").output().unwrap()
}

#[test]
fn a_guesser_must_wait_an_owner_need_not_and_the_administrator_can_let_in() {
    let site = Site::new();
    for name in ["stranger", "owner"] {
        site.account(name, "1M");
    }
    fails(site.admin(["status"]), 6, "cannot ask the server");
    let server = site.start();
    let socket = site.root().join("data/.control");
    assert_eq!(socket.metadata().unwrap().permissions().mode() & 0o777, 0o600);

    // Known here from its first login; its own mistakes do not count for others.
    let owner = site.address(&server, "owner", "");
    ok(sealane(["ls", &owner]));
    let stranger = site.address(&server, "stranger", "");
    for _ in 0..4 {
        fails(wrong(&stranger), 4, "login refused");
    }
    fails(wrong(&stranger), 4, "too many failed logins: wait ");
    fails(sealane(["ls", &stranger]), 4, "too many failed logins");
    let nobody = site.address(&server, "nobody", "");
    fails(sealane(["ls", &nobody]), 4, "too many failed logins");
    ok(sealane(["ls", &owner]));

    let status = result(&ok(site.admin(["status", "--json"])));
    assert_eq!(status["blocked_sources"][0][0], "127.0.0.1");
    assert_eq!(status["evaluations"], 6);
    // What the administrator is shown is what the client is told.
    let shown = status["blocked_sources"][0][1].as_u64().unwrap();
    let told = stderr(&wrong(&stranger));
    let told = told.split_once("wait ").and_then(|(_, rest)| rest.split_once(" s")).unwrap().0;
    let told: u64 = told.parse().unwrap();
    assert!((1..=5).contains(&shown) && told <= shown, "{told} {shown}");
    let table = stdout(&ok(site.admin(["status"])));
    assert!(table.contains("source 127.0.0.1: no logins for"), "{table}");
    assert!(table.contains("after failed logins must wait: 1 sources, 0 accounts"), "{table}");
    ok(site.admin(["account", "unblock", "stranger", "--source", "127.0.0.1"]));
    ok(sealane(["ls", &stranger]));
}

#[test]
fn a_restart_forgives_no_guesser_and_a_damaged_memory_stops_nobody() {
    let site = Site::new();
    for name in ["stranger", "owner"] {
        site.account(name, "1M");
    }
    let memory = site.root().join("data/.failures");
    {
        let server = site.start();
        ok(sealane(["ls", &site.address(&server, "owner", "")]));
        let stranger = site.address(&server, "stranger", "");
        for _ in 0..6 {
            wrong(&stranger);
        }
        fails(wrong(&stranger), 4, "too many failed logins");
        stop(server);
    }
    assert_eq!(memory.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    {
        let server = site.start();
        fails(sealane(["ls", &site.address(&server, "stranger", "")]), 4, "too many failed logins");
        // Its owner is still known here.
        ok(sealane(["ls", &site.address(&server, "owner", "")]));
        stop(server);
    }
    // What is damaged is forgotten, with a word in the log; what cannot be written costs a word as
    // well.
    std::fs::write(&memory, "{").unwrap();
    let server = site.start();
    assert!(server.log().contains("are forgotten"), "{}", server.log());
    fails(wrong(&site.address(&server, "stranger", "")), 4, "login refused");
    ok(sealane(["ls", &site.address(&server, "stranger", "")]));
    std::fs::remove_file(&memory).ok();
    std::fs::create_dir_all(memory.join("in the way")).unwrap();
    fails(wrong(&site.address(&server, "stranger", "")), 4, "login refused");
    until("the log says so", || server.log().contains("cannot be written down"));
    ok(sealane(["ls", &site.address(&server, "stranger", "")]));
}

/// Ends the server as its manager does.
fn stop(mut server: Server) {
    let pid = rustix::process::Pid::from_child(&server.child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(server.child.wait().unwrap().success());
}

#[tokio::test]
async fn a_session_is_seen_and_ended() {
    let site = Site::new();
    site.account("bob", "1M");
    let server = site.start();
    let address = Address::parse(&site.address(&server, "bob", "")).unwrap();
    let target = Target {
        host: address.host,
        port: address.port,
        user: address.user.unwrap(),
        pins: PinSet::new(address.pins).unwrap(),
    };
    let session = connect(&target, &Secret::new(PASSWORD.to_owned())).await.unwrap();
    let status = result(&ok(site.admin(["status", "--json"])));
    assert_eq!(status["sessions"][0]["account"], "bob");
    assert_eq!(status["sessions"][0]["usage"][2], 1 << 20);
    fails(site.admin(["sessions", "kill", "--account", "alice"]), 3, "no such session");
    ok(site.admin(["sessions", "kill", "--account", "bob"]));
    assert!(session.usage().await.is_err(), "the session goes on");
    let status = result(&ok(site.admin(["status", "--json"])));
    assert_eq!(status["sessions"].as_array().unwrap().len(), 0);
}
