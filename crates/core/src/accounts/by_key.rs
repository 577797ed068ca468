//! Logging in with a key instead of a password, and entering one.
//!
//! That the peer owns the key was proved in its handshake; here it is held against the account that
//! the peer names. No argon2 and no place in its queue is spent. A refusal says nothing of why, and
//! takes the same time whether there is such an account or not.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use thiserror::Error;

use super::check::{Checker, Exposure, belongings, damaged};
use super::guessing::Attempt;
use super::keys::{AccountKey, KeyListError};
use super::login::Authenticator;
use super::principal::Principal;
use super::record::Record;
use super::refusal::{LoginError, RefusalReason};
use super::samples::record_is_sample;
use super::store::AccountError;
use super::token::pin_of_token;
use sealane_base::types::{Pin, Secret, Username};

/// How long a refusal takes: much longer than to find out.
const REFUSAL: Duration = Duration::from_millis(100);

/// After how long a record that could not be read is looked at once more, before sessions are ended
/// because of it.
const HALF_WRITTEN: Duration = Duration::from_millis(200);

/// Why a key was not entered. Texts but that of `Account` may be told.
#[derive(Debug, Error)]
pub enum EnrollError {
    /// The record cannot be read or written.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The key is there already, or there is no room.
    #[error(transparent)]
    Keys(#[from] KeyListError),
    /// The connection showed none.
    #[error("this connection showed no key")]
    NoKey,
    /// A key that logged in may not bring others.
    #[error("only a login with a password may enrol a key")]
    NotByPassword,
    /// The configuration says so.
    #[error("this server lets only its administrator enter keys")]
    SwitchedOff,
}

impl Authenticator {
    /// Logs `username` in with `key`, which a peer at `source` has proved.
    ///
    /// No failed password, whoever typed it, delays this; refused keys delay other new keys from
    /// the same source.
    ///
    /// # Errors
    /// [`LoginError::Refused`], [`LoginError::TooManyFailures`], both after a tenth of a second.
    pub async fn login_with_key(
        &self,
        source: IpAddr,
        username: &str,
        key: Option<Pin>,
        exposure: Exposure,
    ) -> Result<Principal, LoginError> {
        let answer_at = tokio::time::Instant::now() + REFUSAL;
        let outcome = self.check_key(source, username, (key, false), exposure).await;
        if outcome.is_err() {
            tokio::time::sleep_until(answer_at).await;
        }
        outcome
    }

    /// Logs `username` in with a token, as [`Authenticator::login_with_key`] does with a key: what
    /// nobody can guess costs no argon2, and its refusals count as those of keys.
    ///
    /// # Errors
    /// As [`Authenticator::login_with_key`].
    pub async fn login_with_token(
        &self,
        source: IpAddr,
        username: &str,
        token: &Secret,
        exposure: Exposure,
    ) -> Result<Principal, LoginError> {
        let answer_at = tokio::time::Instant::now() + REFUSAL;
        let pin = pin_of_token(token.expose());
        let outcome = self.check_key(source, username, (pin, true), exposure).await;
        if outcome.is_err() {
            tokio::time::sleep_until(answer_at).await;
        }
        outcome
    }

    async fn check_key(
        &self,
        source: IpAddr,
        username: &str,
        (key, is_token): (Option<Pin>, bool),
        exposure: Exposure,
    ) -> Result<Principal, LoginError> {
        let key = key.ok_or(LoginError::Refused(RefusalReason::NoKey))?;
        let attempt = Attempt::new(username, source);
        if let Some(wait) = self.guard.wait_with_key(&attempt, key, Instant::now()) {
            return Err(LoginError::TooManyFailures { wait });
        }
        let (checker, guard) = (self.checker.clone(), self.guard.clone());
        let username = username.to_owned();
        let check = move || {
            let outcome = checker.login_with_key(&username, (&key, is_token), source, exposure);
            match &outcome {
                Ok(_) => guard.key_succeeded(&attempt, key, Instant::now()),
                Err(reason) if reason.is_passing() => {}
                Err(_) => guard.key_refused(&attempt, key, Instant::now()),
            }
            outcome
        };
        let panicked = |_| Err(RefusalReason::Internal("the check panicked".into()));
        let outcome = tokio::task::spawn_blocking(check).await.unwrap_or_else(panicked);
        outcome.map_err(LoginError::Refused)
    }

    /// Whether what logged in from `source` still may be here. Blocks.
    ///
    /// # Errors
    /// The reason why not: the account is gone, disabled or damaged; the key is revoked, expired,
    /// or may do something else now. A record that cannot be read at this moment is none.
    pub fn recheck(&self, principal: &Principal, source: IpAddr) -> Result<(), RefusalReason> {
        self.checker.recheck(principal, source)
    }

    /// Lets `key`, which the connection of `principal` has proved, log in from now on. Blocks.
    ///
    /// # Errors
    /// [`EnrollError`]; the record is as it was then.
    pub fn enroll(
        &self,
        principal: &Principal,
        key: Option<Pin>,
        comment: String,
    ) -> Result<(), EnrollError> {
        if !self.enroll {
            return Err(EnrollError::SwitchedOff);
        }
        if principal.key().is_some() {
            return Err(EnrollError::NotByPassword);
        }
        let today = (self.checker.clock)().date();
        let key = AccountKey::new(key.ok_or(EnrollError::NoKey)?, comment, Some(today));
        let mut outcome = Ok(());
        let enter = &mut |record: &mut Record| outcome = record.add_key(&key);
        self.checker.store.update(principal.name(), enter)?;
        Ok(outcome?)
    }
}

impl Checker {
    fn login_with_key(
        &self,
        username: &str,
        key: (&Pin, bool),
        source: IpAddr,
        exposure: Exposure,
    ) -> Result<Principal, RefusalReason> {
        let name = Username::parse(username).map_err(|_| RefusalReason::UnknownUser)?;
        let record = self.store.load(&name)?.ok_or(RefusalReason::UnknownUser)?;
        let key = self.admit_key(&record, key, source)?;
        // Whoever knows the published password could have entered it.
        if exposure == Exposure::Network && record_is_sample(&record, &self.hasher) {
            return Err(RefusalReason::SampleAccount);
        }
        let (quota, home) = belongings(&*self.store, &self.homes, &record)?;
        self.note_day(&record);
        Ok(Principal::new(name, home, quota).with_key(key))
    }

    fn admit_key(
        &self,
        record: &Record,
        key: (&Pin, bool),
        source: IpAddr,
    ) -> Result<AccountKey, RefusalReason> {
        if self.is_disabled(record)? {
            return Err(RefusalReason::Disabled);
        }
        Ok(record.key_for(key, source, (self.clock)().date())?)
    }

    fn is_disabled(&self, record: &Record) -> Result<bool, RefusalReason> {
        record.is_disabled().map_err(|problem| damaged(&*self.store, record, problem))
    }

    fn recheck(&self, principal: &Principal, source: IpAddr) -> Result<(), RefusalReason> {
        let load = || self.store.load(principal.name());
        // Somebody may be writing it by hand at this very moment.
        let loaded = load().or_else(|_half_written| {
            std::thread::sleep(HALF_WRITTEN);
            load()
        });
        let record = match loaded {
            Ok(record) => record.ok_or(RefusalReason::UnknownUser)?,
            // Too many open files, say: nothing was revoked by that.
            Err(AccountError::File(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        match principal.key() {
            None if self.is_disabled(&record)? => Err(RefusalReason::Disabled),
            None => Ok(()),
            Some(key) => {
                let now = self.admit_key(&record, (&key.pin, key.is_token), source)?;
                let is_same = now.grant() == *principal.grant();
                if is_same { Ok(()) } else { Err(RefusalReason::KeyChanged) }
            }
        }
    }
}
