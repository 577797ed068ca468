//! From an address to a session: which keys, which account, which key or password.
//!
//! A server that has proved no trusted key is sent nothing but a handshake.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::{Instant, sleep};

use crate::announced;
use crate::client::{Client, Reconnect};
use crate::dial::{self, ConnectError, Secured, Target};
use crate::pace::RateLimit;
use crate::pool;
use crate::prompts::{Event, Prompts};
use crate::retry::{Retry, may_pass, may_pass_at_first};
use crate::session::{OnLogin, Session, SessionError, SessionSettings};
use crate::trust::{Trust, Trusted};
use sealane_base::types::{Address, Pin, Secret};
use sealane_protocol::Status;
use sealane_protocol::message::Keys;
use sealane_tls::Identity;
use sealane_tls::trust::Store;

/// How servers are reached, trusted and logged in to. One serves any number of connections.
#[derive(Clone)]
pub struct Connector {
    /// Which keys a server may have.
    pub trust: Trust,
    /// The key to log in with; a password follows if it is not accepted and there is one.
    pub key: Option<Identity>,
    /// How long a lost connection is retried, and a server that has no room yet.
    pub retry: Retry,
    /// A session that was lost is not replaced: what was handed out already cannot be taken back.
    pub once: bool,
    /// No faster than this, over all connections together.
    pub limit: Option<RateLimit>,
    /// Never more than one connection a session: what comes over one comes in order, as a stream
    /// needs it.
    pub single: bool,
    /// Answers what only the program knows.
    pub prompts: Arc<dyn Prompts>,
}

impl fmt::Debug for Connector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Connector").field("trust", &self.trust).finish_non_exhaustive()
    }
}

/// What a session was opened with, and is opened with again: a key, a password, or both to enrol
/// the key.
#[derive(Clone, Default)]
struct Credential {
    key: Option<Identity>,
    password: Option<Secret>,
}

impl From<&Identity> for Credential {
    fn from(key: &Identity) -> Self {
        Self { key: Some(key.clone()), password: None }
    }
}

/// A server that will be connected to, an account there, and why the server is trusted.
struct Route {
    target: Target,
    trusted: Trusted,
}

impl Connector {
    /// Logs in with passwords from `prompts`, retries lost connections for 5 minutes, and trusts
    /// the servers in `store` and the pins of addresses.
    #[must_use]
    pub fn new(store: Store, prompts: Arc<dyn Prompts>) -> Self {
        let trust = Trust { store, pins: Vec::new(), accept_new: false };
        let (retry, limit) = (Retry::default(), None);
        Self { trust, key: None, retry, once: false, limit, single: false, prompts }
    }

    /// Begins a session with the server of `address`: with the key if there is one, else with a
    /// password.
    ///
    /// The client may be asked at once: requests leave together with the login, and if that fails
    /// they fail with its error. It logs in again whenever the connection is lost, with the same
    /// keys accepted and the same key or password. The first connection is retried as well if the
    /// server answered and had no room; where nothing answers, that is told at once, because the
    /// address is likely to be wrong.
    ///
    /// Cancel safety: dropping the future closes the connection.
    ///
    /// # Errors
    /// [`ConnectError`]; that of the login is waited for only where a password may follow a key.
    pub async fn connect(&self, address: &Address) -> Result<Client, ConnectError> {
        let route = Arc::new(self.route(address).await?);
        if let Some(key) = &self.key {
            let client = self.begin(&route, key.into()).await?;
            if !self.prompts.has_password() {
                return Ok(client);
            }
            // What was asked already would have to be asked once more, with the password.
            let Err(error) = client.logged_in().await else { return Ok(client) };
            match client.failure().filter(|failure| is_about_key(failure)) {
                Some(refused) => {
                    self.prompts.event(&route.trusted.server(), Event::KeyRefused(refused));
                }
                None => return Err(ConnectError::of_login(error)),
            }
        }
        let password = self.password(&route)?;
        self.begin(&route, Credential { key: None, password: Some(password) }).await
    }

    /// Logs in with the password over a connection that proves the key, too, which
    /// [`Client::enroll`] needs.
    ///
    /// Cancel safety: as for [`Connector::connect`].
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect_to_enroll(
        &self,
        address: &Address,
        key: &Identity,
    ) -> Result<Client, ConnectError> {
        let route = Arc::new(self.route(address).await?);
        let password = self.password(&route)?;
        let credential = Credential { key: Some(key.clone()), password: Some(password) };
        let client = self.begin(&route, credential).await?;
        client.logged_in().await.map_err(ConnectError::of_login)?;
        Ok(client)
    }

    /// Whether `key` alone logs in at the server of `address`.
    ///
    /// Cancel safety: as for [`Connector::connect`].
    pub async fn accepts(&self, address: &Address, key: &Identity) -> bool {
        let Ok(route) = self.route(address).await else { return false };
        match self.begin(&Arc::new(route), key.into()).await {
            Ok(client) => client.logged_in().await.is_ok(),
            Err(_) => false,
        }
    }

    async fn route(&self, address: &Address) -> Result<Route, ConnectError> {
        let user = address.user.clone().ok_or(ConnectError::NoUser)?;
        let trusted = self.trust.decide(address, &self.prompts).await?;
        Ok(Route { target: Target::new(address, user, trusted.pins.clone()), trusted })
    }

    fn password(&self, route: &Route) -> Result<Secret, ConnectError> {
        let password = self.prompts.password(&route.target.user, &route.trusted.server());
        password.map_err(ConnectError::Prompt)
    }

    async fn begin(
        &self,
        route: &Arc<Route>,
        credential: Credential,
    ) -> Result<Client, ConnectError> {
        let Route { target, trusted } = route.as_ref();
        let secured = self.secure_first(route, &credential).await?;
        let (proved, server, prompts) = (secured.pin, trusted.server(), self.prompts.clone());
        prompts.event(&server, Event::Secured(&secured.congestion));
        trusted.proved(proved, prompts.as_ref())?;
        let first =
            FirstLogin { route: route.clone(), prompts: prompts.clone(), is_over: Arc::default() };
        let (limit, single, hook) = (self.limit.clone(), self.single, first.hook(&secured));
        let session = open(secured, &credential, limit.clone(), single, Some(hook)).await;
        let again = target.clone();
        let dial = move || -> crate::client::Dial {
            let (target, credential, limit) = (again.clone(), credential.clone(), limit.clone());
            let first = first.clone();
            Box::pin(async move {
                let hook = |secured: &Secured| Some(first.hook(secured));
                log_in(&target, &credential, limit, single, hook).await
            })
        };
        let reconnect = Reconnect {
            dial: Box::new(dial),
            retry: self.retry,
            once: self.once,
            jitter: Box::new(chance),
            events: Box::new(move |event| prompts.event(&server, event)),
        };
        Ok(Client::connected(session, reconnect, target.clone(), proved))
    }

    /// The first connection. A server that closes it before it has proved its key may be full, and
    /// is tried again.
    async fn secure_first(
        &self,
        route: &Route,
        credential: &Credential,
    ) -> Result<Secured, ConnectError> {
        let (since, server) = (Instant::now(), route.trusted.server());
        let mut attempt = 0;
        loop {
            let secured = dial::secure(&route.target, credential.key.as_ref(), self.limit.clone());
            let error = match secured.await {
                Ok(secured) => return Ok(secured),
                Err(error) => error,
            };
            let delay = self.retry.delay(attempt, chance());
            let passes = match attempt {
                0 => may_pass_at_first(&error),
                _ => may_pass(&error, true),
            };
            if !passes || since.elapsed() + delay > self.retry.deadline {
                return Err(error);
            }
            let event = if attempt == 0 { Event::Waiting } else { Event::RetryFailed };
            self.prompts.event(&server, event(&error));
            attempt += 1;
            sleep(delay).await;
        }
    }
}

fn chance() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX)
}

/// What is done once, at the first login that succeeds.
#[derive(Clone)]
struct FirstLogin {
    route: Arc<Route>,
    prompts: Arc<dyn Prompts>,
    is_over: Arc<AtomicBool>,
}

impl FirstLogin {
    /// Learns the keys that the server announces with the login, and tells that this has succeeded.
    fn hook(&self, secured: &Secured) -> OnLogin {
        let Self { route, prompts, is_over } = self.clone();
        let (exporter, proved): (_, Pin) = (secured.exporter, secured.pin);
        let received = move |keys: Option<Keys>| {
            if is_over.swap(true, Ordering::Relaxed) {
                return;
            }
            if let Some(keys) = keys {
                let announced = announced::verify(&keys, &exporter);
                route.trusted.learn(&proved, &announced, prompts.as_ref());
            }
            prompts.event(&route.trusted.server(), Event::LoggedIn);
        };
        Box::new(move |keys| {
            Box::pin(async move {
                let _ = tokio::task::spawn_blocking(move || received(keys)).await;
            })
        })
    }
}

/// The server does not accept the key; a password may do.
fn is_about_key(error: &ConnectError) -> bool {
    match error {
        ConnectError::Session(SessionError::Refused(refused)) => {
            matches!(refused.status(), Status::KeyRefused | Status::TooManyFailures)
        }
        ConnectError::Tls(alert) => alert.about_certificate().is_some(),
        _ => false,
    }
}

/// Begins a session over `secured`, with further connections as it needs them.
async fn open(
    secured: Secured,
    credential: &Credential,
    limit: Option<RateLimit>,
    single: bool,
    on_login: Option<OnLogin>,
) -> Session {
    let Secured { stream, target, join, round_trip, .. } = secured;
    let (settings, user) = (SessionSettings::default(), target.user.clone());
    let password = credential.password.as_ref();
    let mut session = Session::begin(stream, settings, user.as_str(), password, on_login).await;
    if !single {
        let pool = pool::Settings { target, session: join, round_trip, limit };
        session.accompany(|joiner, stop| tokio::spawn(pool::run(joiner, pool, stop)));
    }
    session
}

async fn log_in(
    target: &Target,
    credential: &Credential,
    limit: Option<RateLimit>,
    single: bool,
    hook: impl Fn(&Secured) -> Option<OnLogin>,
) -> Result<Session, ConnectError> {
    let secured = dial::secure(target, credential.key.as_ref(), limit.clone()).await?;
    let hook = hook(&secured);
    let session = open(secured, credential, limit, single, hook).await;
    session.logged_in().await.map_err(ConnectError::of_login)?;
    Ok(session)
}

/// Connects to `target`, checks the server's key and logs in, with `password` or else with `key`.
/// The client does not retry.
///
/// Cancel safety: dropping the future closes the connection.
///
/// # Errors
/// [`ConnectError`], by what the caller can do about it.
pub async fn connect(
    target: &Target,
    password: Option<&Secret>,
    key: Option<&Identity>,
) -> Result<Client, ConnectError> {
    let credential = Credential { key: key.cloned(), password: password.cloned() };
    let session = log_in(target, &credential, None, false, |_| None).await?;
    Ok(Client::new(session, None))
}
