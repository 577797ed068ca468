//! `kill -9` of the server, of clients and of the administrator's program at any moment of
//! everything they do.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::actor::{self, Running};
use super::{Ground, any, rounds};
use crate::support::{Server, Site};

/// Strikes come this soon after everybody has begun.
const SPAN: u64 = 600;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Victim {
    Server,
    Clients,
    Everybody,
}

/// Changes records as long as it is not told to stop: quotas and passwords, which stay the same.
fn administrate(site: &Site, running: &Running, salt: u64, stop: &AtomicBool) {
    let password = site.directory.path().join("password");
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let user = super::USERS[any(("whom", salt, number), 2) as usize];
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealane-admin"));
        command.arg("--config").arg(site.config());
        match number % 2 {
            0 => command.args(["account", "quota", user, ["1G", "2G"][salt as usize % 2]]),
            _ => command.args(["account", "passwd", user, "--password-file"]).arg(&password),
        };
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        *running.lock().unwrap() = Some(child);
        while running.lock().unwrap().as_mut().unwrap().try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
    }
}

/// Everybody works until the moment comes.
fn strike(ground: &mut Ground, server: &mut Server, victim: Victim, salt: u64) -> u64 {
    let moment = Duration::from_millis(any(("moment", salt), SPAN));
    let (stop, admin) = (AtomicBool::new(false), Running::default());
    let runs: Vec<_> = ground.actors.iter().map(|actor| actor.running.clone()).collect();
    let mut kills = 0;
    let (site, actors) = (&ground.site, &mut ground.actors);
    // Before: the threads must not look at the process, which is killed through another handle.
    let begun = Instant::now();
    let pid = rustix::process::Pid::from_child(&server.child);
    let (near, stop) = (&*server, &stop);
    std::thread::scope(|scope| {
        for actor in actors {
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    actor.anything(site, near, salt);
                }
            });
        }
        let running = admin.clone();
        scope.spawn(move || administrate(site, &running, salt, stop));
        std::thread::sleep(moment.saturating_sub(begun.elapsed()));
        stop.store(true, Ordering::Relaxed);
        if victim != Victim::Clients {
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
            kills += 1;
        }
        if victim != Victim::Server {
            let all = runs.iter().chain([&admin]);
            kills += all.filter(|running| actor::kill(running)).count() as u64;
        }
    });
    if victim != Victim::Clients {
        server.kill();
    }
    kills
}

#[test]
fn whoever_is_killed_at_work_nothing_acknowledged_is_lost() {
    let mut ground = Ground::new();
    ground.prepare();
    let mut server = ground.site.start();
    for round in 0..4 * rounds(1) {
        // While homes are open, their ledgers have seen everything that happened to them.
        let homes = ground.open_homes(&server);
        let victim = [Victim::Server, Victim::Clients, Victim::Server, Victim::Everybody];
        let victim = victim[round as usize % 4];
        ground.tally.kills += strike(&mut ground, &mut server, victim, round);
        if victim == Victim::Clients {
            ground.check(&server);
        } else {
            server = ground.site.start();
        }
        drop(homes);
        ground.check(&server);
    }
    drop(server);
    ground.recover();
}
