//! Who may log in: account records, their passwords, and what a successful login yields.
//!
//! The live store is the legacy one, `NAME.db` files with one JSON object each; MD5 passwords in
//! them work and become argon2id at the first login. This room does not know connections or user
//! files: it hands out a [`Principal`].

mod bounded;
mod by_key;
mod check;
mod encodings;
mod guessing;
mod hasher;
mod home;
mod keys;
mod legacy;
mod login;
mod manage;
mod password;
mod pool;
mod principal;
mod record;
mod refusal;
mod remembered;
mod rename;
mod samples;
mod store;
mod strict_json;
mod survey;
#[cfg(test)]
mod tests;
mod token;

pub use by_key::EnrollError;
pub use check::Exposure;
pub use encodings::PasswordEncoding;
pub use guessing::Blocks;
pub use hasher::{HashError, Hasher};
pub use home::{DEFAULT_HOMES, HomeDirectory, HomeError, HomeMap, HomeRuleError};
pub use keys::{AccountKey, KeyListError, KeyProblem, KeyRefusal, MAX_COMMENT, MAX_KEYS};
pub use legacy::{
    AccountLine, Encoding, HashState, ImportEntry, ImportVerdict, LegacyFile, MigrationReport,
    Remains, StateCounts, Wrapping, read_folder,
};
pub use login::{Authenticator, LoginSettings};
pub use manage::{AccountManager, ManageError, PasswordState, Summary};
pub use password::{
    CostError, HashCost, MAX_PASSWORD, PasswordProblem, StoredPassword, TypedPasswordError,
    check_typed,
};
pub use principal::{Principal, Upgrade};
pub use record::{MAX_RECORD, Record, RecordProblem};
pub use refusal::{LoginError, RefusalReason};
pub use remembered::NotRemembered;
pub use samples::{is_sample, record_is_sample};
pub use store::{AccountError, AccountStore, DirectoryStore, Listing};
pub use survey::Survey;
pub use token::{new_token, pin_of_token};
