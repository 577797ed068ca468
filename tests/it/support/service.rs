//! A server inside the test process, for tests that look at what only the library shows.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sealane::accounts::{
    AccountManager, AccountStore, Authenticator, DirectoryStore, HashCost, LoginSettings,
};
use sealane::client::{ConnectError, Target, connect};
use sealane::server;
use sealane::session::{Client, Limits};
use sealane::storage::Vault;
use sealane::tls::{self, Identity};
use sealane::types::{PinSet, Secret, Username};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// A running server; stops when dropped.
pub struct Service {
    pub directory: TempDir,
    pub address: SocketAddr,
    pub pins: PinSet,
    pub store: Arc<dyn AccountStore>,
    pub authenticator: Authenticator,
    stop: CancellationToken,
}

pub const COST: HashCost = HashCost { memory_kib: 64, iterations: 1, parallelism: 1 };

impl Service {
    pub async fn start() -> Self {
        // Many sessions of one account at once are what many tests are about.
        let limits = Limits { sessions: 128, ..Limits::default() };
        Self::with(limits, Duration::from_secs(30)).await
    }

    pub async fn with(limits: Limits, login_deadline: Duration) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let accounts = directory.path().join("accounts");
        std::fs::create_dir(&accounts).unwrap();
        let key = tls::generate::key_pair(time::OffsetDateTime::now_utc()).unwrap();
        let identity =
            Identity::from_pem(key.certificate_pem.as_bytes(), key.key_pem.expose().as_bytes());
        let store: Arc<dyn AccountStore> = Arc::new(DirectoryStore::open(&accounts).unwrap());
        let settings = LoginSettings { cost: COST, queue: 256, ..LoginSettings::default() };
        let authenticator = Authenticator::new(store.clone(), settings).unwrap();
        let stop = CancellationToken::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let settings = server::Settings {
            keys: server::Keys::fixed(identity.unwrap()).unwrap(),
            authenticator: authenticator.clone(),
            vault: Vault::open(&directory.path().join("data")).unwrap(),
            limits,
            login_deadline,
            control: None,
            congestion: Default::default(),
            connections: 512,
            transfer_memory: 64 << 20,
            strangers: server::StrangerLimits { all: 400, per_source: 200 },
            drain: Duration::from_secs(20),
            recheck: Duration::from_secs(30),
            partial_expiry: Duration::from_secs(3600),
        };
        let stopped = stop.clone().cancelled_owned();
        tokio::spawn(async move {
            server::run(listener, settings, stopped).await.unwrap();
        });
        let pins = PinSet::new(vec![key.pin]).unwrap();
        Self { directory, address, pins, store, authenticator, stop }
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
