//! What a machine does to the programs that run on it: it kills them, fails their calls, has no
//! room, lets them stand still, sets its clock. Afterwards no file that was acknowledged is lost or
//! damaged, no account is unreadable, no ledger is off by a byte, and the same commands succeed.
//!
//! The suite does each thing a few times, `scripts/torture` hundreds of times.

mod actor;
mod calls;
mod clock;
mod full;
mod kills;
mod stopped;

use std::path::Path;
use std::process::Command;

use sealane_base::types::{Address, PinSet, Secret};
use sealane_client::{Client, Target};
use serde_json::Value;
use tokio::runtime::Runtime;

use super::support::site::{PASSWORD, until};
use super::support::{Server, Site, Tally, ok, stdout};
use crate::support::service::connect;
use actor::Actor;

/// The accounts, and the directories in their homes that somebody works in.
const ACTORS: [(&str, &str); 3] = [("ann", "a"), ("ann", "b"), ("ben", "c")];
const USERS: [&str; 2] = ["ann", "ben"];

/// A site with two accounts, and what their clients were told is on it.
struct Ground {
    site: Site,
    actors: Vec<Actor>,
    tally: Tally,
    runtime: Runtime,
}

impl Ground {
    fn new() -> Self {
        Self::on(Site::new())
    }

    /// As [`Ground::new`], where one actor shows as much as three, and the suite has no time for
    /// more.
    fn alone(site: Site) -> Self {
        let mut ground = Self::on(site);
        if rounds(0) == 0 {
            ground.actors.truncate(1);
        }
        ground
    }

    /// On a site that was made ready in some way, but has no accounts.
    fn on(site: Site) -> Self {
        for user in USERS {
            site.account(user, "1G");
        }
        let actors = ACTORS.map(|(user, directory)| Actor::new(user, directory)).into();
        let runtime = Runtime::new().unwrap();
        Self { site, actors, tally: Tally::default(), runtime }
    }

    /// Makes the directories of the actors and what they begin with.
    fn prepare(&mut self) {
        let server = self.site.start();
        for actor in &mut self.actors {
            actor.begin(&self.site, &server);
        }
        self.check(&server);
    }

    /// Every account's home stays open as long as what this returns, so that its ledger does too.
    fn open_homes(&self, server: &Server) -> Homes {
        let sessions = USERS.map(|user| self.log_in(server, user)).into();
        Homes { sessions, runtime: self.runtime.handle().clone() }
    }

    /// A session of `user`; more than one try, because one may meet a fault.
    fn log_in(&self, server: &Server, user: &str) -> Option<Client> {
        let address = Address::parse(&self.site.address(server, user, "")).unwrap();
        let pins = PinSet::new(address.pins.clone()).unwrap();
        let target = Target::new(&address, address.user.clone().unwrap(), pins);
        let password = Secret::new(PASSWORD.to_owned());
        (0..5).find_map(|_| self.runtime.block_on(connect(&target, &password)).ok())
    }

    /// What `quota check` finds, once nothing is under way any more: no ledger may differ from the
    /// disk. Of a server whose calls fail, `may_fail`: what cannot be told for that reason is
    /// looked at when they do no longer.
    fn check_ledgers(&mut self, may_fail: bool) {
        let mut rows = Vec::new();
        until("uploads let go", || {
            rows = objects(&stdout(&self.site.admin(["quota", "check", "--json"])));
            let is_quiet = |row: &Value| row["reserved"].as_u64().unwrap_or(0) == 0;
            rows.len() > USERS.len() && rows.iter().all(is_quiet)
        });
        for user in USERS {
            let row = rows.iter().find(|row| row["name"] == user).cloned().unwrap_or_default();
            if may_fail && row["error"].is_string() {
                continue;
            }
            let on_disk = self.on_disk(user);
            let counted = row["used"].as_u64().or(row["on_disk"].as_u64());
            let is_exact = counted == Some(on_disk) && row["drift"].as_i64().unwrap_or(0) == 0;
            self.tally.quota(is_exact, (on_disk, &row));
        }
    }

    /// Bytes of an account, counted by hand.
    fn on_disk(&self, user: &str) -> u64 {
        let partials = self.site.partials(user);
        let is_part = |name: &Path| name.extension().is_some_and(|ending| ending == "part");
        bytes_below(&self.site.home(user), &|_| true) + bytes_below(&partials, &is_part)
    }

    /// Everything is as it must be, and everybody gets in.
    fn check(&mut self, server: &Server) {
        let homes = self.open_homes(server);
        for (user, home) in USERS.iter().zip(&homes.sessions) {
            self.tally.account(home.is_some(), (user, server.log()));
        }
        let listed = objects(&stdout(&ok(self.site.admin(["account", "list", "--json"]))));
        for user in USERS {
            let row = listed.iter().find(|row| row["name"] == user).cloned().unwrap_or_default();
            let is_well = row["quota"].is_u64() && row["home"].is_string();
            self.tally.account(is_well && row["problems"] == Value::Array(Vec::new()), &row);
        }
        self.check_ledgers(false);
        for actor in &mut self.actors {
            actor.settle(&self.site, &mut self.tally);
        }
    }

    /// Starts a server on which nothing fails: all is there, and all can be done.
    fn recover(&mut self) {
        let server = self.site.start();
        self.recover_on(&server);
    }

    /// As [`Ground::recover`], on a server that nothing troubles any more.
    fn recover_on(&mut self, server: &Server) {
        self.check(server);
        for actor in &mut self.actors {
            actor.script(&self.site, server, true);
        }
        self.check(server);
    }
}

/// A session of each account, where one was to be had; closed when dropped, so that none is left
/// behind.
struct Homes {
    sessions: Vec<Option<Client>>,
    runtime: tokio::runtime::Handle,
}

impl Drop for Homes {
    fn drop(&mut self) {
        for session in self.sessions.drain(..).flatten() {
            self.runtime.block_on(session.close());
        }
    }
}

/// The lines that a program printed with `--json`.
fn objects(text: &str) -> Vec<Value> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn bytes_below(place: &Path, counts: &dyn Fn(&Path) -> bool) -> u64 {
    let Ok(entries) = std::fs::read_dir(place) else { return 0 };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .map(|path| match path.symlink_metadata().unwrap() {
            facts if facts.is_dir() => bytes_below(&path, &|_| true),
            facts if counts(&path) => facts.len(),
            _ => 0,
        })
        .sum()
}

/// How often each thing is done: `usual` times in the suite.
fn rounds(usual: u64) -> u64 {
    std::env::var("SEALANE_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// A number that follows from `seed` and nothing else, below `end`.
fn any(seed: impl std::fmt::Debug, end: u64) -> u64 {
    let hash = blake3::hash(format!("{seed:?}").as_bytes());
    u64::from_le_bytes(hash.as_bytes()[..8].try_into().unwrap()) % end
}

/// Why this tool cannot be used, if it cannot.
fn missing(program: &str, arguments: &[&str]) -> Option<String> {
    match Command::new(program).args(arguments).output() {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(format!("{program}: {}", super::support::stderr(&output).trim())),
        Err(error) => Some(format!("{program}: {error}")),
    }
}
