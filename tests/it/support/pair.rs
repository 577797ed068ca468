//! The server's half of a session over a pipe in memory: no socket, no TLS, and a clock that stands
//! still until a test moves it or everybody waits for it.

use std::future::{Ready, ready};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sealane_base::files::FileMeta;
use sealane_base::types::{Digest, Pin, Secret, Username};
use sealane_client::Client;
use sealane_client::session::{Session, SessionError, SessionSettings, WholeFile};
use sealane_core::accounts::{
    AccountManager, AccountStore, Authenticator, DirectoryStore, Exposure, LoginSettings,
};
use sealane_core::service::Service;
use sealane_core::storage::EmbeddedStore;
use sealane_protocol::message::Login;
use sealane_protocol::wire::WireError;
use sealane_protocol::{ClientMessage, ServerMessage, Side};
use sealane_server::sealane::{self, Ended, Limits};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::peer::{Peer, hello, login, still};
use super::service::COST;
use super::site::PASSWORD;

/// The one account.
pub const USER: &str = "ann";
/// Bytes that may be on their way in each direction.
const PIPE: usize = 64 * 1024;
/// From the connection to a successful login.
pub const LOGIN_DEADLINE: Duration = Duration::from_secs(30);

/// How a server's session ended.
pub type Served = JoinHandle<Result<Ended, WireError>>;

/// A server without a door: every connection is made by a test.
pub struct Pair {
    pub directory: TempDir,
    pub drain: CancellationToken,
    pub manager: AccountManager,
    door: Arc<sealane::Sealane>,
}

impl Pair {
    /// A server with default limits that knows [`USER`].
    pub fn new() -> Self {
        Self::over(|store| store)
    }

    /// As [`Pair::new`], with these limits and at most so many sessions of an account.
    pub fn bounded(limits: Limits, sessions: usize) -> Self {
        Self::made(|store| store, limits, sessions)
    }

    /// As [`Pair::new`]; logins see the records through what `wrap` makes of their store.
    pub fn over(wrap: impl FnOnce(Arc<dyn AccountStore>) -> Arc<dyn AccountStore>) -> Self {
        Self::made(wrap, Limits::default(), usize::MAX)
    }

    fn made(
        wrap: impl FnOnce(Arc<dyn AccountStore>) -> Arc<dyn AccountStore>,
        limits: Limits,
        sessions: usize,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let accounts = directory.path().join("accounts");
        std::fs::create_dir(&accounts).unwrap();
        let store: Arc<dyn AccountStore> = Arc::new(DirectoryStore::open(&accounts).unwrap());
        let manager = AccountManager::new(store.clone(), COST, Default::default()).unwrap();
        let password = Secret::new(PASSWORD.to_owned());
        manager.add(&Username::parse(USER).unwrap(), &password, 1 << 40, None).unwrap();
        let settings = LoginSettings { cost: COST, ..LoginSettings::default() };
        let authenticator = Authenticator::new(wrap(store), settings).unwrap();
        let store = EmbeddedStore::open(&directory.path().join("data")).unwrap();
        let door = sealane::Sealane {
            service: Service::new(authenticator, store, Exposure::Network, sessions),
            limits,
            tokens: sealane::TokenTable::new(64),
            memory: sealane_protocol::wire::Memory::new(64 << 20),
            sending: sealane_protocol::wire::Memory::new(64 << 20),
            answers: sealane_protocol::wire::Memory::new(64 << 20),
        };
        std::fs::create_dir_all(directory.path().join("data/homes").join(USER)).unwrap();
        let (drain, door) = (CancellationToken::new(), Arc::new(door));
        Self { directory, drain, manager, door }
    }

    /// Logins evaluated so far.
    pub fn evaluations(&self) -> u64 {
        self.door.service.accounts().evaluations()
    }

    /// Places that must wait because of failures.
    pub fn blocked_sources(&self) -> usize {
        self.door.service.accounts().blocks().sources.len()
    }

    pub fn home(&self) -> PathBuf {
        self.directory.path().join("data/homes").join(USER)
    }

    /// Names of what is kept of interrupted uploads.
    pub fn partials(&self) -> Vec<String> {
        let place = self.directory.path().join("data/partials").join(USER);
        let names = if place.exists() { super::names(&place) } else { Vec::new() };
        names.into_iter().filter(|name| name.ends_with(".part")).collect()
    }

    /// Puts a file into the home, as if it had been uploaded before.
    pub fn file(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.home().join(name), bytes).unwrap();
    }

    /// A connection that has said nothing yet, with `pipe` bytes of room each way.
    pub fn connect(&self, pipe: usize) -> (DuplexStream, Served) {
        self.connect_showing(pipe, None)
    }

    /// As [`Pair::connect`], for a client whose handshake has proved a key.
    pub fn connect_showing(&self, pipe: usize, client_key: Option<Pin>) -> (DuplexStream, Served) {
        let (near, far) = duplex(pipe);
        (near, self.serve_showing(far, client_key))
    }

    /// Serves whoever is at the other end of `far`.
    pub fn serve<S>(&self, far: S) -> Served
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        self.serve_with(far, None, None)
    }

    /// As [`Pair::serve`], on a connection that TLS names so.
    pub fn serve_as<S>(&self, far: S, exporter: Option<[u8; 32]>) -> Served
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        self.serve_with(far, None, exporter)
    }

    fn serve_showing<S>(&self, far: S, client_key: Option<Pin>) -> Served
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        self.serve_with(far, client_key, None)
    }

    fn serve_with<S>(&self, far: S, client_key: Option<Pin>, exporter: Option<[u8; 32]>) -> Served
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (door, drain) = (self.door.clone(), self.drain.clone());
        let deadline = Instant::now() + LOGIN_DEADLINE;
        let connection = door.service.connect(([127, 0, 0, 1], 1).into(), "sealane");
        let (keys, signer) = (None, None);
        let terms = sealane::Terms { deadline, drain, keys, client_key, signer, exporter };
        tokio::spawn(async move { sealane::serve(far, &door, &connection, terms).await })
    }

    /// A peer that has said nothing yet, which may take so long to log in.
    pub fn peer_within(&self, login: Duration) -> Peer {
        let (near, far) = duplex(PIPE);
        let (door, drain) = (self.door.clone(), self.drain.clone());
        let connection = door.service.connect(([127, 0, 0, 1], 1).into(), "sealane");
        let deadline = Instant::now() + login;
        let (keys, client_key, signer, exporter) = (None, None, None, None);
        let terms = sealane::Terms { deadline, drain, keys, client_key, signer, exporter };
        let served =
            tokio::spawn(async move { sealane::serve(far, &door, &connection, terms).await });
        Peer::new(near, Side::Server, Some(served))
    }

    /// A peer that has said nothing yet.
    pub fn peer(&self) -> Peer {
        self.peer_over(PIPE)
    }

    /// As [`Pair::peer`], with little or much room on the way.
    pub fn peer_over(&self, pipe: usize) -> Peer {
        let (stream, served) = self.connect(pipe);
        Peer::new(stream, Side::Server, Some(served))
    }

    /// A peer that has proved `key` and asked to log in with it; its next request has id 3.
    pub async fn with_key(&self, user: &str, key: Option<Pin>) -> (Peer, ServerMessage) {
        let (stream, served) = self.connect_showing(PIPE, key);
        let mut peer = Peer::new(stream, Side::Server, Some(served));
        peer.send(&hello(1)).await;
        let login = Login { user: user.to_owned(), password: None };
        peer.send(&ClientMessage::Login(login).encode(2)).await;
        assert!(matches!(peer.answer_to(1).await, ServerMessage::Welcome(_)));
        let answer = peer.answer_to(2).await;
        (peer, answer)
    }

    /// A peer that has logged in; its next request has id 3.
    pub async fn logged_in(&self) -> Peer {
        self.logged_in_over(PIPE).await
    }

    pub async fn logged_in_over(&self, pipe: usize) -> Peer {
        let _still = still();
        let mut peer = self.peer_over(pipe);
        peer.send(&hello(1)).await;
        peer.send(&login(2, PASSWORD)).await;
        assert!(matches!(peer.answer_to(1).await, ServerMessage::Welcome(_)));
        assert!(matches!(peer.answer_to(2).await, ServerMessage::LoggedIn(_)));
        peer
    }

    /// The real client, logged in.
    pub async fn client(&self) -> (Client, Served) {
        let _still = still();
        let (stream, served) = self.connect(PIPE);
        (log_in(stream).await.unwrap(), served)
    }
}

/// The real client over `stream`, which does not retry, as [`USER`].
pub async fn log_in<S>(stream: S) -> Result<Client, SessionError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    Ok(Client::new(session(stream).await?, None))
}

/// A small file that holds `bytes`, to be uploaded whole.
pub fn whole(bytes: Vec<u8>) -> impl Fn() -> Ready<Result<WholeFile, SessionError>> {
    move || {
        let (digest, bytes) = (Digest::of_bytes(&bytes), bytes.clone());
        ready(Ok(WholeFile { digest, meta: FileMeta::default(), bytes }))
    }
}

/// As [`log_in`], the session alone.
pub async fn session<S>(stream: S) -> Result<Session, SessionError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let password = Secret::new(PASSWORD.to_owned());
    Session::log_in(stream, SessionSettings::default(), USER, Some(&password)).await
}

/// The real client, and a server that says whatever a test lets it say.
pub async fn lying_server() -> (Client, Peer) {
    let (session, server) = lying_session().await;
    (Client::new(session, None), server)
}

/// As [`lying_server`], for a client that is made of the session.
pub async fn lying_session() -> (Session, Peer) {
    let (near, far) = duplex(PIPE);
    let mut server = Peer::new(far, Side::Client, None);
    let (session, ()) = tokio::join!(session(near), server.let_in());
    (session.unwrap(), server)
}
