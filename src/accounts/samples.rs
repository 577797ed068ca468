//! Accounts whose passwords are published, because tutorials print them.
//!
//! They serve for trying things out on one machine; a login with the published password from
//! anywhere else is refused, also after the hash was upgraded.

use super::password::{StoredPassword, md5_of};
use super::record::Record;

/// Account names and their published passwords.
const SAMPLES: [(&str, &str); 1] = [("ahpu", "111111")];

/// True if this is a sample account with its published password.
#[must_use]
pub fn is_sample(username: &str, password: &str) -> bool {
    SAMPLES.contains(&(username, password))
}

/// True if the record is a sample account that still stores the raw MD5 of its published password.
/// Once it is argon2id only a login can tell.
#[must_use]
pub fn record_is_sample(record: &Record) -> bool {
    let Ok(StoredPassword::Md5(stored)) = record.password() else { return false };
    SAMPLES.iter().any(|(name, password)| record.username() == *name && stored == md5_of(password))
}
