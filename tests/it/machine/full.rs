//! A server that has no room, no inodes or no descriptors left, for real: at every amount of each.

use std::process::Stdio;

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::{Ground, rounds};
use crate::support::disk::SmallDisk;
use crate::support::site::{client, until};
use crate::support::{Server, Site, ok};

const PAGE: u64 = 4096;
/// Pages that are left; the largest is room for what everybody wants.
const ROOM: [u64; 24] = [
    0, 300, 30, 1, 2, 3, 4, 5, 6, 8, 13, 21, 55, 89, 144, 233, 256, 257, 400, 513, 600, 770, 1100,
    2500,
];

/// Two work at once, each in a home of their own: what is there for one may be gone for the other.
fn work(ground: &mut Ground, server: &Server) {
    let (site, actors) = (&ground.site, &mut ground.actors);
    std::thread::scope(|scope| {
        for actor in actors {
            scope.spawn(move || actor.script(site, server, false));
        }
    });
}

/// A site whose data lie on a file system of their own.
fn on_small_disk(size: &str) -> Result<(Ground, SmallDisk), String> {
    let site = Site::new();
    let data = site.root().join("data");
    std::fs::create_dir_all(&data).unwrap();
    let disk = SmallDisk::over(&data, size)?;
    let mut ground = Ground::on(site);
    ground.prepare();
    Ok((ground, disk))
}

#[test]
fn a_disk_that_fills_at_any_write() {
    let (mut ground, disk) = match on_small_disk("48m") {
        Ok(made) => made,
        Err(why) => return println!("skipped: {why}"),
    };
    let server = ground.site.start();
    for pages in &ROOM[..ROOM.len().min(rounds(2) as usize)] {
        let homes = ground.open_homes(&server);
        let filler = disk.fill_but(pages * PAGE);
        work(&mut ground, &server);
        ground.tally.faults += 1;
        ground.check(&server);
        std::fs::remove_file(filler).unwrap();
        ground.recover_on(&server);
        drop(homes);
    }
}

#[test]
fn a_disk_that_can_hold_no_more_files() {
    let (mut ground, disk) = match on_small_disk("48m") {
        Ok(made) => made,
        Err(why) => return println!("skipped: {why}"),
    };
    let server = ground.site.start();
    for more in (0..10).take(rounds(2) as usize) {
        let homes = ground.open_homes(&server);
        // An even number of rounds apart, so that the suite sees one that helps a little.
        disk.change(&format!("nr_inodes={}", disk.inodes() + more * 3 % 10));
        work(&mut ground, &server);
        ground.tally.faults += 1;
        ground.check(&server);
        disk.change("nr_inodes=10000");
        ground.recover_on(&server);
        drop(homes);
    }
}

/// The limit below which `more` numbers are left that are no descriptor of the server's yet:
/// numbers of those it has closed are given out again.
fn limit_for(pid: u32, more: usize) -> u64 {
    let numbers = crate::support::names(format!("/proc/{pid}/fd").as_ref());
    let open: Vec<u64> = numbers.iter().filter_map(|number| number.parse().ok()).collect();
    (0..).filter(|number| !open.contains(number)).nth(more).unwrap_or(0)
}

#[test]
fn a_server_that_may_open_no_more_files() {
    let mut ground = Ground::new();
    ground.prepare();
    let server = ground.site.start();
    let pid = Pid::from_child(&server.child);
    // The server's own: it has raised what it was given to what it may have.
    let most = rustix::process::getrlimit(Resource::Nofile).maximum;
    let before = Rlimit { current: most, maximum: most };
    for more in [4, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16].iter().take(rounds(2) as usize) {
        let homes = ground.open_homes(&server);
        let low = Rlimit { current: Some(limit_for(server.child.id(), *more)), ..before };
        if let Err(why) = prlimit(Some(pid), Resource::Nofile, low) {
            return println!("skipped: prlimit: {why}");
        }
        for actor in &mut ground.actors {
            actor.script(&ground.site, &server, false);
        }
        ground.tally.faults += 1;
        // Nobody at all gets in, and whoever waits does when there are descriptors again.
        let none = Rlimit { current: Some(8), ..before };
        prlimit(Some(pid), Resource::Nofile, none).unwrap();
        let mut waiting = client(["ls", &ground.site.address(&server, "ann", "")]);
        let waiting = waiting.stdout(Stdio::null()).spawn().unwrap();
        until("it is told", || server.log().contains("accept failed"));
        prlimit(Some(pid), Resource::Nofile, before).unwrap();
        ok(waiting.wait_with_output().unwrap());
        ground.check(&server);
        ground.recover_on(&server);
        drop(homes);
    }
}
