//! How a server is called: by host and port, or by a name the user gave it.

use std::fmt;

use thiserror::Error;

use sealane_base::types::Address;
use sealane_base::types::address::host_port;

/// Longest name in bytes.
const MAX_NAME: usize = 64;

/// A name of a user's own choice: ASCII letters, digits, `-`, `_` and `.`, beginning with a letter
/// or digit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerName(String);

/// The text is not a name for a server.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error(
    "a name for a server has 1 to {MAX_NAME} letters, digits, '-', '_' and '.', a letter or digit first"
)]
pub struct ServerNameError;

impl ServerName {
    /// Parses a name.
    ///
    /// # Errors
    /// [`ServerNameError`].
    pub fn parse(text: &str) -> Result<Self, ServerNameError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let begins_well = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        if begins_well && text.len() <= MAX_NAME && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ServerNameError)
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Host and port of a server. Host names are compared without regard to case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPort {
    host: String,
    port: u16,
}

impl HostPort {
    /// The place an address names.
    #[must_use]
    pub fn of(address: &Address) -> Self {
        Self { host: address.host.to_ascii_lowercase(), port: address.port }
    }

    /// Parses `host`, `host:port` or `[ipv6]:port`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // The zone of an IPv6 address has the only `%` that may be there.
        if text.replacen("%25", "", 1).contains(['/', '?', '@', '#', '%']) {
            return None;
        }
        Address::parse(&format!("sealane://{text}")).ok().map(|address| Self::of(&address))
    }

    /// The host, in lower case.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&host_port(&self.host, self.port))
    }
}
