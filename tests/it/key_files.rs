//! Certificate and key replaced while the server runs, in either order: the old pair serves until
//! the new one fits.

use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};
use sealane_base::types::Pin;

use crate::support::site::{sealane, until};
use crate::support::{Site, ok, result, stderr, stdout};

/// A site, and the files and pin of a pair that it does not use yet.
fn two_pairs() -> (Site, [Vec<u8>; 2], String) {
    let site = Site::new();
    site.account("ann", "1M");
    let other = site.directory.path().join("other");
    let made = ok(site.admin(["--json", "cert", "generate", other.to_str().unwrap()]));
    let pin = result(&made)["server_pin"].as_str().unwrap().to_owned();
    let files = ["server.crt", "server.key"].map(|name| std::fs::read(other.join(name)).unwrap());
    // Without a ring, the files alone say which key is in use.
    std::fs::remove_file(site.root().join("certs/keys.json")).unwrap();
    (site, files, pin)
}

fn replace(place: &Path, bytes: &[u8]) {
    use std::os::unix::fs::PermissionsExt;
    let new = place.with_extension("new");
    std::fs::write(&new, bytes).unwrap();
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::rename(new, place).unwrap();
}

#[test]
fn a_pair_is_taken_up_once_it_fits_in_either_order() {
    for order in [["server.crt", "server.key"], ["server.key", "server.crt"]] {
        let (site, [certificate, key], new) = two_pairs();
        let server = site.start();
        let bytes = |name: &str| if name == "server.crt" { &certificate } else { &key };
        let place = |name: &str| site.root().join("certs").join(name);
        let ls = |pin: &str| {
            sealane(["--pin", pin, "ls", &format!("sealane://ann@{}/", server.address)])
        };
        ok(ls(site.pin()));
        replace(&place(order[0]), bytes(order[0]));
        // Half of it: the old pair serves, and the administrator is told.
        ok(ls(site.pin()));
        let shown = site.admin(["cert", "show"]);
        let pin = Pin::parse(site.pin()).unwrap().to_string();
        let line = format!("in use       {pin}");
        assert!(stdout(&shown).contains(&line), "{}", stdout(&shown));
        assert!(stdout(&shown).contains("do not belong together"), "{}", stdout(&shown));
        let shown = result(&site.admin(["--json", "address"]));
        assert_eq!(shown["pins"][0], pin, "{shown}");
        let address = ok(site.admin(["address"]));
        assert!(stderr(&address).contains("the server still uses"), "{}", stderr(&address));
        replace(&place(order[1]), bytes(order[1]));
        // At once, without anybody having told the server.
        ok(ls(&new));
        assert_eq!(ls(site.pin()).status.code(), Some(5));
        let shown = result(&ok(site.admin(["--json", "cert", "show"])));
        assert_eq!((&shown["live_pin"], &shown["live_problem"]), (&new.clone().into(), &().into()));
    }
}

#[test]
fn pairs_that_follow_one_another_at_once_are_taken_up_in_place() {
    let (site, [certificate, key], new) = two_pairs();
    let server = site.start();
    let place = |name: &str| site.root().join("certs").join(name);
    let old = ["server.crt", "server.key"].map(|name| std::fs::read(place(name)).unwrap());
    let ls =
        |pin: &str| sealane(["--pin", pin, "ls", &format!("sealane://ann@{}/", server.address)]);
    // Written into, not replaced: inode and size stay, and times hardly move.
    for round in 0..5 {
        for (certificate, key, pin) in
            [(&certificate, &key, new.as_str()), (&old[0], &old[1], site.pin())]
        {
            let mut files = [("server.key", key), ("server.crt", certificate)];
            if round % 2 == 1 {
                files.reverse();
            }
            for (name, bytes) in files {
                std::fs::write(place(name), bytes).unwrap();
                let _ = std::net::TcpStream::connect(server.address);
            }
            let listed = ls(pin);
            assert!(listed.status.success(), "{round}: {}{}", stderr(&listed), server.log());
        }
    }
}

#[test]
fn a_pair_is_taken_up_when_nobody_connects_and_at_a_hangup() {
    let (site, [certificate, key], new) = two_pairs();
    let server = site.start();
    let place = |name: &str| site.root().join("certs").join(name);
    replace(&place("server.key"), &key);
    until("the server says that they do not fit", || server.log().contains("cannot be used yet"));
    replace(&place("server.crt"), &certificate);
    kill_process(Pid::from_child(&server.child), Signal::HUP).unwrap();
    until("it has read them", || server.log().contains(&format!("pin={new}")));
    let warnings = server.log().matches("cannot be used yet").count();
    assert_eq!(warnings, 1, "{}", server.log());
}

#[test]
fn without_a_server_files_that_do_not_fit_are_said() {
    let (site, [certificate, _], _) = two_pairs();
    replace(&site.root().join("certs/server.crt"), &certificate);
    let address = ok(site.admin(["address"]));
    assert!(
        stderr(&address).contains("no server can use the files as they are"),
        "{}",
        stderr(&address)
    );
}
