//! Application tokens: what a token may do, and how it ends.

use std::process::Stdio;

use super::Web;
use super::site::Answer;
use crate::support::site::until;
use crate::support::{names, ok, stdout};

/// A new token of `ann`.
fn token(web: &Web, conditions: &[&str]) -> String {
    let made = ok(web.site.admin([&["account", "token", "add", "ann"], conditions].concat()));
    let token = stdout(&made).trim().to_owned();
    assert!(token.starts_with("slt_") && token.len() == 44, "{token}");
    token
}

fn ask(web: &Web, token: &str, path: &str, arguments: &[&str]) -> Answer {
    let user = format!("ann:{token}");
    web.ask(path, &[&["-u", &user], arguments].concat())
}

fn evaluations(web: &Web) -> u64 {
    let status = ok(web.site.admin(["status", "--json"]));
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    status["evaluations"].as_u64().unwrap()
}

#[test]
fn a_token_does_what_it_may_and_costs_no_argon2() {
    let web = Web::new("64M");
    web.put("/files/f", b"x", &[]);
    let file = web.site.file("new", b"new");
    let put = ["-T", file.to_str().unwrap()];
    let before = evaluations(&web);
    for (permissions, expected) in [
        ("read", [200, 403, 403, 403, 403]),
        ("list", [403, 403, 207, 403, 403]),
        ("read,list", [200, 403, 207, 403, 403]),
        // Who may not see what is there is not told that something was.
        ("write", [403, 201, 403, 201, 204]),
    ] {
        let token = token(&web, &["--permissions", permissions]);
        let lock = ask(&web, &token, "/dav/f", &["-X", "LOCK", "-d", super::dav::LOCK]);
        assert_eq!(lock.status, 403, "a lock is for those who may write and see: {lock:?}");
        let did = [
            ask(&web, &token, "/files/f", &[]),
            ask(&web, &token, "/files/f", &put),
            ask(&web, &token, "/dav/", &["-X", "PROPFIND", "-H", "Depth: 1"]),
            ask(&web, &token, "/dav/d", &["-X", "MKCOL"]),
            ask(&web, &token, "/dav/f", &["-X", "DELETE"]),
        ];
        assert_eq!(did.map(|answer| answer.status), expected, "{permissions}");
    }
    assert_eq!(evaluations(&web), before);
    assert_eq!(names(&web.site.home("ann")), ["d"]);
}

#[test]
fn a_token_keeps_to_its_part_of_the_home_its_days_and_its_networks() {
    let web = Web::new("64M");
    web.put("/files/f", b"outside", &[]);
    let part = token(&web, &["--root", "in"]);
    assert_eq!(ask(&web, &part, "/files/f", &[]).status, 404);
    let file = web.site.file("new", b"new");
    assert_eq!(ask(&web, &part, "/files/g", &["-T", file.to_str().unwrap()]).status, 201);
    assert_eq!(web.stored("in/g"), b"new");
    for conditions in [["--expires", "2020-01-01"], ["--from", "192.0.2.0/24"]] {
        let told = ask(&web, &token(&web, &conditions), "/files/f", &[]);
        assert_eq!(told.status, 401, "{conditions:?}");
    }
}

#[test]
fn a_token_that_is_revoked_ends_what_it_does_and_logs_in_no_more() {
    let web = Web::new("64M");
    web.put("/files/f", &vec![7; 48 << 20], &[]);
    let token = token(&web, &["--comment", "backup"]);
    let listed = stdout(&ok(web.site.admin(["account", "token", "list", "ann"])));
    assert!(listed.contains("backup") && !listed.contains(&token), "{listed}");
    let record = std::fs::read_to_string(web.site.root().join("accounts/ann.db")).unwrap();
    assert!(record.contains("\"token\"") && !record.contains(&token), "{record}");
    let mut curl = web.curl();
    curl.args(["--limit-rate", "4M", "-u", &format!("ann:{token}")]).arg(web.url("/files/f"));
    let mut down = curl.stdout(Stdio::null()).spawn().unwrap();
    let is_there = || {
        let status = ok(web.site.admin(["status", "--json"]));
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
        let sessions = status["sessions"].as_array().unwrap();
        sessions.iter().any(|session| session["transfers"] == 1 && session["key"] == "backup")
    };
    until("the download runs", is_there);
    let pin = listed.split_whitespace().next().unwrap();
    ok(web.site.admin(["account", "token", "revoke", "ann", pin]));
    assert!(!down.wait().unwrap().success());
    assert_eq!(ask(&web, &token, "/files/f", &[]).status, 401);
}

#[test]
fn tokens_that_nobody_made_are_refused_and_guessing_them_is_slowed_down() {
    let web = Web::new("64M");
    web.put("/files/f", b"x", &[]);
    let good = token(&web, &[]);
    assert_eq!(ask(&web, &good, "/files/f", &[]).status, 200);
    let guess = |number: u32| {
        let token = format!("slt_{number:040x}");
        ask(&web, &token, "/files/f", &[]).status
    };
    let told: Vec<_> = (0..40).map(guess).collect();
    let refused = told.iter().filter(|status| **status == 401).count();
    let held_back = told.iter().filter(|status| **status == 429).count();
    assert_eq!((told[0], refused + held_back), (401, 40), "{told:?}");
    assert!(held_back > refused, "{told:?}");
    assert_eq!(ask(&web, &good, "/files/f", &[]).status, 200, "what was good once is not delayed");
    assert_eq!(web.ask("/files/f", &[]).status, 200, "nor is the password");
}
