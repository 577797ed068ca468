//! A wall clock that jumps by a year, forward and back, in a server at work: sessions live on,
//! logins work, deadlines hold. The clock is that of `faketime`, which stands before the C library.

use std::io::Read;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Ground, missing, rounds};
use crate::support::proxy::Proxy;
use crate::support::site::{client, sealane, until};
use crate::support::{Site, noise, ok, stderr, stdout};

/// From a connection to its login.
const LOGIN: Duration = Duration::from_secs(3);
const SLACK: Duration = Duration::from_secs(15);

/// The library that `faketime` puts before the programs it starts; or why there is none. The
/// program itself would stand between us and the server.
fn library() -> Result<String, String> {
    if let Some(why) = missing("faketime", &["-m", "-f", "+0", "true"]) {
        return Err(why);
    }
    let output =
        Command::new("faketime").args(["-m", "-f", "+0", "printenv", "LD_PRELOAD"]).output();
    Ok(stdout(&output.unwrap()).trim().to_owned())
}

/// `sealaned` with a wall clock that `file` sets. The clock that only ever goes on is left alone,
/// as in a machine whose time is set.
fn with_clock(library: &str, file: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealaned"));
    command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", file);
    for flag in ["FAKETIME_NO_CACHE", "FAKETIME_DONT_FAKE_MONOTONIC", "NO_FAKE_STAT"] {
        command.env(flag, "1");
    }
    command
}

#[test]
fn a_wall_clock_that_jumps_a_year_ends_nothing() {
    let library = match library() {
        Ok(library) => library,
        Err(why) => return println!("skipped: {why}"),
    };
    let site = Site::new();
    site.configure(&[("login_seconds", "3"), ("queue_seconds", "1")]);
    let mut ground = Ground::alone(site);
    ground.prepare();
    // Where the server may read.
    let clock = ground.site.root().join("data/.clock");
    let set = |days: &str| std::fs::write(&clock, format!("{days}d\n")).unwrap();
    set("+0");
    let server = ground.site.start_by(with_clock(&library, &clock)).unwrap();
    let proxy = Proxy::start(server.address);
    let homes = ground.open_homes(&server);
    let source = ground.site.file("source", &noise(6 << 20, 1));
    for (round, days) in
        ["+365", "-365", "+0"].iter().cycle().take(3 * rounds(1) as usize).enumerate()
    {
        let path = format!("file{round}");
        let address = ground.site.address(&server, "ann", &path);
        let slow = address.replace(&server.address.to_string(), &proxy.address.to_string());
        let before = proxy.sent();
        let mut put = client(["put", "--limit-rate", "4M", source.to_str().unwrap(), &slow]);
        let put = put.args(["--retry-for", "0"]).stdout(Stdio::null()).stderr(Stdio::piped());
        let put = put.spawn().unwrap();
        until("an upload is under way", || proxy.sent() - before > 1 << 20);
        let mut silent = TcpStream::connect(server.address).unwrap();
        silent.set_read_timeout(Some(LOGIN + SLACK)).unwrap();
        let since = Instant::now();

        let told = server.log().len();
        set(days);
        ground.tally.faults += 1;
        // A login on the new day, and those of before are still in.
        ok(sealane(["ls", &ground.site.address(&server, "ann", "")]));
        for home in homes.sessions.iter().flatten() {
            ground.runtime.block_on(home.usage()).expect("a session of the day before");
        }
        let output = put.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        let bytes = std::fs::read(ground.site.home("ann").join(&path)).unwrap();
        ground.tally.file(bytes == noise(6 << 20, 1), path);
        assert_eq!(silent.read(&mut [0; 16]).unwrap_or(0), 0);
        let took = since.elapsed();
        assert!(took + Duration::from_millis(500) > LOGIN && took < LOGIN + SLACK, "{took:?}");
        // It was the server's clock.
        let log = server.log();
        let years: Vec<_> = log[told..].lines().filter_map(|line| line.get(..4)).collect();
        let year = year(days);
        assert!(years.contains(&year.as_str()), "{year}: {}", &log[told..]);
        ground.check_ledgers(false);
    }
    drop(homes);
    ground.check(&server);
    ground.recover_on(&server);
}

fn year(days: &str) -> String {
    let days: i64 = days.parse().unwrap();
    (time::OffsetDateTime::now_utc() + time::Duration::days(days)).year().to_string()
}
