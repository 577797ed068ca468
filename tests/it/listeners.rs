//! Where a server listens: every socket that it is passed, every address it is told, host names
//! included.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use crate::support::site::{ended, sealane, until};
use crate::support::{Server, Site, fails, ok};

fn ls(site: &Site, address: impl std::fmt::Display) {
    ok(sealane(["--retry-for", "0", "ls", &format!("sealane://ann@{address}/?{}", site.pins)]));
}

fn site() -> Site {
    let site = Site::new();
    site.account("ann", "1M");
    site
}

/// Where the server says that it listens, in its order, once there are `count`.
fn places(server: &Server, count: usize) -> Vec<SocketAddr> {
    let mut places = Vec::new();
    until("it says where it listens", || {
        let log = server.log();
        let lines = log.lines().filter_map(|line| line.strip_prefix("listening on "));
        places = lines.map(|line| line.parse().unwrap()).collect();
        places.len() >= count
    });
    assert_eq!(places.len(), count);
    places
}

/// A command that passes what are its stdin and stdout, as a service manager does.
fn passing(site: &Site, sockets: [OwnedFd; 2]) -> Command {
    let script = "exec 3<&0 4<&1 </dev/null >/dev/null; \
                  LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=inner:outer exec \"$0\" --config \"$1\"";
    let [first, second] = sockets;
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_sealaned")]).arg(site.config());
    command.stdin(first).stdout(second).stderr(Stdio::piped());
    command
}

#[test]
fn every_socket_that_is_passed_is_served() {
    let site = site();
    let sockets = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let given = sockets.each_ref().map(|socket| socket.local_addr().unwrap());
    let server = Server::run(passing(&site, sockets.map(OwnedFd::from))).unwrap();
    assert_eq!(places(&server, 2), given);
    given.iter().for_each(|address| ls(&site, address));
    let log = server.log();
    for (name, address) in ["inner", "outer"].iter().zip(given) {
        let line = log.lines().find(|line| line.contains(&format!("passed to us: {address}")));
        assert!(line.is_some_and(|line| line.contains(name)), "{log}");
    }
}

#[test]
fn a_passed_socket_that_is_none_to_listen_on_is_named() {
    let site = site();
    let good = TcpListener::bind("127.0.0.1:0").unwrap();
    let (wrong, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    let output = passing(&site, [good.into(), wrong.into()]).output().unwrap();
    fails(output, 2, "the sockets passed to us: number 2 of 2 ('outer'): ");
}

#[test]
fn a_list_of_addresses_is_served_in_its_order() {
    let site = site();
    site.configure(&[("listen", "[\"127.0.0.2:0\", \"127.0.0.1:0\"]")]);
    let server = site.start();
    let places = places(&server, 2);
    assert_eq!(places[0].ip().to_string(), "127.0.0.2");
    assert_eq!(places[1].ip().to_string(), "127.0.0.1");
    places.iter().for_each(|address| ls(&site, address));
}

#[test]
fn a_host_name_is_resolved_and_one_that_is_not_known_refused() {
    let site = site();
    site.configure(&[("listen", "\"localhost:0\"")]);
    let server = site.start();
    assert!(server.address.ip().is_loopback());
    ls(&site, server.address);
    drop(server);
    site.configure(&[("listen", "\"no-such-host.invalid:0\"")]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealaned"));
    let output = ended(command.arg("--config").arg(site.config()));
    fails(output, 2, "cannot listen on no-such-host.invalid:0: ");
}

#[test]
fn one_place_that_others_reach_closes_the_sample_accounts_everywhere() {
    let site = site();
    site.configure(&[("listen", "[\"127.0.0.1:0\", \"0.0.0.0:0\"]")]);
    if rustix::process::geteuid().is_root() {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealaned"));
        let output = ended(command.arg("--config").arg(site.config()));
        fails(output, 2, "root does not serve other machines");
        site.append("[process]\nuser = \"root\"\n");
    }
    let server = site.start();
    places(&server, 2);
    until("it serves", || server.log().matches("exposure=Network").count() == 2);
}
