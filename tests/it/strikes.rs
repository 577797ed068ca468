//! `kill -9` in the middle of import, wrap, undo and of upgrades at logins: each record is the old
//! one or the new one, whole, and each password still logs in.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use md5::{Digest, Md5};
use sealane_base::types::{Address, PinSet, Secret};
use sealane_client::Target;
use sealane_core::accounts::{
    Authenticator, DirectoryStore, Exposure, HashCost, HomeMap, LoginSettings,
};
use serde_json::Value;
use tokio::task::JoinSet;

use super::support::{Site, Tally, ok, result};
use crate::support::service::connect;

const RECORDS: usize = 50;
/// Rounds of every scenario: `scripts/torture` asks for many more.
const ROUNDS: u64 = 2;
const STRIKES: u64 = 5;

fn rounds() -> u64 {
    std::env::var("SEALANE_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS)
}

/// A moment within `span`, not the same twice.
fn moment(span: Duration, salt: &str, round: u64, strike: u64) -> Duration {
    let hash = blake3::hash(format!("{salt} {round} {strike}").as_bytes());
    let number = u32::from_le_bytes(hash.as_bytes()[..4].try_into().unwrap());
    span.mul_f64(f64::from(number) / f64::from(u32::MAX))
}

fn password(name: &str) -> String {
    format!("the password of {name}")
}

fn md5(name: &str) -> String {
    Md5::digest(password(name).as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

struct Stage {
    site: Site,
    folder: PathBuf,
    names: Vec<String>,
}

impl Stage {
    fn new() -> Self {
        let site = Site::new();
        let folder = site.directory.path().join("old");
        std::fs::create_dir(&folder).unwrap();
        let names: Vec<String> = (0..RECORDS).map(|number| format!("u{number:02}")).collect();
        for name in &names {
            let (md5, home) = (md5(name), format!(r"D:\\FTP\\home\\{name}"));
            let text = format!(
                r#"{{"username": "{name}", "password": "{md5}", "limitsize": 10240000, "homepath": "{home}", "note": ["é", 1]}}"#
            );
            std::fs::write(folder.join(format!("{name}.db")), text).unwrap();
        }
        Self { site, folder, names }
    }

    fn imported() -> Self {
        let stage = Self::new();
        // All of them come from here, at once, however slow the machine is.
        stage.site.configure(&[
            ("strangers_per_source", "64"),
            ("queue_seconds", "600"),
            ("login_seconds", "601"),
        ]);
        ok(stage.site.admin(stage.import()));
        stage
    }

    fn import(&self) -> [&str; 3] {
        ["account", "import", self.folder.to_str().unwrap()]
    }

    fn accounts(&self) -> PathBuf {
        self.site.root().join("accounts")
    }

    /// Runs `sealane-admin`, and kills it at `moment` if it still runs then.
    fn strike(&self, tally: &mut Tally, arguments: &[&str], moment: Duration) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealane-admin"));
        command.arg("--config").arg(self.site.config()).args(arguments);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let since = Instant::now();
        while since.elapsed() < moment && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        tally.kills += u64::from(child.try_wait().unwrap().is_none());
        let _ = child.kill();
        child.wait().unwrap();
    }

    /// Every record that is there, by name; each must be whole and say what it said, but for its
    /// password.
    fn records(&self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        for name in &self.names {
            let file = format!("{name}.db");
            let Ok(bytes) = std::fs::read(self.accounts().join(&file)) else { continue };
            let mut record: Value = serde_json::from_slice(&bytes).unwrap();
            let mut old: Value =
                serde_json::from_slice(&std::fs::read(self.folder.join(&file)).unwrap()).unwrap();
            let stored = record["password"].as_str().unwrap().to_owned();
            record.as_object_mut().unwrap().shift_remove("last_login");
            (record["password"], old["password"]) = (Value::Null, Value::Null);
            assert_eq!(record, old);
            found.insert(name.clone(), stored);
        }
        found
    }

    /// Each password that is there logs in, tried on a copy.
    async fn everybody_logs_in(&self, tally: &mut Tally) {
        let copy = tempfile::tempdir().unwrap();
        let names = self.records();
        for name in names.keys() {
            let file = format!("{name}.db");
            std::fs::copy(self.accounts().join(&file), copy.path().join(&file)).unwrap();
        }
        let settings = LoginSettings {
            cost: HashCost { memory_kib: 64, iterations: 1, parallelism: 1 },
            homes: HomeMap::new([(r"D:\FTP\home", "homes")]).unwrap(),
            ..LoginSettings::default()
        };
        let store = DirectoryStore::open(copy.path()).unwrap();
        let logins = Authenticator::new(Arc::new(store), settings).unwrap();
        for name in names.keys() {
            let typed = Secret::new(password(name));
            let login = logins.login(name, typed, Exposure::Network).await;
            tally.account(login.is_ok(), (name, login));
        }
    }
}

/// How long a command takes when nobody strikes.
fn span(stage: &Stage, arguments: &[&str]) -> Duration {
    let since = Instant::now();
    ok(stage.site.admin(arguments));
    since.elapsed()
}

fn temporaries(directory: &Path) -> usize {
    let names = std::fs::read_dir(directory).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    names.filter(|name| name.ends_with(".tmp")).count()
}

#[tokio::test]
async fn an_import_that_is_killed_leaves_whole_records() {
    let span = {
        let stage = Stage::new();
        span(&stage, &stage.import())
    };
    let mut tally = Tally::default();
    for round in 0..rounds() {
        let stage = Stage::new();
        for strike in 0..STRIKES {
            let moment = moment(span, "import", round, strike);
            stage.strike(&mut tally, &stage.import(), moment);
            for (name, stored) in stage.records() {
                assert_eq!(stored, md5(&name));
            }
            stage.everybody_logs_in(&mut tally).await;
        }
        ok(stage.site.admin(stage.import()));
        assert_eq!(stage.records().len(), RECORDS);
        assert_eq!(temporaries(&stage.accounts()), 0);
    }
}

#[tokio::test]
async fn a_wrap_and_an_undo_that_are_killed_leave_old_or_new_records() {
    let is_old_or_new = |name: &str, stored: &str| {
        stored == md5(name) || stored.starts_with("{md5+argon2id}$argon2id$v=19$")
    };
    let (wrap, undo) = (["account", "wrap"], ["account", "undo"]);
    let (wrap_span, undo_span) = {
        let stage = Stage::imported();
        (span(&stage, &wrap), span(&stage, &undo))
    };
    let mut tally = Tally::default();
    for round in 0..rounds() {
        let stage = Stage::imported();
        for (command, span) in [(wrap, wrap_span), (undo, undo_span)] {
            for strike in 0..STRIKES {
                let moment = moment(span, command[1], round, strike);
                stage.strike(&mut tally, &command, moment);
                let records = stage.records();
                assert_eq!(records.len(), RECORDS);
                for (name, stored) in &records {
                    assert!(is_old_or_new(name, stored), "{name}: {stored}");
                }
                stage.everybody_logs_in(&mut tally).await;
            }
            ok(stage.site.admin(command));
            let is_done = |name: &String, stored: &String| match command[1] {
                "wrap" => stored.starts_with("{md5+argon2id}"),
                _ => *stored == md5(name),
            };
            assert!(stage.records().iter().all(|(name, stored)| is_done(name, stored)));
            assert_eq!(temporaries(&stage.accounts()), 0);
        }
    }
}

/// All of them log in at once; what comes of it is another matter.
async fn rush(stage: &Stage, address: std::net::SocketAddr) -> usize {
    let mut tasks = JoinSet::new();
    for name in &stage.names {
        let text = format!("sealane://{name}@{address}/?{}", stage.site.pins);
        let address = Address::parse(&text).unwrap();
        let pins = PinSet::new(address.pins.clone()).unwrap();
        let target = Target::new(&address, address.user.clone().unwrap(), pins);
        let typed = Secret::new(password(name));
        tasks.spawn(async move { connect(&target, &typed).await.is_ok() });
    }
    let mut let_in = 0;
    while let Some(outcome) = tasks.join_next().await {
        let_in += usize::from(outcome.unwrap());
    }
    let_in
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_among_upgrades_leaves_old_or_new_records() {
    let span = {
        let stage = Stage::imported();
        let server = stage.site.start();
        let since = Instant::now();
        assert_eq!(rush(&stage, server.address).await, RECORDS);
        since.elapsed()
    };
    let mut tally = Tally::default();
    for round in 0..rounds() {
        let stage = Stage::imported();
        for strike in 0..STRIKES {
            let mut server = stage.site.start();
            let address = server.address;
            let moment = moment(span, "login", round, strike);
            let killer = std::thread::spawn({
                let since = Instant::now();
                move || {
                    while since.elapsed() < moment {
                        std::thread::yield_now();
                    }
                    server.kill();
                }
            });
            rush(&stage, address).await;
            killer.join().unwrap();
            tally.kills += 1;
            for (name, stored) in stage.records() {
                let is_whole = stored == md5(&name) || stored.starts_with("$argon2id$v=19$");
                assert!(is_whole, "{name}: {stored}");
            }
            stage.everybody_logs_in(&mut tally).await;
        }
        let server = stage.site.start();
        assert_eq!(rush(&stage, server.address).await, RECORDS);
        assert!(stage.records().values().all(|stored| stored.starts_with("$argon2id$")));
        assert_eq!(temporaries(&stage.accounts()), 0);
        let report = result(&ok(stage.site.admin(["account", "report", "--json"])));
        assert_eq!(report["argon2id"], RECORDS);
    }
}
