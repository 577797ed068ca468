//! From a name and a password to a [`Principal`], at the same price for every failure.
//!
//! Each refused login costs the same work for the same typed password, whatever the account, and
//! says the same thing; the reason is for the log alone.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use time::{Date, OffsetDateTime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use sealane_base::types::{Secret, Username};

use super::check::{Checker, Exposure};
use super::encodings::PasswordEncoding;
use super::guessing::{Attempt, Blocks, Guard};
use super::hasher::{HashError, Hasher};
use super::home::HomeMap;
use super::password::HashCost;
use super::pool::Pool;
use super::principal::Principal;
use super::refusal::{LoginError, RefusalReason};
use super::store::{AccountError, AccountStore};
use super::survey::{Survey, survey};

/// How logins are checked.
#[derive(Clone, Debug)]
pub struct LoginSettings {
    /// Cost of new hashes, and of refusing where there is no hash.
    pub cost: HashCost,
    /// Logins evaluated at once, at least 1. The memory this takes is `workers` ×
    /// `cost.memory_kib`, or up to 256 MiB each for records that carry a higher cost than ours.
    pub workers: usize,
    /// Logins that may wait for a worker, beyond those being evaluated.
    pub queue: usize,
    /// Longest wait for a worker.
    pub queue_deadline: Duration,
    /// How legacy homes become directories.
    pub homes: HomeMap,
    /// The encodings in which the old server may have hashed passwords, in the order they are
    /// tried.
    pub legacy_encodings: Vec<PasswordEncoding>,
    /// Whoever logs in with a password may enrol a key.
    pub enroll: bool,
    /// The last day, in UTC, on which an account that is not native argon2id yet may log in.
    pub legacy_deadline: Option<Date>,
    /// Tells the time, for the deadline and for the day of the last login that a record notes.
    pub clock: fn() -> OffsetDateTime,
}

impl Default for LoginSettings {
    /// 4 workers of the default cost (76 MiB), 64 waiting for 3 seconds at most, no home rules, old
    /// passwords in UTF-8 or GBK.
    fn default() -> Self {
        Self {
            cost: HashCost::default(),
            workers: 4,
            queue: 64,
            queue_deadline: Duration::from_secs(3),
            homes: HomeMap::default(),
            legacy_encodings: vec![PasswordEncoding::Utf8, PasswordEncoding::Gbk],
            enroll: true,
            legacy_deadline: None,
            clock: OffsetDateTime::now_utc,
        }
    }
}

/// Checks logins against a store. Cloning shares everything.
#[derive(Clone, Debug)]
pub struct Authenticator {
    pub(super) checker: Arc<Checker>,
    /// Places for logins, evaluated or waiting.
    places: Arc<Semaphore>,
    workers: Arc<Semaphore>,
    /// The places and the worker that no stranger can take.
    known_places: Arc<Semaphore>,
    known_worker: Arc<Semaphore>,
    pub(super) guard: Arc<Guard>,
    /// Where the failures are kept, if they are.
    pub(super) kept: Arc<OnceLock<PathBuf>>,
    pub(super) enroll: bool,
    pool: Pool,
    queue_deadline: Duration,
}

impl Authenticator {
    /// An authenticator for `store`.
    ///
    /// # Errors
    /// [`HashError`] if the cost is out of bounds or the system has no randomness.
    pub fn new(store: Arc<dyn AccountStore>, settings: LoginSettings) -> Result<Self, HashError> {
        let workers = settings.workers.clamp(1, Semaphore::MAX_PERMITS);
        let places = workers.saturating_add(settings.queue).min(Semaphore::MAX_PERMITS);
        let checker = Arc::new(Checker {
            store,
            hasher: Hasher::new(settings.cost)?.with_encodings(settings.legacy_encodings),
            homes: settings.homes,
            legacy_deadline: Mutex::new(settings.legacy_deadline),
            clock: settings.clock,
        });
        let warm = Arc::clone(&checker);
        let pool =
            Pool::start(workers, move || warm.hasher.warm_up()).map_err(HashError::Thread)?;
        Ok(Self {
            checker,
            pool,
            places: Arc::new(Semaphore::new(places)),
            // A single worker is everybody's.
            workers: Arc::new(Semaphore::new(workers.saturating_sub(1).max(1))),
            known_places: Arc::new(Semaphore::new(places)),
            known_worker: Arc::new(Semaphore::new(usize::from(workers > 1))),
            guard: Arc::default(),
            kept: Arc::default(),
            enroll: settings.enroll,
            queue_deadline: settings.queue_deadline,
        })
    }

    /// How many times argon2 was evaluated since the start.
    #[must_use]
    pub fn evaluations(&self) -> u64 {
        self.checker.hasher.evaluations()
    }

    /// The argon2 work done since the start, in KiB of memory times passes over it.
    #[must_use]
    pub fn work(&self) -> u64 {
        self.checker.hasher.work()
    }

    /// Checks a login that no peer asked for, without counting failures. On success the stored
    /// password is brought up to date if it can be; that never fails the login (see
    /// [`Principal::upgrade`]).
    ///
    /// Cancel safety: dropping the future while it waits gives its place back. Once the check has
    /// begun it runs to its end, keeping its worker, and its outcome is lost; a record is
    /// then upgraded or not, never half.
    ///
    /// # Errors
    /// [`LoginError::Refused`] after one argon2 evaluation, or one for each form of the password if
    /// old ones may be of several encodings; [`LoginError::Busy`] after none.
    pub async fn login(
        &self,
        username: &str,
        password: Secret,
        exposure: Exposure,
    ) -> Result<Principal, LoginError> {
        self.run(username, password, exposure, None).await
    }

    /// As [`Authenticator::login`], for a peer at `source`: failures are counted, and whoever has
    /// too many must wait. Places from which the account has logged in since the start have a
    /// count, and a worker, of their own.
    ///
    /// # Errors
    /// Those of [`Authenticator::login`], and [`LoginError::TooManyFailures`] after no evaluation.
    pub async fn login_from(
        &self,
        source: IpAddr,
        username: &str,
        password: Secret,
        exposure: Exposure,
    ) -> Result<Principal, LoginError> {
        let attempt = Attempt::new(username, source);
        if let Some(wait) = self.guard.wait(&attempt, Instant::now()) {
            return Err(LoginError::TooManyFailures { wait });
        }
        self.run(username, password, exposure, Some(attempt)).await
    }

    /// Counts a failure of `source` that named no account.
    pub fn join_refused(&self, source: IpAddr) {
        self.guard.failed(&Attempt::new("", source), false, Instant::now());
    }

    /// Changes [`LoginSettings::legacy_deadline`], from the next login on.
    pub fn set_legacy_deadline(&self, last: Option<Date>) {
        self.checker.set_deadline(last);
    }

    /// Looks at every record. Blocks.
    ///
    /// # Errors
    /// [`AccountError`] if the store cannot be listed.
    pub fn survey(&self) -> Result<Survey, AccountError> {
        let checker = &self.checker;
        survey(&*checker.store, &checker.homes, checker.hasher.cost())
    }

    /// Who must wait now because of failures.
    #[must_use]
    pub fn blocks(&self) -> Blocks {
        self.guard.blocks(Instant::now())
    }

    /// Forgets the failures of an account and, if one is given, of a source.
    pub fn unblock(&self, name: &Username, source: Option<IpAddr>) {
        self.guard.unblock(name, source);
    }

    async fn run(
        &self,
        username: &str,
        password: Secret,
        exposure: Exposure,
        attempt: Option<Attempt>,
    ) -> Result<Principal, LoginError> {
        let is_known =
            attempt.as_ref().is_some_and(|attempt| self.guard.is_known(attempt, Instant::now()));
        let places = if is_known { &self.known_places } else { &self.places };
        let _place = places.try_acquire().map_err(|_| LoginError::Busy)?;
        let worker = timeout(self.queue_deadline, self.worker(is_known))
            .await
            .ok()
            .flatten()
            .ok_or(LoginError::Busy)?;
        let (checker, guard) = (Arc::clone(&self.checker), Arc::clone(&self.guard));
        let username = username.to_owned();
        let check = move || {
            // The permit lives in here: a caller who goes away does not free a thread in use.
            let _worker = worker;
            // Asked again: while this one waited, others may have failed.
            if let Some(attempt) = &attempt
                && let Err(wait) = guard.admit(attempt, Instant::now())
            {
                return Err(LoginError::TooManyFailures { wait });
            }
            let outcome = checker.login(&username, &password, exposure);
            if let Some(attempt) = &attempt {
                match &outcome {
                    Ok(_) => guard.succeeded(attempt, Instant::now()),
                    // The password was right, or nobody knows.
                    Err(RefusalReason::ResetRequired | RefusalReason::Internal(_)) => {}
                    Err(reason) if reason.is_passing() => {}
                    Err(reason) => {
                        guard.failed(attempt, reason.is_of_account(), Instant::now());
                    }
                }
            }
            match outcome {
                Ok(principal) => Ok(principal),
                Err(RefusalReason::ResetRequired) => Err(LoginError::ResetRequired),
                Err(reason) => Err(LoginError::Refused(reason)),
            }
        };
        let panicked = || RefusalReason::Internal("the check panicked".into());
        self.pool.run(check).await.unwrap_or_else(|| Err(LoginError::Refused(panicked())))
    }

    async fn worker(&self, is_known: bool) -> Option<OwnedSemaphorePermit> {
        let any = Arc::clone(&self.workers).acquire_owned();
        if !is_known {
            return any.await.ok();
        }
        let reserved = Arc::clone(&self.known_worker).acquire_owned();
        tokio::select! { worker = any => worker.ok(), worker = reserved => worker.ok() }
    }
}
