//! From a name and a password to a [`Principal`], at the same price for every failure.
//!
//! Each refused login costs the work of exactly one argon2 evaluation of the configured cost and says
//! the same thing; the reason is for the log alone. Delays and lockouts per source are not decided here.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use time::{Date, OffsetDateTime};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::types::{Secret, Username};

use super::hasher::{HashError, Hasher};
use super::home::{HomeError, HomeMap};
use super::password::{HashCost, StoredPassword, TypedPasswordError, check_typed};
use super::pool::Pool;
use super::principal::{Principal, Upgrade};
use super::record::{Record, RecordProblem};
use super::samples::is_sample;
use super::store::{AccountError, AccountStore};

/// How logins are checked.
#[derive(Clone, Debug)]
pub struct LoginSettings {
    /// Cost of new hashes, and of refusing where there is no hash.
    pub cost: HashCost,
    /// Logins evaluated at once, at least 1. The memory this takes is `workers` × `cost.memory_kib`,
    /// or up to 256 MiB each for records that carry a higher cost than ours.
    pub workers: usize,
    /// Logins that may wait for a worker, beyond those being evaluated.
    pub queue: usize,
    /// Longest wait for a worker.
    pub queue_deadline: Duration,
    /// How legacy homes become directories.
    pub homes: HomeMap,
    /// The last day, in UTC, on which an account that is not native argon2id yet may log in.
    pub legacy_deadline: Option<Date>,
    /// Tells the time, for the deadline and for the day of the last login that a record notes.
    pub clock: fn() -> OffsetDateTime,
}

impl Default for LoginSettings {
    /// 4 workers of the default cost (76 MiB), 64 waiting for 3 seconds at most, no home rules.
    fn default() -> Self {
        Self {
            cost: HashCost::default(),
            workers: 4,
            queue: 64,
            queue_deadline: Duration::from_secs(3),
            homes: HomeMap::default(),
            legacy_deadline: None,
            clock: OffsetDateTime::now_utc,
        }
    }
}

/// From where a server can be reached, as far as sample accounts are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposure {
    /// From this machine only.
    Loopback,
    /// From anywhere else.
    Network,
}

/// A login that failed. Its text is what a peer may hear.
#[derive(Debug, Error)]
pub enum LoginError {
    /// Too many logins at once; nothing was evaluated.
    #[error("too many logins at once")]
    Busy,
    /// The password is right, but is stored in an old form after [`LoginSettings::legacy_deadline`]:
    /// an administrator must set a new one.
    #[error("the password must be reset by the administrator")]
    ResetRequired,
    /// Refused. The reason goes to the log, never to the peer.
    #[error("login refused")]
    Refused(RefusalReason),
}

/// Why a login was refused, for the log.
#[derive(Debug, Error)]
pub enum RefusalReason {
    /// The account is switched off.
    #[error("the account is disabled")]
    Disabled,
    /// The check could not be made, for want of memory or because the server is stopping.
    #[error("the password could not be checked: {0}")]
    Internal(String),
    /// The record is there, and something it must say is wrong or missing.
    #[error("the account is disabled: {0}")]
    Malformed(#[from] RecordProblem),
    /// The home cannot be mapped.
    #[error("the account is disabled: {0}")]
    NoHome(#[from] HomeError),
    /// The password is right and stored in an old form after the deadline. The only reason that a
    /// peer is told, because only the owner can come as far.
    #[error("its password is stored in an old form and the deadline has passed")]
    ResetRequired,
    /// A published password, from outside this machine.
    #[error("a sample account with its published password may log in from this machine only")]
    SampleAccount,
    /// The typed password is empty or too long.
    #[error(transparent)]
    TypedPassword(#[from] TypedPasswordError),
    /// No such account, or a text that cannot be the name of one.
    #[error("there is no such account")]
    UnknownUser,
    /// The record cannot be read.
    #[error("the account is disabled: {0}")]
    Unreadable(#[from] AccountError),
    /// The password is another.
    #[error("wrong password")]
    WrongPassword,
}

/// Checks logins against a store. Cloning shares everything.
#[derive(Clone, Debug)]
pub struct Authenticator {
    checker: Arc<Checker>,
    /// Places for logins, evaluated or waiting.
    places: Arc<Semaphore>,
    workers: Arc<Semaphore>,
    pool: Pool,
    queue_deadline: Duration,
}

#[derive(Debug)]
struct Checker {
    store: Arc<dyn AccountStore>,
    hasher: Hasher,
    homes: HomeMap,
    legacy_deadline: Option<Date>,
    clock: fn() -> OffsetDateTime,
}

/// What a correct password opens, before its stored form is looked after.
struct Checked {
    record: Record,
    stored: StoredPassword,
    principal: Principal,
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
            hasher: Hasher::new(settings.cost)?,
            homes: settings.homes,
            legacy_deadline: settings.legacy_deadline,
            clock: settings.clock,
        });
        let warm = Arc::clone(&checker);
        let pool =
            Pool::start(workers, move || warm.hasher.warm_up()).map_err(HashError::Thread)?;
        Ok(Self {
            checker,
            pool,
            places: Arc::new(Semaphore::new(places)),
            workers: Arc::new(Semaphore::new(workers)),
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

    /// Checks a login. On success the stored password is brought up to date if it can be; that
    /// never fails the login (see [`Principal::upgrade`]).
    ///
    /// Cancel safety: dropping the future while it waits gives its place back. Once the check has
    /// begun it runs to its end, keeping its worker, and its outcome is lost; a record is
    /// then upgraded or not, never half.
    ///
    /// # Errors
    /// [`LoginError::Refused`] after exactly one argon2 evaluation, [`LoginError::Busy`] after none.
    pub async fn login(
        &self,
        username: &str,
        password: Secret,
        exposure: Exposure,
    ) -> Result<Principal, LoginError> {
        let _place = self.places.try_acquire().map_err(|_| LoginError::Busy)?;
        let worker = timeout(self.queue_deadline, Arc::clone(&self.workers).acquire_owned())
            .await
            .ok()
            .and_then(Result::ok)
            .ok_or(LoginError::Busy)?;
        let checker = Arc::clone(&self.checker);
        let username = username.to_owned();
        let outcome = self
            .pool
            .run(move || {
                // The permit lives in here: a caller who goes away does not free a thread in use.
                let _worker = worker;
                checker.login(&username, &password, exposure)
            })
            .await;
        match outcome {
            Some(Ok(principal)) => Ok(principal),
            Some(Err(RefusalReason::ResetRequired)) => Err(LoginError::ResetRequired),
            Some(Err(reason)) => Err(LoginError::Refused(reason)),
            None => Err(LoginError::Refused(RefusalReason::Internal("the check panicked".into()))),
        }
    }
}

impl Checker {
    fn login(
        &self,
        username: &str,
        password: &Secret,
        exposure: Exposure,
    ) -> Result<Principal, RefusalReason> {
        let mut evaluated = None;
        match self.check(username, password.expose(), exposure, &mut evaluated) {
            Ok(checked) => Ok(self.with_upgrade(checked, password.expose())),
            Err(reason) => {
                // Here, and only here, every failure is brought to the same price.
                match evaluated {
                    None => self.hasher.spend(),
                    Some(cost) => self.hasher.top_up(cost),
                }
                Err(reason)
            }
        }
    }

    fn check(
        &self,
        username: &str,
        password: &str,
        exposure: Exposure,
        evaluated: &mut Option<HashCost>,
    ) -> Result<Checked, RefusalReason> {
        check_typed(password)?;
        let name = Username::parse(username).map_err(|_| RefusalReason::UnknownUser)?;
        let record = self.store.load(&name)?.ok_or(RefusalReason::UnknownUser)?;
        if record.is_disabled()? {
            return Err(RefusalReason::Disabled);
        }
        let stored = record.password()?;
        let quota = record.quota()?;
        let home = self.homes.resolve(record.home_path()?)?;
        *evaluated = stored.cost();
        match self.hasher.verify(&stored, password) {
            Ok(true) => {}
            Ok(false) => return Err(RefusalReason::WrongPassword),
            Err(error) => return Err(RefusalReason::Internal(error.to_string())),
        }
        if exposure == Exposure::Network && is_sample(username, password) {
            return Err(RefusalReason::SampleAccount);
        }
        let is_old = matches!(stored, StoredPassword::Md5(_) | StoredPassword::Wrapped(_));
        if is_old && self.legacy_deadline.is_some_and(|last| (self.clock)().date() > last) {
            return Err(RefusalReason::ResetRequired);
        }
        let principal = Principal::new(name, home, quota);
        Ok(Checked { record, stored, principal })
    }

    /// Notes the day, once a day, for whoever follows the accounts that nobody uses. Best effort: a
    /// record that cannot be written now is written another day.
    fn note_day(&self, record: &Record) {
        let day = (self.clock)().date().to_string();
        let is_noted = |record: &Record| record.last_login() == Some(day.as_str());
        // Read again: of many logins at once, one writes.
        let is_due = !is_noted(record)
            && matches!(self.store.load(record.name()), Ok(Some(now)) if !is_noted(&now));
        if is_due {
            let _ = self.store.update(record.name(), &mut |record| record.set_last_login(&day));
        }
    }

    fn with_upgrade(&self, checked: Checked, password: &str) -> Principal {
        let Checked { record, stored, principal } = checked;
        let principal = self.upgraded(&record, &stored, principal, password);
        self.note_day(&record);
        principal
    }

    fn upgraded(
        &self,
        record: &Record,
        stored: &StoredPassword,
        principal: Principal,
        password: &str,
    ) -> Principal {
        if !stored.wants_upgrade(self.hasher.cost()) {
            return principal;
        }
        let upgrade = match self.upgrade(record, password) {
            Ok(true) => Upgrade::Done,
            Ok(false) => Upgrade::Superseded,
            Err(text) => Upgrade::Failed(text),
        };
        principal.with_upgrade(upgrade)
    }

    /// Swaps the stored password for a native hash, unless it is no longer the one just verified:
    /// otherwise a login with the old password would undo a reset.
    fn upgrade(&self, record: &Record, password: &str) -> Result<bool, String> {
        let new = self.hasher.hash(password).map_err(|error| error.to_string())?;
        let verified = record.password_text().map_err(|problem| problem.to_string())?;
        self.store
            .compare_and_swap_password(record.name(), verified, &new)
            .map_err(|error| error.to_string())
    }
}
