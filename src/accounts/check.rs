//! One login, checked on one thread: record, password, home, and what becomes of the stored form.
//!
//! Each refusal is the work of exactly one argon2 evaluation of the configured cost. Who may try at
//! all, and how many at once, is for [`super::login`].

use std::sync::Arc;

use time::{Date, OffsetDateTime};

use super::hasher::Hasher;
use super::home::HomeMap;
use super::login::{Exposure, RefusalReason};
use super::password::{HashCost, StoredPassword, check_typed};
use super::principal::{Principal, Upgrade};
use super::record::Record;
use super::samples::is_sample;
use super::store::AccountStore;
use crate::types::{Secret, Username};

#[derive(Debug)]
pub(super) struct Checker {
    pub(super) store: Arc<dyn AccountStore>,
    pub(super) hasher: Hasher,
    pub(super) homes: HomeMap,
    pub(super) legacy_deadline: Option<Date>,
    pub(super) clock: fn() -> OffsetDateTime,
}

/// What a correct password opens, before its stored form is looked after.
struct Checked {
    record: Record,
    stored: StoredPassword,
    principal: Principal,
}

impl Checker {
    pub(super) fn login(
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
