//! Where a server listens: an IP address or a host name, and a port.
//!
//! Resolving host names is not done here.

use std::fmt;
use std::net::SocketAddr;

/// One place to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// An IP address and port.
    Ip(SocketAddr),
    /// A host name, to be resolved when the server starts, and a port.
    Name(String, u16),
}

impl ListenAddress {
    /// Reads `127.0.0.1:9901`, `[::]:9901`, `files.example.com:9901`. The port must be there; 0 is
    /// one that the system picks.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(address) = text.parse() {
            return Some(Self::Ip(address));
        }
        let (name, port) = text.rsplit_once(':')?;
        let is_of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        // What has nothing but digits and dots is an address with a mistake in it.
        let is_name =
            name.bytes().all(is_of_a_name) && name.bytes().any(|b| b.is_ascii_alphabetic());
        let is_port = port.bytes().all(|byte| byte.is_ascii_digit());
        (is_name && is_port).then(|| Some(Self::Name(name.to_owned(), port.parse().ok()?)))?
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        match self {
            Self::Ip(address) => address.port(),
            Self::Name(_, port) => *port,
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(formatter),
            Self::Name(name, port) => write!(formatter, "{name}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_read_back_and_mistakes_do_not() {
        for good in ["127.0.0.1:9901", "[::]:9901", "localhost:0", "files-1.example.com:65535"] {
            assert_eq!(ListenAddress::parse(good).unwrap().to_string(), good);
        }
        for bad in [
            "",
            "localhost",
            "localhost:",
            ":1",
            "h:65536",
            "h:+1",
            "1.2.3.4.5:1",
            "h/x:1",
            "::1:x",
        ] {
            assert_eq!(ListenAddress::parse(bad), None, "{bad}");
        }
    }
}
