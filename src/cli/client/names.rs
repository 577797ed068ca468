//! Addresses as typed: `sealane://…`, or `NAME:PATH` with the name of a known server.

use thiserror::Error;

use crate::cli::{Exit, Failure};
use crate::config::environment;
use sealane_base::types::address::AddressError;
use sealane_base::types::path::PathError;
use sealane_base::types::username::UsernameError;
use sealane_base::types::{Address, RemotePath, Username};
use sealane_tls::trust::{KnownServer, KnownServers, ServerName, Store, TrustError};

/// Why a text is no address.
#[derive(Debug, Error)]
pub(super) enum NameError {
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error(
        "an address begins with sealane://; the name of a known server ends with a colon: '{0}:'"
    )]
    Colon(String),
    #[error(transparent)]
    Path(#[from] PathError),
    #[error(transparent)]
    Trust(#[from] TrustError),
    #[error(
        "no server is called '{0}'; 'sealane trust add --name {0} ADDRESS' gives one that name"
    )]
    Unknown(ServerName),
    #[error(transparent)]
    User(#[from] UsernameError),
}

/// The store of this user.
pub(super) fn store() -> Store {
    Store::new(environment::config_directory())
}

/// Reads an address; a name is looked up among the known servers.
pub(super) fn address(text: &str) -> Result<Address, NameError> {
    match split(text) {
        Some(named) => named.resolve(&store().load()?),
        None => Address::parse(text).map_err(|error| match error {
            AddressError::Scheme if split(&format!("{text}:")).is_some() => {
                NameError::Colon(text.to_owned())
            }
            error => error.into(),
        }),
    }
}

/// True if `text` begins like an address, or like the name of a known server.
pub(super) fn looks_like_address(text: &str) -> bool {
    let is_known =
        |named: Named<'_>| store().load().is_ok_and(|known| known.named(&named.name).is_some());
    Address::looks_like(text) || split(text).is_some_and(is_known)
}

/// The first of `addresses`, which all name one account of one server.
pub(super) fn one_server(addresses: &[Address]) -> Result<&Address, Failure> {
    let first = addresses.first();
    let first = first.ok_or_else(|| Failure::new(Exit::Usage, "no address was given"))?;
    addresses.iter().try_for_each(|other| same_server(first, other))?;
    Ok(first)
}

/// A job runs over one session: all its addresses name one account of one server.
pub(super) fn same_server(first: &Address, other: &Address) -> Result<(), Failure> {
    let is_same = (&first.host, first.port, &first.user) == (&other.host, other.port, &other.user);
    if is_same {
        return Ok(());
    }
    Err(Failure::new(Exit::Usage, "the addresses name different servers or accounts")
        .hint("use one command for each"))
}

/// `USER@NAME:PATH`, not looked up yet.
struct Named<'a> {
    user: Option<&'a str>,
    name: ServerName,
    path: &'a str,
}

fn split(text: &str) -> Option<Named<'_>> {
    if text.contains("://") {
        return None;
    }
    let (server, path) = text.split_once(':')?;
    let (user, name) = match server.rsplit_once('@') {
        Some((user, name)) => (Some(user), name),
        None => (None, server),
    };
    Some(Named { user, name: ServerName::parse(name).ok()?, path })
}

impl Named<'_> {
    fn resolve(self, known: &KnownServers) -> Result<Address, NameError> {
        let Some(server @ KnownServer { host_port, .. }) = known.find_named(&self.name)? else {
            return Err(NameError::Unknown(self.name));
        };
        let user = server.user_of(&self.name);
        Ok(Address {
            user: self.user.map(Username::parse).transpose()?.or_else(|| user.cloned()),
            host: host_port.host().to_owned(),
            port: host_port.port(),
            path: RemotePath::parse_typed(self.path)?,
            is_directory: RemotePath::means_directory(self.path),
            pins: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealane_base::types::{Pin, PinSet};
    use sealane_tls::trust::{HostPort, Source};

    fn resolve(text: &str) -> Result<String, String> {
        let mut known = KnownServers::default();
        let host_port = HostPort::parse("files.example:1").unwrap();
        let pins = PinSet::new(vec![Pin::of_public_key(b"k")]).unwrap();
        known.add(&host_port, &pins, Source::Typed, 0).unwrap();
        let name = ServerName::parse("work").unwrap();
        known.set_name(&host_port, name, Some(Username::parse("ann").unwrap())).unwrap();
        let address = split(text).ok_or("no name")?.resolve(&known);
        address.map(|address| address.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_name_stands_for_a_server_and_an_account() {
        let expect = |text: &str, address: &str| assert_eq!(resolve(text).unwrap(), address);
        expect("work:", "sealane://ann@files.example:1/");
        expect("work:a/b c", "sealane://ann@files.example:1/a/b%20c");
        expect("work:/a/", "sealane://ann@files.example:1/a/");
        expect("bob@work:x:y", "sealane://bob@files.example:1/x:y");
    }

    #[test]
    fn what_is_no_known_name_is_said() {
        assert!(resolve("home:x").unwrap_err().starts_with("no server is called 'home'"));
        assert!(resolve("work:../x").is_err());
        for other in ["a/b", "sealane://h:1/", "http://h/", "a/b:c", ":x"] {
            assert!(split(other).is_none(), "{other}");
        }
        let bare = address("me@home").unwrap_err().to_string();
        assert!(bare.ends_with("ends with a colon: 'me@home:'"), "{bare}");
        assert!(matches!(address("/a/b"), Err(NameError::Address(AddressError::Scheme))));
    }
}
