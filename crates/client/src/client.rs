//! A client that retries: the one place where a lost connection is replaced.
//!
//! Its callers do not see that the network went away, the address changed or the server was
//! restarted: a request is sent again in the next session, and a file continues from what the other
//! end holds. A refusal, a key that is not trusted, and wrong bytes are returned at once.

use std::fmt;
use std::pin::Pin as Pinned;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use crate::dial::{ConnectError, Target};
use crate::prompts::Event;
use crate::retry::{Retry, asked_to_wait, is_passing, may_pass, may_pass_at_first};
use crate::session::{Session, SessionError};
use sealane_base::types::Pin;
use sealane_protocol::Status;

/// How often one request may lose to what the server still does for the session before.
const MAX_CONFLICTS: u32 = 4;

/// A new session on its way.
pub type Dial = Pinned<Box<dyn Future<Output = Result<Session, ConnectError>> + Send>>;

/// How a client gets further sessions.
pub struct Reconnect {
    /// Connects and logs in.
    pub dial: Box<dyn Fn() -> Dial + Send + Sync>,
    /// How long and how often.
    pub retry: Retry,
    /// A session that was lost is not replaced; only the first one is waited for.
    pub once: bool,
    /// Any numbers, to spread the attempts of many clients.
    pub jitter: Box<dyn Fn() -> u32 + Send + Sync>,
    /// Is told what happens.
    pub events: Box<dyn Fn(Event<'_>) + Send + Sync>,
}

impl fmt::Debug for Reconnect {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Reconnect").field("retry", &self.retry).finish_non_exhaustive()
    }
}

/// A session, and another one when its connection is lost. Clones share it. Its clock is that of
/// tokio.
///
/// Requests may run side by side; each can be dropped at any time, which forgets it.
#[derive(Clone, Debug)]
pub struct Client(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    session: RwLock<(u64, Arc<Session>)>,
    reconnect: Option<Reconnect>,
    /// Held while the next session is opened; other requests wait for it.
    connecting: Mutex<()>,
    /// Attempts, and milliseconds without a session, since something was last done.
    attempts: AtomicU32,
    down: AtomicU64,
    /// Set once nothing can succeed any more.
    failure: OnceLock<ConnectError>,
    /// The server with every key that is accepted, and the key that it has proved.
    server: Option<(Target, Pin)>,
}

impl Client {
    /// A client that begins with `session`, and fails with it if there is no way to `reconnect`.
    #[must_use]
    pub fn new(session: Session, reconnect: Option<Reconnect>) -> Self {
        Self::over(session, reconnect, None)
    }

    pub(crate) fn connected(
        session: Session,
        reconnect: Reconnect,
        target: Target,
        proved: Pin,
    ) -> Self {
        Self::over(session, Some(reconnect), Some((target, proved)))
    }

    fn over(session: Session, reconnect: Option<Reconnect>, server: Option<(Target, Pin)>) -> Self {
        Self(Arc::new(Shared {
            session: RwLock::new((0, Arc::new(session))),
            reconnect,
            connecting: Mutex::default(),
            attempts: AtomicU32::new(0),
            down: AtomicU64::new(0),
            failure: OnceLock::new(),
            server,
        }))
    }

    /// Waits for the answer to the first login, and keeps no connection open meanwhile. A server
    /// that is busy is asked again, as after a lost connection. Cancel safe.
    ///
    /// # Errors
    /// As [`Session::logged_in`]; every request fails with the same error then.
    pub fn logged_in(&self) -> impl Future<Output = Result<(), SessionError>> + Send + use<> {
        let (number, session) = self.session();
        let (login, shared) = (session.logged_in(), Arc::downgrade(&self.0));
        async move {
            let Err(error) = login.await else { return Ok(()) };
            match shared.upgrade() {
                Some(shared) => Self(shared).log_in_again(number, error).await,
                None => Err(error),
            }
        }
    }

    /// Why nothing can succeed any more: the login failed, or the connection was lost for good.
    /// `None` as long as it is not so.
    #[must_use]
    pub fn failure(&self) -> Option<&ConnectError> {
        self.0.failure.get()
    }

    /// Closes the connection in order, unless there are clones of this client: then they keep it.
    ///
    /// Cancel safety: dropping the future closes the connection at once.
    pub async fn close(self) {
        let shared = Arc::into_inner(self.0);
        let session = shared.map(|shared| shared.session.into_inner());
        let session = session.map(|session| session.unwrap_or_else(PoisonError::into_inner).1);
        if let Some(session) = session.and_then(Arc::into_inner) {
            session.close().await;
        }
    }

    /// The server with every key that is accepted, and the key that it has proved; `None` unless a
    /// [`Connector`](crate::Connector) made the client.
    pub(crate) fn server(&self) -> Option<&(Target, Pin)> {
        self.0.server.as_ref()
    }

    /// Sends a request in one session after another until it is answered. `ask` is told whether it
    /// was sent before: then it may have been executed already.
    pub(crate) async fn run<T, Asking>(
        &self,
        ask: impl Fn(Arc<Session>, bool) -> Asking,
    ) -> Result<T, SessionError>
    where
        Asking: Future<Output = Result<T, SessionError>>,
    {
        let (mut again, mut conflicts) = (false, 0);
        loop {
            let (number, session) = self.session();
            match ask(session.clone(), again).await {
                Err(error) if session.login_failed() => self.log_in_again(number, error).await?,
                Err(error) if is_passing(&error) => self.reconnect(number, error).await?,
                Err(error) if again && conflicts < MAX_CONFLICTS && is_conflict(&error) => {
                    conflicts += 1;
                }
                answer => {
                    self.progressed();
                    return answer;
                }
            }
            again = true;
        }
    }

    /// The present session, and its number.
    pub(crate) fn session(&self) -> (u64, Arc<Session>) {
        let session = self.0.session.read().unwrap_or_else(PoisonError::into_inner);
        (session.0, Arc::clone(&session.1))
    }

    /// Something was done: trouble is counted anew.
    pub(crate) fn progressed(&self) {
        if self.0.attempts.load(Ordering::Relaxed) > 0 {
            self.0.attempts.store(0, Ordering::Relaxed);
            self.0.down.store(0, Ordering::Relaxed);
        }
    }

    fn fail(&self, error: ConnectError) {
        let _ = self.0.failure.set(error);
    }

    /// After the first login, in session `number`, failed with `error`: waits for another one if
    /// that may succeed.
    async fn log_in_again(&self, number: u64, error: SessionError) -> Result<(), SessionError> {
        let failure = ConnectError::of_login(error.again());
        if may_pass_at_first(&failure) {
            return self.reconnect(number, error).await;
        }
        self.fail(failure);
        Err(error)
    }

    /// Waits until there is another session than `number`, which failed with `lost`.
    async fn reconnect(&self, number: u64, lost: SessionError) -> Result<(), SessionError> {
        let shared = &self.0;
        let _connecting = shared.connecting.lock().await;
        if self.session().0 != number {
            return Ok(());
        }
        if shared.failure.get().is_some() {
            return Err(self.told(lost));
        }
        let is_first = self.session().1.login_failed();
        let mut last = match is_first {
            true => ConnectError::of_login(lost.again()),
            false => ConnectError::Session(lost.again()),
        };
        let reconnect = shared.reconnect.as_ref();
        let reconnect = reconnect.filter(|how| is_first || !how.once);
        let Some(how) = reconnect.filter(|how| !how.retry.deadline.is_zero()) else {
            self.fail(last);
            return Err(lost);
        };
        (how.events)(if is_first { Event::Waiting(&last) } else { Event::Lost(&lost) });
        let (since, before) = (Instant::now(), shared.down.load(Ordering::Relaxed));
        let before = Duration::from_millis(before);
        loop {
            let attempt = shared.attempts.fetch_add(1, Ordering::Relaxed);
            let delay = how.retry.delay(attempt, (how.jitter)()) + asked_to_wait(&last);
            if before + since.elapsed() + delay > how.retry.deadline {
                break;
            }
            sleep(delay).await;
            match (how.dial)().await {
                Ok(session) => {
                    let after = since.elapsed();
                    let down = u64::try_from((before + after).as_millis()).unwrap_or(u64::MAX);
                    shared.down.store(down, Ordering::Relaxed);
                    let mut place = shared.session.write().unwrap_or_else(PoisonError::into_inner);
                    *place = (number + 1, Arc::new(session));
                    drop(place);
                    (how.events)(Event::Reconnected(after));
                    return Ok(());
                }
                Err(error) => last = error,
            }
            if !may_pass(&last, is_first) {
                break;
            }
            (how.events)(Event::RetryFailed(&last));
        }
        self.fail(last);
        Err(self.told(lost))
    }

    /// What a request fails with that waited for a session after `lost`: how the login ended, if
    /// there never was one.
    fn told(&self, lost: SessionError) -> SessionError {
        match self.failure() {
            Some(ConnectError::Session(error)) if self.session().1.login_failed() => error.again(),
            _ => lost,
        }
    }
}

/// The server still does for the lost session what this one asked for again.
fn is_conflict(error: &SessionError) -> bool {
    matches!(error.status(), Some(Status::Superseded | Status::InUse))
}
