//! The file's form: JSON, version 1, every key named, nothing unknown.
//!
//! An entry that cannot be read is kept as it is and set aside, so that the others go on being
//! usable.

use std::collections::HashMap;
use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;

use super::error::TrustError;
use super::name::{HostPort, ServerName};
use super::server::{Alias, KnownKey, KnownServer, MAX_NAMES};
use super::state::{MAX_KEYS, Source, State};
use sealane_base::types::text::printable;
use sealane_base::types::{Pin, Username};

const VERSION: u64 = 1;

#[derive(Deserialize)]
struct Versioned {
    version: u64,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u64,
    servers: Vec<Value>,
}

/// An entry that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedEntry {
    /// Whose it is, as far as that can be read.
    pub host_port: Option<HostPort>,
    /// What the user calls it, if that can be read.
    pub name: Option<ServerName>,
    /// What is wrong with it.
    pub why: String,
    raw: Value,
}

impl DamagedEntry {
    fn new(raw: Value, why: String) -> Self {
        let text = |field: &str| raw.get(field).and_then(Value::as_str);
        let host_port = text("server").and_then(HostPort::parse);
        let name = text("name").and_then(|name| ServerName::parse(name).ok());
        Self { host_port, name, why, raw }
    }

    pub(super) fn error(&self) -> TrustError {
        let server = match (&self.host_port, self.raw.get("server").and_then(Value::as_str)) {
            (Some(host_port), _) => host_port.to_string(),
            (None, Some(text)) => format!("'{}'", printable(text)),
            (None, None) => "a server".to_owned(),
        };
        TrustError::DamagedEntry { server, why: printable(&self.why) }
    }

    /// True if it says that a key is revoked, whatever else is wrong with it.
    pub(super) fn has_revoked(&self, pin: &Pin) -> bool {
        let keys = self.raw.get("keys").and_then(Value::as_array);
        keys.into_iter().flatten().any(|key| {
            let is = |field: &str, text: &str| key.get(field).and_then(Value::as_str) == Some(text);
            is("state", State::Revoked.as_str())
                && !is("source", Source::Unproved.as_str())
                && is("pin", &pin.to_string())
        })
    }
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Server {
    server: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    aliases: Vec<OtherName>,
    epoch: u64,
    signed_epoch: u64,
    keys: Vec<Key>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct OtherName {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<String>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Key {
    #[serde(deserialize_with = "pin", serialize_with = "pin_text")]
    pin: Pin,
    state: StateWord,
    source: SourceWord,
    first_seen: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_seen: Option<i64>,
    since: i64,
}

macro_rules! words {
    ($word:ident for $of:ident: $($name:ident)*) => {
        #[derive(Clone, Copy, Deserialize, Serialize)]
        #[serde(rename_all = "snake_case")]
        enum $word { $($name,)* }

        impl From<$of> for $word {
            fn from(value: $of) -> Self {
                match value { $($of::$name => Self::$name,)* }
            }
        }

        impl From<$word> for $of {
            fn from(value: $word) -> Self {
                match value { $($word::$name => Self::$name,)* }
            }
        }
    };
}

words!(StateWord for State: Active Next Backup Retired Revoked);
words!(SourceWord for Source: Address Typed FirstContact Rotation Announced Unproved);

fn pin<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Pin, D::Error> {
    Pin::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
}

fn pin_text<S: Serializer>(pin: &Pin, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(pin)
}

/// The servers in a file's `bytes`, and the entries that cannot be read; `path` is for the error.
pub(super) fn read(
    path: &Path,
    bytes: &[u8],
) -> Result<(Vec<KnownServer>, Vec<DamagedEntry>), TrustError> {
    let damaged = |why: String| TrustError::Damaged { path: path.to_owned(), why };
    let Versioned { version } =
        serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
    if version > VERSION {
        return Err(TrustError::Newer { path: path.to_owned(), version });
    }
    let file: File = serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
    let (mut servers, mut broken, mut entries) = (Vec::new(), Vec::new(), Vec::new());
    for raw in file.servers {
        match Server::deserialize(&raw).map_err(|error| error.to_string()).and_then(server) {
            Ok(server) => entries.push((server, raw)),
            Err(why) => broken.push(DamagedEntry::new(raw, why)),
        }
    }
    let (places, names) = counts(&entries);
    for (server, raw) in entries {
        let is_twice = places.get(&server.host_port).is_some_and(|count| *count > 1);
        let name = server.name.as_ref().filter(|name| names.get(name).is_some_and(|n| *n > 1));
        let why = match name {
            // Which of them is right, nobody can tell.
            _ if is_twice => Some(format!("{} is in it twice", server.host_port)),
            Some(name) => Some(format!("two servers are called '{name}'")),
            None => None,
        };
        match why {
            Some(why) => broken.push(DamagedEntry::new(raw, why)),
            None => servers.push(server),
        }
    }
    Ok((servers, broken))
}

type Counts<T> = HashMap<T, usize>;

fn counts(entries: &[(KnownServer, Value)]) -> (Counts<HostPort>, Counts<ServerName>) {
    let (mut places, mut names) = (Counts::new(), Counts::new());
    for (server, _) in entries {
        *places.entry(server.host_port.clone()).or_default() += 1;
        for name in server.names() {
            *names.entry(name.clone()).or_default() += 1;
        }
    }
    (places, names)
}

/// The file's content.
pub(super) fn write(servers: &[KnownServer], damaged: &[DamagedEntry]) -> Vec<u8> {
    // Only maps with keys that are no text can fail, and there are none.
    let servers = servers.iter().map(to_file).filter_map(|one| serde_json::to_value(one).ok());
    let damaged = damaged.iter().map(|entry| entry.raw.clone());
    let file = File { version: VERSION, servers: servers.chain(damaged).collect() };
    let mut bytes = serde_json::to_vec_pretty(&file).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

fn server(server: Server) -> Result<KnownServer, String> {
    let host_port = HostPort::parse(&server.server)
        .filter(|host_port| host_port.to_string() == server.server)
        .ok_or_else(|| format!("'{}' is not host:port", server.server))?;
    let name = server.name.as_deref().map(ServerName::parse).transpose();
    let user = server.user.as_deref().map(Username::parse).transpose();
    let aliases = server.aliases.into_iter().map(alias).collect::<Result<Vec<_>, _>>()?;
    if aliases.len() >= MAX_NAMES || (server.name.is_none() && !aliases.is_empty()) {
        return Err(format!("{host_port} has too many names, or others but no first one"));
    }
    let keys: Vec<_> = server.keys.into_iter().map(key).collect();
    let repeated = |key: &KnownKey| keys.iter().filter(|other| other.pin == key.pin).count() != 1;
    if keys.is_empty() || keys.len() > MAX_KEYS || keys.iter().any(repeated) {
        return Err(format!("{host_port} has no key, too many, or one twice"));
    }
    Ok(KnownServer {
        name: name.map_err(|error| error.to_string())?,
        user: user.map_err(|error| error.to_string())?,
        aliases,
        host_port,
        epoch: server.epoch,
        signed_epoch: server.signed_epoch,
        keys,
    })
}

fn alias(alias: OtherName) -> Result<Alias, String> {
    let user = alias.user.as_deref().map(Username::parse).transpose();
    Ok(Alias {
        name: ServerName::parse(&alias.name).map_err(|error| error.to_string())?,
        user: user.map_err(|error| error.to_string())?,
    })
}

fn key(key: Key) -> KnownKey {
    KnownKey {
        pin: key.pin,
        state: key.state.into(),
        source: key.source.into(),
        first_seen: key.first_seen,
        last_seen: key.last_seen,
        since: key.since,
    }
}

fn to_file(server: &KnownServer) -> Server {
    let keys = server.keys.iter().map(|key| Key {
        pin: key.pin,
        state: key.state.into(),
        source: key.source.into(),
        first_seen: key.first_seen,
        last_seen: key.last_seen,
        since: key.since,
    });
    let aliases = server.aliases.iter().map(|alias| OtherName {
        name: alias.name.to_string(),
        user: alias.user.as_ref().map(ToString::to_string),
    });
    Server {
        server: server.host_port.to_string(),
        name: server.name.as_ref().map(ToString::to_string),
        user: server.user.as_ref().map(ToString::to_string),
        aliases: aliases.collect(),
        epoch: server.epoch,
        signed_epoch: server.signed_epoch,
        keys: keys.collect(),
    }
}
