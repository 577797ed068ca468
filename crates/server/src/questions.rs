//! What an administrator may ask the running server, and what is answered: a line of JSON each.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Damaged records that are named, in the log at the start and in a status.
pub const MOST_NAMED: usize = 50;

/// What can be asked.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(tag = "ask", rename_all = "snake_case", deny_unknown_fields)]
pub enum Question {
    /// Everything about the running server.
    Status {},
    /// Which key it uses.
    Keys {},
    /// Hold what an account has on the disk against its ledger.
    CheckQuota {
        /// The account.
        name: String,
        /// Set the ledger right.
        repair: bool,
    },
    /// Forget an account's failed logins, and a source's.
    Unblock {
        /// The account.
        name: String,
        /// The source.
        source: Option<IpAddr>,
    },
    /// Read the records of everybody who is here again, and end sessions whose login is not good
    /// any more.
    Recheck {},
    /// End one session, or all of an account.
    Kill {
        /// The session's number.
        id: Option<u64>,
        /// The account.
        name: Option<String>,
    },
}

/// The key that a server uses.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct KeysStatus {
    /// Its pin.
    pub pin: String,
    /// Why the files as they are now cannot be used, if so; the key is then that of earlier files.
    pub problem: Option<String>,
}

/// One session in a [`Status`].
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct SessionStatus {
    /// Its number, as in the log.
    pub id: u64,
    /// Where it comes from.
    pub peer: String,
    /// Seconds since it began.
    pub seconds: u64,
    /// The account, once logged in.
    pub account: Option<String>,
    /// The key that logged in, if one did: its comment, or the beginning of its pin.
    pub key: Option<String>,
    /// Files on the move.
    pub transfers: usize,
    /// Its own connection, and those that have joined it.
    pub connections: usize,
    /// Bytes the account uses, has reserved, and may use.
    pub usage: Option<(u64, u64, u64)>,
}

/// An account's ledger and what is on the disk, in bytes.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct QuotaStatus {
    /// In the ledger, before any repair.
    pub used: u64,
    /// Promised to uploads under way.
    pub reserved: u64,
    /// The account's limit.
    pub limit: u64,
    /// Files in the home.
    pub files: u64,
    /// Partials of interrupted uploads.
    pub partials: u64,
    /// Files being removed.
    pub trash: u64,
    /// Written so far by uploads under way; part of `reserved`.
    pub uploading: u64,
    /// Files, partials and trash less `used`.
    pub drift: i64,
}

/// The states of all accounts.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct AccountsStatus {
    /// argon2id at the configured cost or above.
    pub argon2id: u64,
    /// argon2id below it.
    pub weak: u64,
    /// argon2id over MD5.
    pub wrapped: u64,
    /// Raw MD5.
    pub md5: u64,
    /// Records without a password that can be used, or that cannot be read.
    pub unusable: u64,
    /// Switched off by an administrator.
    pub disabled: u64,
    /// Records that nobody can log in with until they are repaired, those without a password among
    /// them.
    pub damaged: usize,
    /// Of at most [`MOST_NAMED`] of these, the file and the reason.
    pub damage: Vec<String>,
}

/// The running server.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Process number.
    pub pid: u32,
    /// Sessions, oldest first, and connections that have not logged in.
    pub sessions: Vec<SessionStatus>,
    /// Passwords checked since the start.
    pub evaluations: u64,
    /// The states of all accounts; `None` if they cannot be listed, which the log explains.
    pub accounts: Option<AccountsStatus>,
    /// Sources that must wait, in seconds.
    pub blocked_sources: Vec<(IpAddr, u64)>,
    /// Accounts, or names that are none, that are closed for a time to places they are not known
    /// at.
    pub delayed_accounts: Vec<(String, u64)>,
    /// Sources from which keys that have not logged in before must wait, in seconds.
    pub blocked_key_sources: Vec<(IpAddr, u64)>,
}

/// What is answered.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To [`Question::Status`].
    Status(Status),
    /// To [`Question::Keys`].
    Keys(KeysStatus),
    /// To [`Question::CheckQuota`]; `None` if nobody has the home open, and so there is no ledger.
    Quota(Option<QuotaStatus>),
    /// It was done, to so many.
    Done(usize),
    /// The question was none, or came from somebody else.
    Refused(String),
}
