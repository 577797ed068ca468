//! A session that can be had again: the one place where a connection that failed is sought anew.
//!
//! Whoever asks through a [`Link`] does not see that the network went away, the address changed or
//! the server was started anew: the question is asked again on the next session, and files go on from
//! what the other end holds. What the server refuses, a key that is not trusted, and bytes that are
//! not what they should be are handed up at once.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use super::ConnectError;
use super::retry::{Retry, is_passing, may_pass};
use crate::session::{Client, SessionError};
use sealane_protocol::Status;

/// How often one question may lose to what the server still does for the session before.
const GHOSTS: u32 = 4;

/// A new session on its way.
pub type Dialling = Pin<Box<dyn Future<Output = Result<Client, ConnectError>> + Send>>;

/// What happens to a link, for whoever tells people.
#[derive(Debug)]
pub enum LinkEvent<'a> {
    /// The session failed; another one is sought.
    Lost(&'a SessionError),
    /// An attempt was in vain; there will be another.
    InVain(&'a ConnectError),
    /// There is a session again, after this time without one.
    Back(Duration),
}

/// How a link gets its sessions.
pub struct Ways {
    /// Connects and logs in.
    pub dial: Box<dyn Fn() -> Dialling + Send + Sync>,
    /// How patiently.
    pub retry: Retry,
    /// Any numbers, to spread the attempts of many clients.
    pub chance: Box<dyn Fn() -> u32 + Send + Sync>,
    /// Is told what happens.
    pub told: Box<dyn Fn(LinkEvent<'_>) + Send + Sync>,
}

impl fmt::Debug for Ways {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Ways").field("retry", &self.retry).finish_non_exhaustive()
    }
}

/// A session, and another one when it fails. Its clock is that of tokio.
pub struct Link {
    session: RwLock<(u64, Arc<Client>)>,
    ways: Ways,
    /// Held by whoever seeks the next session; the others wait for it.
    seeking: Mutex<()>,
    /// Attempts, and milliseconds without a session, since something was last done.
    attempts: AtomicU32,
    down: AtomicU64,
    /// Set once the link has failed for good.
    over: OnceLock<ConnectError>,
}

impl fmt::Debug for Link {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Link").field("over", &self.over).finish_non_exhaustive()
    }
}

impl Link {
    /// A link that begins with `client`.
    #[must_use]
    pub fn new(client: Client, ways: Ways) -> Arc<Self> {
        Arc::new(Self {
            session: RwLock::new((0, Arc::new(client))),
            ways,
            seeking: Mutex::default(),
            attempts: AtomicU32::new(0),
            down: AtomicU64::new(0),
            over: OnceLock::new(),
        })
    }

    /// A link that is over when `client` is.
    #[must_use]
    pub fn once(client: Client) -> Arc<Self> {
        let retry = Retry { patience: Duration::ZERO, ..Retry::default() };
        let dial =
            || -> Dialling { Box::pin(async { Err(ConnectError::Timeout(Duration::ZERO)) }) };
        let (dial, chance, told) =
            (Box::new(dial), Box::new(|| 0), Box::new(|_: LinkEvent<'_>| {}));
        Self::new(client, Ways { dial, retry, chance, told })
    }

    /// Why the link failed for good, if it has: nothing more can succeed then.
    #[must_use]
    pub fn over(&self) -> Option<&ConnectError> {
        self.over.get()
    }

    /// Asks `ask`, of one session after another until it is answered. It is told whether it was asked before:
    /// then it may have been done already. Dropping the future forgets the question.
    ///
    /// # Errors
    /// The answer's [`SessionError`]; [`SessionError::Connection`] or a refusal with `ShuttingDown` when the
    /// link is over.
    pub async fn run<T, Asking>(
        &self,
        ask: impl Fn(Arc<Client>, bool) -> Asking,
    ) -> Result<T, SessionError>
    where
        Asking: Future<Output = Result<T, SessionError>>,
    {
        let (mut again, mut ghosts) = (false, 0);
        loop {
            let (number, client) = self.session();
            match ask(client, again).await {
                Err(error) if is_passing(&error) => self.seek(number, error).await?,
                Err(error) if again && ghosts < GHOSTS && is_by_ghost(&error) => ghosts += 1,
                answer => {
                    self.gets_on();
                    return answer;
                }
            }
            again = true;
        }
    }

    pub(super) fn session(&self) -> (u64, Arc<Client>) {
        let session = self.session.read().unwrap_or_else(PoisonError::into_inner);
        (session.0, Arc::clone(&session.1))
    }

    /// Something was done: trouble is counted anew.
    pub(super) fn gets_on(&self) {
        if self.attempts.load(Ordering::Relaxed) > 0 {
            self.attempts.store(0, Ordering::Relaxed);
            self.down.store(0, Ordering::Relaxed);
        }
    }

    /// Waits until there is another session than `number`, which failed with `lost`.
    async fn seek(&self, number: u64, lost: SessionError) -> Result<(), SessionError> {
        let _seeking = self.seeking.lock().await;
        if self.session().0 != number {
            return Ok(());
        }
        if self.over.get().is_some() {
            return Err(lost);
        }
        let patience = self.ways.retry.patience;
        if !patience.is_zero() {
            (self.ways.told)(LinkEvent::Lost(&lost));
        }
        let (since, before) = (Instant::now(), self.down.load(Ordering::Relaxed));
        let before = Duration::from_millis(before);
        let mut last = ConnectError::Session(same(&lost));
        loop {
            let attempt = self.attempts.fetch_add(1, Ordering::Relaxed);
            let delay = self.ways.retry.delay(attempt, (self.ways.chance)());
            if before + since.elapsed() + delay > patience || patience.is_zero() {
                break;
            }
            sleep(delay).await;
            match (self.ways.dial)().await {
                Ok(client) => {
                    let after = since.elapsed();
                    let down = u64::try_from((before + after).as_millis()).unwrap_or(u64::MAX);
                    self.down.store(down, Ordering::Relaxed);
                    let mut session = self.session.write().unwrap_or_else(PoisonError::into_inner);
                    *session = (number + 1, Arc::new(client));
                    drop(session);
                    (self.ways.told)(LinkEvent::Back(after));
                    return Ok(());
                }
                Err(error) => last = error,
            }
            if !may_pass(&last) {
                break;
            }
            (self.ways.told)(LinkEvent::InVain(&last));
        }
        let _ = self.over.set(last);
        Err(lost)
    }

    /// Says goodbye if nobody else has the link.
    pub async fn close(self: Arc<Self>) {
        let client = Arc::into_inner(self).map(|link| link.session.into_inner());
        let client = client.map(|session| session.unwrap_or_else(PoisonError::into_inner).1);
        if let Some(client) = client.and_then(Arc::into_inner) {
            client.close().await;
        }
    }
}

/// The server still does for the dead session what this one asked for again.
fn is_by_ghost(error: &SessionError) -> bool {
    matches!(error.status(), Some(Status::Superseded | Status::InUse))
}

/// The same failure once more, as far as sessions are lost by it.
fn same(error: &SessionError) -> SessionError {
    match error {
        SessionError::Connection(why) => SessionError::Connection(Arc::clone(why)),
        SessionError::Refused(refused) => SessionError::Refused(refused.clone()),
        SessionError::Answer(kind) => SessionError::Answer(*kind),
        SessionError::Transfer(_) => sealane_protocol::transfer::TransferError::Interrupted.into(),
    }
}
