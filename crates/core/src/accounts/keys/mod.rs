//! The keys of an account: a list in its record, beside what the legacy server wrote.
//!
//! An entry that is not understood in full disables itself and nothing else: a restriction that was
//! misspelt must not become no restriction. Whether a connection has a key is proved in its
//! handshake, not here.

use std::net::IpAddr;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use thiserror::Error;
use time::Date;

use super::record::Record;
use sealane_base::types::text::{is_unprintable, printable};
use sealane_base::types::{Grant, Network, Permissions, Pin, RemotePath, day};

/// Most keys of one account; entries behind them count for nothing.
pub const MAX_KEYS: usize = 64;
/// Longest comment in bytes.
pub const MAX_COMMENT: usize = 128;
/// Most networks of one key.
const MAX_NETWORKS: usize = 16;

const KEYS: &str = "keys";

/// A key that may log in to an account, and under which conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountKey {
    /// SHA-256 of its public key, or of the token that it is.
    pub pin: Pin,
    /// It is shown as a password, and not proved in a handshake.
    pub is_token: bool,
    /// For people.
    pub comment: String,
    /// When it was entered.
    pub added: Option<Date>,
    /// The last day, in UTC, on which it may log in.
    pub expires: Option<Date>,
    /// Where it may log in from; none means anywhere.
    pub from: Vec<Network>,
    /// What it may do.
    pub permissions: Permissions,
    /// The part of the home that is all of it for this key.
    pub root: RemotePath,
}

/// An entry that counts for nothing.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("key {number} does not count: {why}")]
pub struct KeyProblem {
    /// Its place in the list, from 1; 0 for the list itself.
    pub number: usize,
    /// Which key it is about, if that can be read.
    pub pin: Option<Pin>,
    /// What is wrong.
    pub why: String,
}

/// Why the list was not changed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum KeyListError {
    /// It has the key already, in an entry that counts or not.
    #[error("the key {0} is there already")]
    Exists(Pin),
    /// There is no room.
    #[error("the account has {MAX_KEYS} keys already")]
    Full,
    /// Something else stands where the list should.
    #[error("the record's keys is not a list")]
    NotAList,
    /// The comment has a character that no terminal should see, or is too long.
    #[error("a comment has at most {MAX_COMMENT} bytes and no control characters")]
    Comment,
    /// More networks than are kept.
    #[error("a key has at most {MAX_NETWORKS} networks")]
    Networks,
}

/// Why a key that was proved does not open the account; for the log.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum KeyRefusal {
    /// The entry is not understood in full.
    #[error(transparent)]
    Damaged(#[from] KeyProblem),
    /// It is not the time for it any more.
    #[error("the key expired after {0}")]
    Expired(Date),
    /// The account does not have it.
    #[error("the account does not have this key")]
    Unknown,
    /// It may not come from there.
    #[error("the key may not log in from this address")]
    WrongPlace,
}

impl AccountKey {
    /// A key without conditions.
    #[must_use]
    pub fn new(pin: Pin, comment: String, added: Option<Date>) -> Self {
        let (permissions, root) = (Permissions::ALL, RemotePath::default());
        let (from, expires) = (Vec::new(), None);
        Self { pin, is_token: false, comment, added, expires, from, permissions, root }
    }

    /// What it may do with the home.
    #[must_use]
    pub fn grant(&self) -> Grant {
        Grant { permissions: self.permissions, root: self.root.clone(), key: Some(self.pin) }
    }

    fn admits(&self, source: IpAddr, today: Date) -> Result<(), KeyRefusal> {
        match self.expires {
            Some(last) if today > last => return Err(KeyRefusal::Expired(last)),
            _ => {}
        }
        let is_from = |network: &Network| network.contains(source);
        if self.from.is_empty() || self.from.iter().any(is_from) {
            Ok(())
        } else {
            Err(KeyRefusal::WrongPlace)
        }
    }
}

/// An entry as it is written.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Written {
    pin: String,
    #[serde(default, skip_serializing_if = "is_false")]
    token: bool,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    comment: String,
    #[serde(default, deserialize_with = "there", skip_serializing_if = "Option::is_none")]
    added: Option<String>,
    #[serde(default, deserialize_with = "there", skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    #[serde(default, deserialize_with = "there", skip_serializing_if = "Option::is_none")]
    from: Option<Vec<String>>,
    #[serde(default, deserialize_with = "there", skip_serializing_if = "Option::is_none")]
    permissions: Option<String>,
    #[serde(default, deserialize_with = "there", skip_serializing_if = "Option::is_none")]
    root: Option<String>,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// What is written as `null` was meant to be something.
fn there<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

impl Written {
    fn read(value: &Value) -> Result<AccountKey, String> {
        let written = Self::deserialize(value).map_err(|error| printable(&error.to_string()))?;
        let day = |text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => match day::parse(text) {
                Some(day) => Ok(Some(day)),
                None => Err(format!("'{}' is no day such as 2027-01-31", printable(text))),
            },
        };
        let from = match &written.from {
            None => Vec::new(),
            Some(texts) if texts.is_empty() || texts.len() > MAX_NETWORKS => {
                return Err(format!("its from has no network, or more than {MAX_NETWORKS}"));
            }
            Some(texts) => {
                let networks = texts.iter().map(|text| Network::parse(text));
                networks.collect::<Result<_, _>>().map_err(|error| error.to_string())?
            }
        };
        let permissions = written.permissions.as_deref().map(Permissions::parse).transpose();
        let root = RemotePath::parse(written.root.as_deref().unwrap_or_default());
        if !is_comment(&written.comment) {
            return Err(KeyListError::Comment.to_string());
        }
        Ok(AccountKey {
            pin: Pin::parse(&written.pin).map_err(|error| error.to_string())?,
            is_token: written.token,
            added: day(&written.added)?,
            expires: day(&written.expires)?,
            comment: written.comment,
            from,
            permissions: permissions.map_err(|e| e.to_string())?.unwrap_or(Permissions::ALL),
            root: root.map_err(|error| error.to_string())?,
        })
    }

    fn of(key: &AccountKey) -> Self {
        let networks = key.from.iter().map(ToString::to_string).collect::<Vec<_>>();
        Self {
            pin: key.pin.to_string(),
            token: key.is_token,
            comment: key.comment.clone(),
            added: key.added.map(|day| day.to_string()),
            expires: key.expires.map(|day| day.to_string()),
            from: (!networks.is_empty()).then_some(networks),
            permissions: Some(key.permissions.to_string()),
            root: (!key.root.is_root()).then(|| key.root.as_str().to_owned()),
        }
    }
}

fn is_comment(text: &str) -> bool {
    text.len() <= MAX_COMMENT && !text.chars().any(is_unprintable)
}

fn pin_of(entry: &Value) -> Option<Pin> {
    Pin::parse(entry.get("pin")?.as_str()?).ok()
}

impl Record {
    /// The keys of the account, in their order; for each what it is, or why it counts for nothing.
    #[must_use]
    pub fn keys(&self) -> Vec<Result<AccountKey, KeyProblem>> {
        let entries = match self.fields.get(KEYS) {
            None => return Vec::new(),
            Some(Value::Array(entries)) => entries,
            Some(_) => {
                let why = KeyListError::NotAList.to_string();
                return vec![Err(KeyProblem { number: 0, pin: None, why })];
            }
        };
        let pins: Vec<_> = entries.iter().map(pin_of).collect();
        let is_repeated = |pin: &Option<Pin>| {
            pin.is_some() && pins.iter().filter(|other| *other == pin).count() > 1
        };
        let read = |(at, entry): (usize, &Value)| {
            let pin = pins.get(at).copied().flatten();
            let outcome = match Written::read(entry) {
                _ if at >= MAX_KEYS => Err(format!("it stands behind {MAX_KEYS} others")),
                _ if is_repeated(&pin) => Err("the same key is in the list twice".to_owned()),
                outcome => outcome,
            };
            outcome.map_err(|why| KeyProblem { number: at + 1, pin, why })
        };
        entries.iter().enumerate().map(read).collect()
    }

    /// The entry of a key, or of a token, that may log in today from `source`.
    ///
    /// # Errors
    /// [`KeyRefusal`].
    pub fn key_for(
        &self,
        (pin, is_token): (&Pin, bool),
        source: IpAddr,
        today: Date,
    ) -> Result<AccountKey, KeyRefusal> {
        for entry in self.keys() {
            match entry {
                Ok(key) if key.pin == *pin && key.is_token == is_token => {
                    return key.admits(source, today).map(|()| key);
                }
                Err(problem) if problem.pin.as_ref() == Some(pin) => return Err(problem.into()),
                _ => {}
            }
        }
        Err(KeyRefusal::Unknown)
    }

    /// Adds a key at the end of the list.
    ///
    /// # Errors
    /// [`KeyListError`]; the record is as it was then.
    pub fn add_key(&mut self, key: &AccountKey) -> Result<(), KeyListError> {
        if !is_comment(&key.comment) {
            return Err(KeyListError::Comment);
        }
        if key.from.len() > MAX_NETWORKS {
            return Err(KeyListError::Networks);
        }
        let entry = serde_json::to_value(Written::of(key)).unwrap_or_default();
        match self.fields.get_mut(KEYS) {
            None => {
                self.fields.insert(KEYS.into(), Value::Array(vec![entry]));
            }
            Some(Value::Array(entries)) => {
                if entries.iter().any(|entry| pin_of(entry) == Some(key.pin)) {
                    return Err(KeyListError::Exists(key.pin));
                }
                if entries.len() >= MAX_KEYS {
                    return Err(KeyListError::Full);
                }
                entries.push(entry);
            }
            Some(_) => return Err(KeyListError::NotAList),
        }
        Ok(())
    }

    /// Removes every entry of a key, and says whether there was one.
    pub fn revoke_key(&mut self, pin: &Pin) -> bool {
        let Some(Value::Array(entries)) = self.fields.get_mut(KEYS) else { return false };
        let before = entries.len();
        entries.retain(|entry| pin_of(entry) != Some(*pin));
        let is_changed = entries.len() != before;
        if entries.is_empty() {
            self.fields.shift_remove(KEYS);
        }
        is_changed
    }
}

#[cfg(test)]
mod tests;
