//! What state the accounts of a running server are in: counts, and every record that is damaged.
//!
//! It reads all records and evaluates no password. What a migration wants to know beyond that is in
//! the report.

use super::check::usable;
use super::home::HomeMap;
use super::legacy::{HashState, StateCounts};
use super::password::HashCost;
use super::store::{AccountError, AccountStore};

/// Every record, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// How passwords are stored.
    pub counts: StateCounts,
    /// Accounts switched off by an administrator.
    pub disabled: u64,
    /// What nobody can log in with until it is repaired, a text each that names the file. Safe to
    /// print.
    pub damaged: Vec<String>,
}

pub(super) fn survey(
    store: &dyn AccountStore,
    homes: &HomeMap,
    wanted: HashCost,
) -> Result<Survey, AccountError> {
    let mut survey = Survey::default();
    let listing = store.list()?;
    for name in &listing.names {
        let record = match store.load(name) {
            Ok(Some(record)) => record,
            // Removed since the listing.
            Ok(None) => continue,
            Err(error) => {
                survey.counts.add(HashState::Unusable);
                survey.damaged.push(error.to_string());
                continue;
            }
        };
        survey.counts.add(HashState::of(record.password().as_ref(), wanted));
        match usable(store, homes, &record) {
            Ok(usable) => survey.disabled += u64::from(usable.is_disabled),
            Err(reason) => survey.damaged.push(reason.to_string()),
        }
    }
    for file in listing.strangers {
        survey.counts.add(HashState::Unusable);
        survey.damaged.push(format!("'{file}' looks like a record, and its name is not NAME.db"));
    }
    Ok(survey)
}
