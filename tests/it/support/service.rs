//! A server inside the test process, for tests that look at what only the library shows.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sealane_base::types::{PinSet, Secret, Username};
use sealane_base::workers::Workers;
use sealane_client::{self as client, Client, ConnectError, Target};
use sealane_core::accounts::{
    AccountManager, AccountStore, Authenticator, DirectoryStore, HashCost, LoginSettings,
};
use sealane_core::storage::EmbeddedStore;
use sealane_server as server;
use sealane_server::sealane::Limits;
use sealane_server::{Answer, Question};
use sealane_tls as tls;
use sealane_tls::Identity;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A running server; stops when dropped.
pub struct Service {
    pub directory: TempDir,
    pub address: SocketAddr,
    /// Where the line protocol is served.
    pub line_address: SocketAddr,
    pub pins: PinSet,
    pub store: Arc<dyn AccountStore>,
    pub authenticator: Authenticator,
    keys: server::Keys,
    limits: Limits,
    sessions: usize,
    login_deadline: Duration,
    stop: CancellationToken,
    running: Option<JoinHandle<()>>,
}

/// Logs in with a password.
pub async fn connect(target: &Target, password: &Secret) -> Result<Client, ConnectError> {
    client::connect(target, Some(password), None).await
}

/// Logs in with a key.
pub async fn connect_with_key(target: &Target, key: &Identity) -> Result<Client, ConnectError> {
    client::connect(target, None, Some(key)).await
}

pub const COST: HashCost = HashCost { memory_kib: 64, iterations: 1, parallelism: 1 };

impl Service {
    pub async fn start() -> Self {
        // Many sessions of one account at once are what many tests are about.
        Self::with(Limits::default(), 128, Duration::from_secs(30)).await
    }

    pub async fn with(limits: Limits, sessions: usize, login_deadline: Duration) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let accounts = directory.path().join("accounts");
        std::fs::create_dir(&accounts).unwrap();
        let key = tls::generate::key_pair(time::OffsetDateTime::now_utc()).unwrap();
        let identity =
            Identity::from_pem(key.certificate_pem.as_bytes(), key.key_pem.expose().as_bytes());
        let store: Arc<dyn AccountStore> = Arc::new(DirectoryStore::open(&accounts).unwrap());
        // However slow the machine is.
        let queue_deadline = Duration::from_secs(600);
        let settings =
            LoginSettings { cost: COST, queue: 256, queue_deadline, ..LoginSettings::default() };
        let authenticator = Authenticator::new(store.clone(), settings).unwrap();
        let mut service = Self {
            directory,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            line_address: SocketAddr::from(([127, 0, 0, 1], 0)),
            pins: PinSet::new(vec![key.pin]).unwrap(),
            store,
            authenticator,
            keys: server::Keys::fixed(identity.unwrap()).unwrap(),
            limits,
            sessions,
            login_deadline,
            stop: CancellationToken::new(),
            running: None,
        };
        service.begin().await;
        service
    }

    async fn begin(&mut self) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        self.address = listener.local_addr().unwrap();
        let line = TcpListener::bind("127.0.0.1:0").await.unwrap();
        self.line_address = line.local_addr().unwrap();
        let door: Arc<dyn server::door::Door> = Arc::new(crate::doors::Line);
        let settings = server::Settings {
            keys: self.keys.clone(),
            authenticator: self.authenticator.clone(),
            store: self.store().await,
            sessions: self.sessions,
            limits: self.limits,
            login_deadline: self.login_deadline,
            doors: vec![(line, door)],
            control: Some(server::bind_control(&self.control()).unwrap()),
            congestion: Default::default(),
            connections: 512,
            transfer_memory: 64 << 20,
            answer_memory: 64 << 20,
            workers: Workers::default(),
            strangers: server::StrangerLimits { all: 400, per_source: 200 },
            drain: Duration::from_secs(20),
            recheck: Duration::from_secs(30),
            partial_expiry: Duration::from_secs(3600),
        };
        self.stop = CancellationToken::new();
        let stopped = self.stop.clone().cancelled_owned();
        self.running = Some(tokio::spawn(async move {
            server::run(vec![listener], settings, stopped).await.unwrap();
        }));
    }

    /// The data directory, as soon as the last thread of the server before has let go of it.
    async fn store(&self) -> Arc<EmbeddedStore> {
        let give_up = Instant::now() + Duration::from_secs(30);
        loop {
            match EmbeddedStore::open(&self.directory.path().join("data")) {
                Ok(store) => return store,
                Err(error) => assert!(Instant::now() < give_up, "{error}"),
            }
            tokio::task::yield_now().await;
        }
    }

    /// Lets what is under way end, and begins anew on the same data, at another port.
    pub async fn restart(&mut self) {
        self.stop.cancel();
        if let Some(running) = self.running.take() {
            running.await.unwrap();
        }
        self.begin().await;
    }

    fn control(&self) -> PathBuf {
        self.directory.path().join("control")
    }

    /// Asks as the administrator does.
    pub async fn ask(&self, question: &Question) -> Answer {
        let mut stream = UnixStream::connect(self.control()).await.unwrap();
        let line = serde_json::to_string(question).unwrap() + "\n";
        stream.write_all(line.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        serde_json::from_str(&answer).unwrap()
    }

    /// Changes an account's limit, as the administrator does.
    pub fn set_quota(&self, name: &str, quota: u64) {
        let manager = AccountManager::new(self.store.clone(), COST, Default::default()).unwrap();
        manager.set_quota(&Username::parse(name).unwrap(), quota).unwrap();
    }

    pub fn account(&self, name: &str, quota: u64) {
        let manager = AccountManager::new(self.store.clone(), COST, Default::default()).unwrap();
        let password = Secret::new(super::site::PASSWORD.to_owned());
        manager.add(&Username::parse(name).unwrap(), &password, quota, None).unwrap();
    }

    pub fn target(&self, user: &str) -> Target {
        Target {
            host: self.address.ip().to_string(),
            port: self.address.port(),
            user: Username::parse(user).unwrap(),
            pins: self.pins.clone(),
        }
    }

    pub async fn try_login(&self, user: &str, password: &str) -> Result<Client, ConnectError> {
        connect(&self.target(user), &Secret::new(password.to_owned())).await
    }

    pub async fn login(&self, user: &str) -> Arc<Client> {
        Arc::new(self.try_login(user, super::site::PASSWORD).await.unwrap())
    }

    pub fn home(&self, user: &str) -> PathBuf {
        self.directory.path().join("data/homes").join(user)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
