//! Who is asking: the credential of a request, and the login that its connection holds for it.
//!
//! A connection logs in with the first credential it brings and keeps that login, so a password is
//! not hashed again for each request. The login counts as a session, and ends with the connection.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{AUTHORIZATION, HeaderMap};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::activity::Activity;
use super::problem::Problem;
use super::setup::Https;
use sealane_base::types::Secret;
use sealane_core::accounts::pin_of_token;
use sealane_core::service::{Connection, Credential, Login, Service};

/// Files on the move over one connection, so that one account cannot take the turns of all.
const TRANSFERS: usize = 8;

/// One connection, and who it is.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) door: Arc<Https>,
    service: Service,
    connection: Arc<Connection>,
    pub(super) activity: Arc<Activity>,
    /// Cancelled when the connection ends; its work goes with it.
    pub(super) stop: CancellationToken,
    /// One permit for each file on the move over this connection.
    transfers: Arc<Semaphore>,
    login: Mutex<Option<(blake3::Hash, Arc<Login>)>>,
}

impl Session {
    pub(super) fn new(
        door: Arc<Https>,
        service: Service,
        connection: Arc<Connection>,
        activity: Arc<Activity>,
        stop: CancellationToken,
    ) -> Arc<Self> {
        let (transfers, login) = (Arc::new(Semaphore::new(TRANSFERS)), Mutex::default());
        Arc::new(Self { door, service, connection, activity, stop, transfers, login })
    }

    /// Waits until one more file may be on the move: over this connection, and of all.
    pub(super) async fn transfer_turn(&self) -> Option<[OwnedSemaphorePermit; 2]> {
        let own = Arc::clone(&self.transfers).acquire_owned().await.ok()?;
        let of_all = Arc::clone(&self.door.transfers).acquire_owned().await.ok()?;
        Some([own, of_all])
    }

    /// The login that the credential in `headers` opens.
    pub(super) async fn log_in(&self, headers: &HeaderMap) -> Result<Arc<Login>, Problem> {
        let given = Given::read(headers)?;
        let mark = given.mark(&self.door.secret);
        // Held while a password is checked: requests with the same one wait for it, and none is
        // checked twice.
        let mut login = self.login.lock().await;
        if let Some((known, login)) = &*login
            && *known == mark
        {
            return Ok(Arc::clone(login));
        }
        // A request that still runs keeps its login.
        if login.as_ref().is_some_and(|(_, before)| Arc::strong_count(before) > 1) {
            return Err(Problem::new(
                hyper::StatusCode::MISDIRECTED_REQUEST,
                "other-login",
                "this connection is busy for another login; use one of its own",
            ));
        }
        // Before the next one: a connection is one session.
        *login = None;
        let Given { user, password } = given;
        let credential = match pin_of_token(password.expose()) {
            Some(_) => Credential::Token(password),
            None => Credential::Password(password),
        };
        let opened = self.service.log_in(&self.connection, &user, credential, None).await?;
        tracing::Span::current().record("user", tracing::field::display(opened.principal().name()));
        let opened = Arc::new(opened);
        *login = Some((mark, Arc::clone(&opened)));
        self.activity.logged_in();
        Ok(opened)
    }
}

/// A name and a password or token, as a request brings them.
struct Given {
    user: String,
    password: Secret,
}

impl Given {
    fn read(headers: &HeaderMap) -> Result<Self, Problem> {
        let header = headers.get(AUTHORIZATION);
        let header = header.ok_or_else(|| Problem::unauthorized("name and password, please"))?;
        let unclear = || Problem::unauthorized("the credential cannot be read");
        let text = header.to_str().map_err(|_| unclear())?;
        let (scheme, encoded) = text.split_once(' ').ok_or_else(unclear)?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return Err(Problem::unauthorized("only Basic is known here"));
        }
        let decoded = STANDARD.decode(encoded.trim()).map_err(|_| unclear())?;
        let decoded = String::from_utf8(decoded).map(zeroize::Zeroizing::new);
        let decoded = decoded.map_err(|_| unclear())?;
        let (user, password) = decoded.split_once(':').ok_or_else(unclear)?;
        // Windows names a domain before the account.
        let user = user.rsplit('\\').next().unwrap_or(user).to_owned();
        Ok(Self { user, password: Secret::new(password.to_owned()) })
    }

    /// The same for the same credential, and worth nothing to anybody else.
    fn mark(&self, secret: &[u8; 32]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(secret);
        hasher.update(&(self.user.len() as u64).to_le_bytes());
        hasher.update(self.user.as_bytes());
        hasher.update(self.password.expose().as_bytes());
        hasher.finalize()
    }
}
