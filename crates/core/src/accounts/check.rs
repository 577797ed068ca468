//! One login, checked on one thread: record, password, home, and what becomes of the stored form.
//!
//! Each refusal of a typed password is the same work whatever the record: one argon2 evaluation of
//! the configured cost for each of its forms. Who may try at all, and how many at once, is for
//! [`super::login`].

use std::sync::{Arc, Mutex, PoisonError};

use time::{Date, OffsetDateTime};

use super::hasher::Hasher;
use super::home::{HomeDirectory, HomeMap};
use super::password::{HashCost, StoredPassword, check_typed};
use super::principal::{Principal, Upgrade};
use super::record::{Record, RecordProblem};
use super::refusal::RefusalReason;
use super::samples::is_sample;
use super::store::{AccountError, AccountStore};
use sealane_base::types::{Secret, Username};

/// From where a server can be reached, as far as sample accounts are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposure {
    /// From this machine only.
    Loopback,
    /// From anywhere else.
    Network,
}

#[derive(Debug)]
pub(super) struct Checker {
    pub(super) store: Arc<dyn AccountStore>,
    pub(super) hasher: Hasher,
    pub(super) homes: HomeMap,
    pub(super) legacy_deadline: Mutex<Option<Date>>,
    pub(super) clock: fn() -> OffsetDateTime,
}

/// What a correct password opens, before its stored form is looked after.
struct Checked {
    record: Record,
    stored: StoredPassword,
    principal: Principal,
}

/// What a record must have for a login to be possible at all.
pub(super) struct Usable {
    pub(super) is_disabled: bool,
    stored: StoredPassword,
    quota: u64,
    home: HomeDirectory,
}

/// Looks at everything in a record that a login needs. What is wrong with it names its place.
pub(super) fn usable(
    store: &dyn AccountStore,
    homes: &HomeMap,
    record: &Record,
) -> Result<Usable, RefusalReason> {
    let damaged = |problem| damaged(store, record, problem);
    let is_disabled = record.is_disabled().map_err(damaged)?;
    let stored = record.password().map_err(damaged)?;
    let (quota, home) = belongings(store, homes, record)?;
    Ok(Usable { is_disabled, stored, quota, home })
}

/// Quota and home, which every login needs, whatever proves it.
pub(super) fn belongings(
    store: &dyn AccountStore,
    homes: &HomeMap,
    record: &Record,
) -> Result<(u64, HomeDirectory), RefusalReason> {
    let damaged = |problem| damaged(store, record, problem);
    let quota = record.quota().map_err(damaged)?;
    let home = homes
        .resolve(record.home_path().map_err(damaged)?)
        .map_err(|problem| RefusalReason::NoHome { place: store.place(record.name()), problem })?;
    Ok((quota, home))
}

/// What is wrong with a record, and where it is.
pub(super) fn damaged(
    store: &dyn AccountStore,
    record: &Record,
    problem: RecordProblem,
) -> RefusalReason {
    AccountError::Record { place: store.place(record.name()), problem }.into()
}

impl Checker {
    pub(super) fn login(
        &self,
        username: &str,
        password: &Secret,
        exposure: Exposure,
    ) -> Result<Principal, RefusalReason> {
        let mut evaluated = Vec::new();
        match self.check(username, password.expose(), exposure, &mut evaluated) {
            Ok(checked) => Ok(self.with_upgrade(checked, password.expose())),
            Err(reason) => {
                // Here, and only here, every failure is brought to the same price.
                self.make_up(password.expose(), evaluated);
                Err(reason)
            }
        }
    }

    fn check(
        &self,
        username: &str,
        password: &str,
        exposure: Exposure,
        evaluated: &mut Vec<HashCost>,
    ) -> Result<Checked, RefusalReason> {
        check_typed(password)?;
        let name = Username::parse(username).map_err(|_| RefusalReason::UnknownUser)?;
        let record = self.store.load(&name)?.ok_or(RefusalReason::UnknownUser)?;
        let Usable { is_disabled, stored, quota, home } =
            usable(&*self.store, &self.homes, &record)?;
        if is_disabled {
            return Err(RefusalReason::Disabled);
        }
        evaluated.extend(self.hasher.costs(&stored, password));
        match self.hasher.verify(&stored, password) {
            Ok(true) => {}
            Ok(false) => return Err(RefusalReason::WrongPassword),
            Err(error) => return Err(RefusalReason::Internal(error.to_string())),
        }
        if exposure == Exposure::Network && is_sample(username, password) {
            return Err(RefusalReason::SampleAccount);
        }
        let is_old = matches!(stored, StoredPassword::Md5(_) | StoredPassword::Wrapped(_));
        if is_old && self.deadline().is_some_and(|last| (self.clock)().date() > last) {
            return Err(RefusalReason::ResetRequired);
        }
        let principal = Principal::new(name, home, quota);
        Ok(Checked { record, stored, principal })
    }

    /// What is missing of the price of a refusal, when evaluations of these costs were made.
    fn make_up(&self, password: &str, evaluated: Vec<HashCost>) {
        // One that nobody can have is not looked at any closer.
        let price = if check_typed(password).is_ok() { self.hasher.attempts(password) } else { 1 };
        let missing = price.saturating_sub(evaluated.len());
        evaluated.into_iter().for_each(|cost| self.hasher.top_up(cost));
        (0..missing).for_each(|_| self.hasher.spend());
    }

    pub(super) fn deadline(&self) -> Option<Date> {
        *self.legacy_deadline.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_deadline(&self, last: Option<Date>) {
        *self.legacy_deadline.lock().unwrap_or_else(PoisonError::into_inner) = last;
    }

    /// Notes the day, once a day, for whoever follows the accounts that nobody uses. Best effort: a
    /// record that cannot be written now is written another day.
    pub(super) fn note_day(&self, record: &Record) {
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
        // What could not be written just now is not tried twice.
        if !matches!(principal.upgrade(), Upgrade::Failed(_)) {
            self.note_day(&record);
        }
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
