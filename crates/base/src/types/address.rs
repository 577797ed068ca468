//! `sealane://[user@]host[:port][/path][?pin=…&pin=…]`: where a server is and which keys it may
//! have.
//!
//! An address never carries a password. Resolving host names is not done here.

use std::fmt;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use thiserror::Error;

use super::path::{PathError, RemotePath};
use super::pin::{Pin, PinError};
use super::username::{Username, UsernameError};

/// Port of a server whose address names none.
pub const DEFAULT_PORT: u16 = 9901;
/// Longest address in bytes.
pub const MAX_ADDRESS: usize = 16 * 1024;

const SCHEME: &str = "sealane://";
const ESCAPED: &AsciiSet =
    &CONTROLS.add(b' ').add(b'%').add(b'?').add(b'#').add(b'"').add(b'<').add(b'>').add(b'@');

/// A parsed address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The account, if the address names one.
    pub user: Option<Username>,
    /// Host name or IP address, without the brackets of an IPv6 address.
    pub host: String,
    /// TCP port; [`DEFAULT_PORT`] if the address names none.
    pub port: u16,
    /// Path inside the home.
    pub path: RemotePath,
    /// The path was written with a slash at its end, or not at all: a directory is meant.
    pub is_directory: bool,
    /// Pins in the order written; may be empty.
    pub pins: Vec<Pin>,
}

/// Why a text is not an address.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum AddressError {
    /// Something else than `pin=` after the question mark.
    #[error("'{0}' is not known in an address; only pin=sha256.… may follow the '?'")]
    Option(String),
    /// The host part is empty or has characters a host cannot have.
    #[error("'{0}' is not a host name or IP address")]
    Host(String),
    /// The text is longer than [`MAX_ADDRESS`] or not UTF-8 once decoded.
    #[error("the address is longer than {MAX_ADDRESS} bytes or not UTF-8")]
    Malformed,
    /// A colon in the part before the `@`.
    #[error(
        "an address never holds a password; use --password-file, SEALANE_PASSWORD or the prompt"
    )]
    Password,
    /// The path is refused.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A pin is refused.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// Port 0, above 65535 or not a number.
    #[error("'{0}' is not a port")]
    Port(String),
    /// The text does not begin with `sealane://`.
    #[error("an address begins with {SCHEME}")]
    Scheme,
    /// The account name is refused.
    #[error(transparent)]
    User(#[from] UsernameError),
}

impl Address {
    /// True if `text` begins like an address, so that anything else is a local path.
    #[must_use]
    pub fn looks_like(text: &str) -> bool {
        text.starts_with(SCHEME)
    }

    /// Parses an address. Account and path may be percent-encoded.
    ///
    /// # Errors
    /// [`AddressError`] naming the part that is wrong.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.len() > MAX_ADDRESS {
            return Err(AddressError::Malformed);
        }
        let rest = text.strip_prefix(SCHEME).ok_or(AddressError::Scheme)?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        let (user, host_port) = match authority.rsplit_once('@') {
            Some((user, host_port)) => (Some(parse_user(user)?), host_port),
            None => (None, authority),
        };
        let (host, port) = parse_host_port(host_port)?;
        Ok(Self {
            user,
            host,
            port,
            path: RemotePath::parse_typed(&decode(path)?)?,
            is_directory: RemotePath::means_directory(path),
            pins: parse_query(query)?,
        })
    }

    /// `host:port`, with brackets around an IPv6 address and `%25` before its zone.
    #[must_use]
    pub fn host_port(&self) -> String {
        host_port(&self.host, self.port)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(SCHEME)?;
        if let Some(user) = &self.user {
            write!(formatter, "{}@", utf8_percent_encode(user.as_str(), ESCAPED))?;
        }
        write!(formatter, "{}/", self.host_port())?;
        write!(formatter, "{}", utf8_percent_encode(self.path.as_str(), ESCAPED))?;
        if self.is_directory && !self.path.is_root() {
            formatter.write_str("/")?;
        }
        for (at, pin) in self.pins.iter().enumerate() {
            write!(formatter, "{}pin={}", if at == 0 { '?' } else { '&' }, pin.to_address_form())?;
        }
        Ok(())
    }
}

/// `host:port`, with brackets around an IPv6 address and `%25` before its zone.
#[must_use]
pub fn host_port(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{}]:{port}", host.replacen('%', "%25", 1))
    } else {
        format!("{host}:{port}")
    }
}

fn parse_user(text: &str) -> Result<Username, AddressError> {
    if text.contains(':') {
        return Err(AddressError::Password);
    }
    Ok(Username::parse(&decode(text)?)?)
}

fn parse_host_port(text: &str) -> Result<(String, u16), AddressError> {
    let wrong = || AddressError::Host(super::text::printable(text));
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or_else(wrong)?;
            let host = bracketed(host).ok_or_else(wrong)?;
            (
                host,
                if after.is_empty() {
                    None
                } else {
                    Some(after.strip_prefix(':').ok_or_else(wrong)?)
                },
            )
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host.to_owned(), Some(port)),
            None => (text.to_owned(), None),
        },
    };
    let port = match port {
        None => DEFAULT_PORT,
        Some(port) => match port.parse() {
            Ok(number) if number != 0 => number,
            _ => return Err(AddressError::Port(super::text::printable(port))),
        },
    };
    let is_bracketed = text.starts_with('[');
    let allowed = |character: char| {
        let is_mark = matches!(character, '.' | '-' | '_' | ':');
        character.is_alphanumeric() || is_mark || (is_bracketed && character == '%')
    };
    if host.is_empty() || host.len() > 253 || !host.chars().all(allowed) {
        return Err(wrong());
    }
    Ok((host, port))
}

/// What stands between brackets: an IPv6 address, perhaps with a zone (`fe80::1%25eth0`, RFC 6874).
/// A zone is also taken as people write it, with a bare `%`.
fn bracketed(text: &str) -> Option<String> {
    let (address, zone) = match text.split_once('%') {
        Some((address, zone)) => (address, Some(zone.strip_prefix("25").unwrap_or(zone))),
        None => (text, None),
    };
    address.parse::<std::net::Ipv6Addr>().ok()?;
    match zone {
        Some(zone) if zone.is_empty() || zone.contains(['%', ':']) => None,
        Some(zone) => Some(format!("{address}%{zone}")),
        None => Some(address.to_owned()),
    }
}

fn parse_query(query: &str) -> Result<Vec<Pin>, AddressError> {
    query
        .split('&')
        .filter(|part| !part.is_empty())
        .map(|part| match part.strip_prefix("pin=") {
            Some(pin) => Ok(Pin::parse(&decode(pin)?)?),
            None => Err(AddressError::Option(super::text::printable(part))),
        })
        .collect()
}

fn decode(text: &str) -> Result<String, AddressError> {
    percent_decode_str(text)
        .decode_utf8()
        .map(|text| text.into_owned())
        .map_err(|_| AddressError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    #[test]
    fn every_part_is_read() {
        let pin = Pin::of_public_key(b"k");
        let address = parse(&format!(
            "sealane://ahpu@files.example:4433/a%20b/c?pin={}",
            pin.to_address_form()
        ));
        assert_eq!(address.user, Some(Username::parse("ahpu").unwrap()));
        assert_eq!(address.host_port(), "files.example:4433");
        assert_eq!(address.path.as_str(), "a b/c");
        assert_eq!(address.pins, [pin]);
        assert!(!address.is_directory);
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let address = parse("sealane://[::1]");
        assert_eq!((address.host_port().as_str(), address.is_directory), ("[::1]:9901", true));
        assert!(address.path.is_root() && address.user.is_none() && address.pins.is_empty());
        assert!(parse("sealane://h/dir/").is_directory);
    }

    #[test]
    fn a_zone_is_read_in_both_spellings() {
        for text in ["sealane://[fe80::1%25eth0]:99/", "sealane://[fe80::1%eth0]:99"] {
            let address = parse(text);
            assert_eq!(address.host, "fe80::1%eth0");
            assert_eq!(address.host_port(), "[fe80::1%25eth0]:99");
        }
        for text in ["[fe80::1%]", "[fe80::1%25]", "[fe80::1%a%b]", "h%25eth0", "[h%25eth0]"] {
            let refused = Address::parse(&format!("sealane://{text}/"));
            assert!(matches!(refused, Err(AddressError::Host(_))), "{text}: {refused:?}");
        }
    }

    #[test]
    fn display_reads_back() {
        for text in [
            "sealane://[fe80::1%25lo]:1/",
            "sealane://h",
            "sealane://张三@h:1/x%3Fy%25/",
            "sealane://[::1]:99/a/b",
        ] {
            let address = parse(text);
            assert_eq!(parse(&address.to_string()), address, "{text}");
        }
    }

    #[test]
    fn each_wrong_part_is_named() {
        assert_eq!(Address::parse("http://h/"), Err(AddressError::Scheme));
        assert_eq!(Address::parse("sealane://u:pw@h/"), Err(AddressError::Password));
        assert_eq!(Address::parse("sealane:///x"), Err(AddressError::Host(String::new())));
        assert_eq!(Address::parse("sealane://h:0/"), Err(AddressError::Port("0".into())));
        assert_eq!(Address::parse("sealane://h:70000/"), Err(AddressError::Port("70000".into())));
        assert_eq!(Address::parse("sealane://h/a/../b"), Err(AddressError::Path(PathError::Dots)));
        assert_eq!(Address::parse("sealane://h/%2e%2e"), Err(AddressError::Path(PathError::Dots)));
        assert_eq!(Address::parse("sealane://h/%ff"), Err(AddressError::Malformed));
        assert_eq!(
            Address::parse("sealane://h/?insecure=1"),
            Err(AddressError::Option("insecure=1".into()))
        );
        assert!(matches!(Address::parse("sealane://h/?pin=sha256.xx"), Err(AddressError::Pin(_))));
        assert!(matches!(Address::parse("sealane://a b/"), Err(AddressError::Host(_))));
    }
}
