//! Logins that wait for a home to be counted: with real records, a real store, and a gate before
//! its steps.

#![expect(clippy::disallowed_methods, reason = "tests lay out the homes that are opened")]

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::*;
use crate::accounts::{AccountManager, AccountStore, DirectoryStore, HashCost, LoginSettings};
use crate::storage::{EmbeddedStore, HomeStore, Opening, View};
use sealane_base::types::{RemotePath, Secret};

const COST: HashCost = HashCost { memory_kib: 8, iterations: 1, parallelism: 1 };
/// However slow the machine is.
const PATIENCE: Duration = Duration::from_secs(300);
/// So many names that a count takes several steps.
const NAMES: usize = 3_000;
const CROWD: usize = 40;

/// The embedded store. Homes of `large` are counted as far as the gate lets them.
#[derive(Debug)]
struct Gated {
    store: Arc<EmbeddedStore>,
    gate: Arc<Gate>,
}

#[derive(Debug)]
struct Gate {
    /// Steps after which no more is counted.
    most: AtomicUsize,
    /// Steps that counted and did not end the count.
    steps: AtomicUsize,
    /// Those that are opening the home.
    openings: watch::Sender<usize>,
}

#[derive(Debug)]
struct GatedOpening {
    opening: Box<dyn Opening>,
    gate: Arc<Gate>,
}

impl Store for Gated {
    fn open_home(
        &self,
        owner: &Username,
        place: &RemotePath,
        limit: u64,
        view: View,
    ) -> Result<Box<dyn Opening>, StorageError> {
        let opening = self.store.open_home(owner, place, limit, view)?;
        if owner.as_str() != "large" {
            return Ok(opening);
        }
        let gate = Arc::clone(&self.gate);
        gate.openings.send_modify(|count| *count += 1);
        Ok(Box::new(GatedOpening { opening, gate }))
    }

    fn audit(&self, owner: &Username, repair: bool) -> Result<Option<Audit>, StorageError> {
        self.store.audit(owner, repair)
    }

    fn sweep_partials(&self, older_than: SystemTime) -> Result<u64, StorageError> {
        self.store.sweep_partials(older_than)
    }
}

impl Opening for GatedOpening {
    fn step(&mut self) -> Result<Option<Arc<dyn HomeStore>>, StorageError> {
        if self.gate.steps.load(Ordering::SeqCst) >= self.gate.most.load(Ordering::SeqCst) {
            return Ok(None);
        }
        let home = self.opening.step()?;
        self.gate.steps.fetch_add(usize::from(home.is_none()), Ordering::SeqCst);
        Ok(home)
    }
}

impl Drop for GatedOpening {
    fn drop(&mut self) {
        self.gate.openings.send_modify(|count| *count -= 1);
    }
}

impl Gate {
    fn hold_after(&self, steps: usize) {
        self.most.store(steps, Ordering::SeqCst);
        self.steps.store(0, Ordering::SeqCst);
    }

    fn open(&self) {
        self.most.store(usize::MAX, Ordering::SeqCst);
    }

    fn steps(&self) -> usize {
        self.steps.load(Ordering::SeqCst)
    }

    async fn wait_for(&self, openings: usize) {
        let mut seen = self.openings.subscribe();
        let waited = tokio::time::timeout(PATIENCE, seen.wait_for(|count| *count == openings));
        waited.await.expect("so many are opening the home").unwrap();
    }

    async fn wait_for_steps(&self, steps: usize) {
        while self.steps() < steps {
            tokio::task::yield_now().await;
        }
    }
}

struct Fixture {
    service: Service,
    gate: Arc<Gate>,
    directory: TempDir,
}

impl Fixture {
    /// A service with one thread for homes, and the accounts `large` and `other`.
    fn new() -> Self {
        // Where making many directories takes little time, if there is such a place.
        let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let accounts = directory.path().join("accounts");
        std::fs::create_dir(&accounts).unwrap();
        let accounts: Arc<dyn AccountStore> = Arc::new(DirectoryStore::open(&accounts).unwrap());
        let manager = AccountManager::new(accounts.clone(), COST, Default::default()).unwrap();
        for name in ["large", "other"] {
            let name = Username::parse(name).unwrap();
            manager.add(&name, &Secret::new("password".into()), 1 << 20, None).unwrap();
        }
        let settings =
            LoginSettings { cost: COST, queue_deadline: PATIENCE, ..LoginSettings::default() };
        let authenticator = Authenticator::new(accounts, settings).unwrap();
        let gate = Gate {
            most: AtomicUsize::new(usize::MAX),
            steps: AtomicUsize::new(0),
            openings: watch::Sender::new(0),
        };
        let gate = Arc::new(gate);
        let store = EmbeddedStore::open(&directory.path().join("data")).unwrap();
        let store = Arc::new(Gated { store, gate: Arc::clone(&gate) });
        let service = Service::new(authenticator, store, Exposure::Loopback, 2 * CROWD);
        Self { service: service.with_workers(Workers::new(1)), gate, directory }
    }

    /// A fixture with much in the home of `large`.
    fn filled() -> Self {
        let fixture = Self::new();
        let home = fixture.home();
        for number in 0..NAMES {
            std::fs::write(home.join(number.to_string()), "").unwrap();
        }
        fixture
    }

    fn home(&self) -> std::path::PathBuf {
        let home = self.directory.path().join("data/homes/large");
        std::fs::create_dir_all(&home).unwrap();
        home
    }

    fn log_in(&self, name: &'static str) -> JoinHandle<Result<Session, LoginRefusal>> {
        let service = self.service.clone();
        tokio::spawn(async move {
            let connection = service.connect(([127, 0, 0, 1], 1).into(), "test");
            let credential = Credential::Password(Secret::new("password".into()));
            let login = service.log_in(&connection, name, credential, None).await?;
            Ok((connection, login))
        })
    }

    /// Steps of one count that nothing disturbs.
    async fn steps_of_one(&self) -> usize {
        self.gate.hold_after(usize::MAX);
        in_time(self.log_in("large")).await.unwrap();
        self.gate.steps()
    }

    /// Logs `other` in and lists what is theirs.
    async fn others_are_served(&self) {
        let (_connection, login) = in_time(self.log_in("other")).await.unwrap();
        let home = Arc::clone(login.home());
        let list = login.queue().run(move || home.list(&RemotePath::default(), None, 9));
        let page = tokio::time::timeout(PATIENCE, list).await.expect("an answer");
        assert!(page.unwrap().entries.is_empty());
    }
}

type Session = (Connection, Login);

async fn in_time<T>(login: JoinHandle<T>) -> T {
    tokio::time::timeout(PATIENCE, login).await.expect("an answer").unwrap()
}

/// Nested directories, as a client could make them once: moved into one another.
fn nest(home: &Path, levels: usize) -> String {
    std::fs::create_dir(home.join("0")).unwrap();
    for level in 1..levels {
        let (inner, outer) = (home.join((level - 1).to_string()), home.join(level.to_string()));
        std::fs::create_dir(&outer).unwrap();
        std::fs::rename(inner, outer.join("d")).unwrap();
    }
    (levels - 1).to_string()
}

#[tokio::test]
async fn logins_that_wait_for_a_count_hold_up_no_login_of_another_account() {
    let fixture = Fixture::filled();
    fixture.gate.hold_after(2);
    let crowd: Vec<_> = (0..CROWD).map(|_| fixture.log_in("large")).collect();
    fixture.gate.wait_for(CROWD).await;
    fixture.others_are_served().await;
    fixture.gate.open();
    for login in crowd {
        in_time(login).await.unwrap();
    }
}

#[tokio::test]
async fn logins_that_wait_for_the_same_home_share_one_count() {
    let fixture = Fixture::filled();
    let one = fixture.steps_of_one().await;
    assert!(one > NAMES / 300, "{one}");
    fixture.gate.hold_after(0);
    let crowd: Vec<_> = (0..CROWD).map(|_| fixture.log_in("large")).collect();
    fixture.gate.wait_for(CROWD).await;
    fixture.gate.open();
    let mut sessions = Vec::new();
    for login in crowd {
        sessions.push(in_time(login).await.unwrap());
    }
    assert_eq!(fixture.gate.steps(), one);
    // One that comes while the home is open has nothing to count.
    in_time(fixture.log_in("large")).await.unwrap();
    assert_eq!(fixture.gate.steps(), one);
}

#[tokio::test]
async fn a_count_goes_on_without_the_login_that_began_it_and_ends_with_the_last() {
    let fixture = Fixture::filled();
    let one = fixture.steps_of_one().await;
    fixture.gate.hold_after(3);
    let first = fixture.log_in("large");
    fixture.gate.wait_for_steps(3).await;
    let second = fixture.log_in("large");
    fixture.gate.wait_for(2).await;
    first.abort();
    fixture.gate.wait_for(1).await;
    fixture.gate.open();
    in_time(second).await.unwrap();
    assert_eq!(fixture.gate.steps(), one, "nothing is counted twice");

    fixture.gate.hold_after(3);
    let only = fixture.log_in("large");
    fixture.gate.wait_for_steps(3).await;
    only.abort();
    fixture.gate.wait_for(0).await;
    assert_eq!(fixture.steps_of_one().await, one, "what was counted is forgotten");
}

#[tokio::test]
async fn a_home_of_36_000_nested_directories_is_refused_to_a_crowd_and_holds_nobody_up() {
    let fixture = Fixture::new();
    let home = fixture.home();
    let top = nest(&home, 36_000);
    let crowd: Vec<_> = (0..CROWD).map(|_| fixture.log_in("large")).collect();
    fixture.others_are_served().await;
    for login in crowd {
        assert_eq!(in_time(login).await.map(drop), Err(LoginRefusal::Internal));
    }
    // Found long before all of it was seen.
    assert!(fixture.gate.steps() <= CROWD, "{}", fixture.gate.steps());
    // Aside, where it is cleared when its owner comes.
    let trash = fixture.directory.path().join("data/partials/other/1.trash");
    std::fs::rename(home.join(top), &trash).unwrap();
    in_time(fixture.log_in("large")).await.unwrap();
    fixture.others_are_served().await;
    assert!(!trash.exists());
}
