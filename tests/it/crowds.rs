//! More than there is room for: who is turned away is told so and tries again, and the log counts.

use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::sync::Arc;

use rustix::process::{Pid, Signal, kill_process};
use sealane_base::types::{Address, PinSet, RemotePath, Secret};
use sealane_client::Target;

use crate::support::service::connect;
use crate::support::site::{PASSWORD, client, sealane, until};
use crate::support::{Person, Server, Site, Stage, fails, ok, stderr};

/// `ls` of many accounts at once.
fn all_at_once(site: &Site, server: &Server, names: &[String], retry: &str) -> Vec<Child> {
    let start = |name: &String| {
        let mut ls = client(["--retry-for", retry, "ls", &site.address(server, name, "")]);
        ls.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    names.iter().map(start).collect()
}

fn names(site: &Site, count: usize) -> Vec<String> {
    let names: Vec<_> = (0..count).map(|number| format!("u{number}")).collect();
    names.iter().for_each(|name| site.account(name, "1M"));
    names
}

#[test]
fn many_behind_one_known_address_log_in_at_once() {
    let site = Site::new();
    site.configure(&[("strangers", "60"), ("strangers_per_source", "2")]);
    let names = names(&site, 20);
    let server = site.start();
    ok(sealane(["ls", &site.address(&server, "u0", "")]));
    for child in all_at_once(&site, &server, &names, "0") {
        ok(child.wait_with_output().unwrap());
    }
    assert!(!server.log().contains("turned away"), "{}", server.log());
}

#[test]
fn many_behind_an_unknown_address_get_in_one_after_another() {
    let site = Site::new();
    site.configure(&[("strangers_per_source", "2")]);
    let names = names(&site, 12);
    let server = site.start();
    // Held, so that the address stays full for a moment: it is let go once others were turned away.
    let held: Vec<_> = (0..2).map(|_| TcpStream::connect(server.address).unwrap()).collect();
    let crowd = all_at_once(&site, &server, &names, "2m");
    until("one is turned away", || server.log().contains("turned away"));
    drop(held);
    let said: Vec<_> = crowd.into_iter().map(|one| ok(one.wait_with_output().unwrap())).collect();
    assert!(said.iter().any(|output| stderr(output).contains("trying again")));
    let log = server.log();
    let why =
        "turned away peer=127.0.0.1 why=too many connections without a login from one address";
    assert!(log.contains(why), "{log}");
}

#[test]
fn who_is_turned_away_is_told_so_and_when_to_come_again() {
    let mut stage = Stage::new();
    stage.server.kill();
    stage.site.configure(&[("strangers_per_source", "1")]);
    stage.server = stage.site.start();
    let address = stage.site.address(&stage.server, "ann", "");
    let _held = TcpStream::connect(stage.server.address).unwrap();
    fails(sealane(["--retry-for", "0", "ls", &address]), 6, "the server is busy: wait 1 s");
}

#[test]
fn where_nothing_answers_is_told_at_once() {
    let mut stage = Stage::new();
    let address = stage.site.address(&stage.server, "ann", "");
    stage.server.kill();
    let output = sealane(["ls", &address]);
    fails(output, 6, "Connection refused");
}

fn target(site: &Site, server: &Server, user: &str) -> Target {
    let address = Address::parse(&site.address(server, user, "")).unwrap();
    let pins = PinSet::new(address.pins.clone()).unwrap();
    Target::new(&address, address.user.clone().unwrap(), pins)
}

fn password(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn further_commands_of_the_same_person_wait_for_a_session() {
    let site = Site::new();
    site.configure(&[("sessions_per_account", "1")]);
    site.account("ann", "1M");
    let server = site.start();
    let first = connect(&target(&site, &server, "ann"), &password(PASSWORD)).await.unwrap();
    let address = site.address(&server, "ann", "");
    fails(sealane(["--retry-for", "0", "ls", &address]), 6, "the server is busy");
    let mut waiting = client(["ls", &address]);
    let waiting = waiting.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let refusals = || server.log().matches("the account has too many sessions").count();
    until("it was refused", || refusals() >= 2);
    first.close().await;
    let output = ok(waiting.wait_with_output().unwrap());
    assert!(stderr(&output).contains("the server is busy; trying again"), "{}", stderr(&output));
}

/// A key that is refused once there is room gives way to the password, as if that had come first.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_had_to_wait_and_is_refused_gives_way_to_the_password() {
    let site = Site::new();
    site.configure(&[("strangers_per_source", "1")]);
    site.account("ann", "1M");
    let server = site.start();
    let person = Person::new();
    ok(person.run(["key", "generate"]));
    let held = TcpStream::connect(server.address).unwrap();
    let mut ls = person.command(["ls", &site.address(&server, "ann", "")]);
    let ls = ls.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("it is turned away", || server.log().contains("turned away"));
    drop(held);
    let output = ok(ls.wait_with_output().unwrap());
    assert!(stderr(&output).contains("the server is busy"), "{}", stderr(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_at_full_speed_are_counted_and_hide_no_login() {
    let site = Site::new();
    site.account("ann", "1M");
    site.account("bob", "1M");
    let mut server = site.start();
    let session =
        Arc::new(connect(&target(&site, &server, "ann"), &password(PASSWORD)).await.unwrap());
    let nothing = |number: u32| RemotePath::parse(&format!("nothing/{number}")).unwrap();
    for number in 0..3000 {
        session.stat(&nothing(number)).await.unwrap_err();
    }
    for _ in 0..200 {
        // Neither a place that ann is known at nor one that bob is: nobody waits for the guesser.
        connect(&target(&site, &server, "nobody"), &password("wrong")).await.unwrap_err();
    }
    let logins = 5;
    for _ in 0..logins {
        connect(&target(&site, &server, "ann"), &password(PASSWORD)).await.unwrap().close().await;
    }
    drop(session);
    kill_process(Pid::from_child(&server.child), Signal::TERM).unwrap();
    assert!(server.child.wait().unwrap().success());
    until("the log is read to its end", || server.log().contains(" more: login"));
    let log = server.log();
    assert_eq!(log.matches("logged in").count(), logins + 1, "{log}");
    assert!(log.lines().count() < 100, "{} lines", log.lines().count());
    assert!(log.contains("path=\"nothing/0\"}: refused status=NotFound"), "{log}");
    let counted = "2996 more: refused why=NotFound peer=127.0.0.1 user=ann";
    assert!(log.contains(counted), "{log}");
    assert!(log.contains("more: login not tried: too many failures"), "{log}");
}
