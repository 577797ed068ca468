//! Programs that stand still (`SIGSTOP`) for longer than every limit of the other end, which must
//! end what it waits for within its limits, and that go on afterwards (`SIGCONT`).

use std::io::Read;
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use sealane_base::types::{Address, PinSet, Secret};
use sealane_client::Client;
use sealane_client::session::{Session, SessionError, SessionSettings};
use sealane_tls as tls;

use super::{Ground, rounds};
use crate::support::proxy::Proxy;
use crate::support::site::{PASSWORD, client, sealane, until};
use crate::support::{Server, Site, fails, noise, ok, stderr};

const MIB: u64 = 1 << 20;
const SIZE: usize = 24 << 20;
/// As they are set here: idle, stalled in a frame, up to the login, to the end of a shutdown.
const LIMITS: [(&str, &str); 5] = [
    ("idle_seconds", "2"),
    ("stall_seconds", "1"),
    ("login_seconds", "2"),
    ("queue_seconds", "1"),
    ("drain_seconds", "2"),
];
/// Longer than each of them.
const LONGER: Duration = Duration::from_millis(2500);
/// What a machine with more to do than this may add to a limit.
const SLACK: Duration = Duration::from_secs(15);

struct Stage {
    ground: Ground,
    server: Server,
    proxy: Proxy,
}

impl Stage {
    fn new() -> Self {
        let site = Site::new();
        site.configure(&LIMITS);
        let mut ground = Ground::alone(site);
        ground.prepare();
        let server = ground.site.start();
        let proxy = Proxy::start(server.address);
        Self { ground, server, proxy }
    }

    fn at(&self, path: &str) -> String {
        let direct = self.ground.site.address(&self.server, "ann", path);
        direct.replace(&self.server.address.to_string(), &self.proxy.address.to_string())
    }

    /// A transfer that has moved some MiB.
    fn under_way(&self, arguments: &[&str]) -> Child {
        let moved = || self.proxy.sent() + self.proxy.received();
        let before = moved();
        let mut child = client(arguments);
        let child = child.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        until("bytes pass", || moved() - before > 5 * MIB);
        child
    }

    fn ended(&self) -> usize {
        self.server.log().matches("session ended").count()
    }

    /// Another command ends before it, so that only a session that was given up can be what is
    /// meant.
    fn given_up_after(&self, before: usize) -> Duration {
        let since = Instant::now();
        until("the session is given up", || self.ended() > before);
        since.elapsed()
    }

    fn server(&self) -> Pid {
        Pid::from_child(&self.server.child)
    }
}

/// Returns once a process that is to stop has stopped.
fn signal(pid: Pid, signal: Signal) {
    kill_process(pid, signal).unwrap();
    let state = || std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero()));
    while signal == Signal::STOP && !state().unwrap().contains("State:\tT") {
        std::thread::yield_now();
    }
}

fn stand_still_for(time: Duration) {
    std::thread::sleep(time);
}

/// Any client, stopped in the middle, up or down.
fn stopped_client(down: bool) {
    let mut stage = Stage::new();
    let (one, two) = (noise(SIZE, 1), noise(SIZE, 2));
    for round in 0..rounds(1) {
        let path = format!("stopped{round}");
        let source = stage.ground.site.file("source", &one);
        let target = stage.ground.site.local().join(&path);
        let put = ["put", source.to_str().unwrap(), &stage.at(&path)];
        if down {
            ok(sealane(put));
        }
        let before = stage.ended();
        let child = match down {
            true => stage.under_way(&["get", &stage.at(&path), target.to_str().unwrap()]),
            false => stage.under_way(&put),
        };
        let pid = Pid::from_child(&child);
        signal(pid, Signal::STOP);
        let took = stage.given_up_after(before);
        assert!(took < Duration::from_secs(2) + SLACK, "{took:?}");
        // Nothing of it holds up or costs anybody.
        stage.ground.check_ledgers(false);
        if !down {
            let other = stage.ground.site.file("other", &two);
            ok(sealane(["put", other.to_str().unwrap(), &stage.at(&path)]));
        }
        stage.ground.tally.faults += 1;
        signal(pid, Signal::CONT);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}{}", stderr(&output), stage.server.log());
        let there = if down { target } else { stage.ground.site.home("ann").join(&path) };
        stage.ground.tally.file(std::fs::read(there).unwrap() == one, path);
        stage.ground.check(&stage.server);
    }
}

#[test]
fn a_client_that_stands_still_in_an_upload_is_given_up_and_goes_on_later() {
    stopped_client(false);
}

#[test]
fn a_client_that_stands_still_in_a_download_is_given_up_and_goes_on_later() {
    stopped_client(true);
}

#[test]
fn a_client_that_stands_still_does_not_hold_up_a_shutdown() {
    let mut stage = Stage::new();
    let source = stage.ground.site.file("source", &noise(SIZE, 1));
    let mut child = stage.under_way(&["put", source.to_str().unwrap(), &stage.at("file")]);
    signal(Pid::from_child(&child), Signal::STOP);
    let since = Instant::now();
    signal(stage.server(), Signal::TERM);
    assert!(stage.server.child.wait().unwrap().success());
    assert!(since.elapsed() < Duration::from_secs(2) + SLACK, "{:?}", since.elapsed());
    stage.ground.tally.faults += 1;
    child.kill().unwrap();
    child.wait().unwrap();
    stage.ground.recover();
}

#[test]
fn a_server_that_stands_still_for_longer_than_its_limits_goes_on() {
    let mut stage = Stage::new();
    let bytes = noise(SIZE, 3);
    let source = stage.ground.site.file("source", &bytes);
    for round in 0..rounds(1) {
        let path = format!("file{round}");
        let homes = stage.ground.open_homes(&stage.server);
        let mut silent = TcpStream::connect(stage.server.address).unwrap();
        silent.set_read_timeout(Some(LONGER + SLACK)).unwrap();
        let child = stage.under_way(&["put", source.to_str().unwrap(), &stage.at(&path)]);
        signal(stage.server(), Signal::STOP);
        let waiting = client(["ls", &stage.at("")]).stdout(Stdio::null()).spawn().unwrap();
        stand_still_for(LONGER);
        stage.ground.tally.faults += 1;
        signal(stage.server(), Signal::CONT);
        // Whoever had been given up by the time it moves again comes back by themselves.
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}{}", stderr(&output), stage.server.log());
        ok(waiting.wait_with_output().unwrap());
        assert_eq!(silent.read(&mut [0; 16]).unwrap_or(0), 0, "it was to be closed");
        let there = std::fs::read(stage.ground.site.home("ann").join(&path)).unwrap();
        stage.ground.tally.file(there == bytes, path);
        drop(homes);
        stage.ground.check(&stage.server);
    }
}

/// A session that gives a silent server up after `silence`.
async fn impatient(address: &Address, silence: Duration) -> Client {
    let config = tls::client_config(PinSet::new(address.pins.clone()).unwrap()).unwrap();
    let stream = tokio::net::TcpStream::connect((address.host.as_str(), address.port)).await;
    let stream = tls::connect(config, stream.unwrap()).await.unwrap();
    let (settings, password) = (SessionSettings { silence }, Secret::new(PASSWORD.to_owned()));
    let session = Session::log_in(stream, settings, "ann", Some(&password)).await;
    Client::new(session.unwrap(), None)
}

#[test]
fn a_server_that_stands_still_is_given_up_by_its_clients() {
    let mut stage = Stage::new();
    let address = stage.ground.site.address(&stage.server, "ann", "");
    let address = Address::parse(&address).unwrap();
    let silence = Duration::from_secs(1);
    let session = Arc::new(stage.ground.runtime.block_on(impatient(&address, silence)));
    signal(stage.server(), Signal::STOP);
    let since = Instant::now();
    let answer = stage.ground.runtime.block_on(session.usage());
    assert!(matches!(answer, Err(SessionError::Connection(_))), "{answer:?}");
    let took = since.elapsed();
    assert!(took >= silence / 2 && took < silence + SLACK, "{took:?}");
    // One that tries to come in hears nothing either, and says so in time.
    if std::env::var_os("SEALANE_LONG").is_some() {
        let output = sealane(["ls", &stage.at("")]);
        fails(output, 6, "did not answer");
    }
    stage.ground.tally.faults += 1;
    signal(stage.server(), Signal::CONT);
    stage.ground.check(&stage.server);
    stage.ground.recover_on(&stage.server);
}
