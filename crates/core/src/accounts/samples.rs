//! Accounts whose passwords are published, because tutorials print them.
//!
//! They serve for trying things out on one machine; a login with the published password from
//! anywhere else is refused, also after the hash was upgraded.

use super::hasher::Hasher;
use super::record::Record;

/// Account names and their published passwords.
const SAMPLES: [(&str, &str); 1] = [("ahpu", "111111")];

/// True if this is a sample account with its published password.
#[must_use]
pub fn is_sample(username: &str, password: &str) -> bool {
    SAMPLES.contains(&(username, password))
}

/// True if the record is a sample account that still has its published password, in whatever form.
/// One evaluation for a record of such a name, none for others.
#[must_use]
pub fn record_is_sample(record: &Record, hasher: &Hasher) -> bool {
    let Ok(stored) = record.password() else { return false };
    let mut samples = SAMPLES.iter().filter(|(name, _)| record.username() == *name);
    samples.any(|(_, password)| hasher.verify(&stored, password).unwrap_or(false))
}
