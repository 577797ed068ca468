//! The file's form: JSON, version 1, every key named, nothing unknown.

use std::collections::HashSet;
use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::error::TrustError;
use super::name::{Place, ServerName};
use super::server::{Alias, KnownKey, KnownServer, MAX_KEYS, MAX_NAMES, Source, State};
use super::store::MAX_SERVERS;
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
    servers: Vec<Server>,
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
words!(SourceWord for Source: Address Typed FirstContact Rotation);

fn pin<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Pin, D::Error> {
    Pin::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
}

fn pin_text<S: Serializer>(pin: &Pin, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(pin)
}

/// The servers in a file's `bytes`; `path` is for the error.
pub(super) fn read(path: &Path, bytes: &[u8]) -> Result<Vec<KnownServer>, TrustError> {
    let damaged = |why: String| TrustError::Damaged { path: path.to_owned(), why };
    let Versioned { version } =
        serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
    if version > VERSION {
        return Err(TrustError::Newer { path: path.to_owned(), version });
    }
    let file: File = serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
    let servers = file.servers.into_iter().map(server).collect::<Result<Vec<_>, _>>();
    let servers = servers.map_err(damaged)?;
    no_duplicates(&servers).map_err(damaged)?;
    Ok(servers)
}

/// The file's content.
pub(super) fn write(servers: &[KnownServer]) -> Vec<u8> {
    let file = File { version: VERSION, servers: servers.iter().map(to_file).collect() };
    // Only maps with keys that are no text can fail, and there are none.
    let mut bytes = serde_json::to_vec_pretty(&file).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

fn server(server: Server) -> Result<KnownServer, String> {
    let place = Place::parse(&server.server)
        .filter(|place| place.to_string() == server.server)
        .ok_or_else(|| format!("'{}' is not host:port", server.server))?;
    let name = server.name.as_deref().map(ServerName::parse).transpose();
    let user = server.user.as_deref().map(Username::parse).transpose();
    let aliases = server.aliases.into_iter().map(alias).collect::<Result<Vec<_>, _>>()?;
    if aliases.len() >= MAX_NAMES || (server.name.is_none() && !aliases.is_empty()) {
        return Err(format!("{place} has too many names, or others but no first one"));
    }
    let keys: Vec<_> = server.keys.into_iter().map(key).collect();
    let repeated = |key: &KnownKey| keys.iter().filter(|other| other.pin == key.pin).count() != 1;
    if keys.is_empty() || keys.len() > MAX_KEYS || keys.iter().any(repeated) {
        return Err(format!("{place} has no key, too many, or one twice"));
    }
    Ok(KnownServer {
        name: name.map_err(|error| error.to_string())?,
        user: user.map_err(|error| error.to_string())?,
        aliases,
        place,
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

fn no_duplicates(servers: &[KnownServer]) -> Result<(), String> {
    if servers.len() > MAX_SERVERS {
        return Err(format!("it has more than {MAX_SERVERS} servers"));
    }
    for (at, server) in servers.iter().enumerate() {
        for other in servers.iter().skip(at + 1) {
            if other.place == server.place {
                return Err(format!("{} is in it twice", server.place));
            }
        }
    }
    let mut names = HashSet::new();
    match servers.iter().flat_map(KnownServer::names).find(|name| !names.insert(name.as_str())) {
        Some(name) => Err(format!("two servers are called '{name}', or one twice")),
        None => Ok(()),
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
        server: server.place.to_string(),
        name: server.name.as_ref().map(ToString::to_string),
        user: server.user.as_ref().map(ToString::to_string),
        aliases: aliases.collect(),
        epoch: server.epoch,
        signed_epoch: server.signed_epoch,
        keys: keys.collect(),
    }
}
