//! Paths of a home as they are written in a URL.
//!
//! A URL is decoded once. What could mean one thing here and another to a cache, a proxy or a file
//! system is refused: an encoded slash, NUL, a name that is not UTF-8.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sealane_base::types::RemotePath;

use super::problem::Problem;

/// What stands for itself in the path of a URL.
const KEPT: AsciiSet =
    NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// A path of the home that a request names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) path: RemotePath,
    /// It ended with a slash, or names the home.
    pub(super) is_directory: bool,
}

impl Place {
    /// Reads what follows the prefix of a URL, its leading slash included.
    pub(super) fn parse(encoded: &str) -> Result<Self, Problem> {
        let path = RemotePath::parse(&decode(encoded)?)?;
        let is_directory = path.is_root() || encoded.ends_with('/');
        Ok(Self { path, is_directory })
    }
}

fn decode(encoded: &str) -> Result<String, Problem> {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.as_bytes().iter();
    while let Some(byte) = rest.next() {
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(rest.next()), digit(rest.next())) else {
            return Err(Problem::bad_request("a '%' in the path is not followed by two digits"));
        };
        match u8::try_from(high * 16 + low) {
            Ok(b'/' | 0) | Err(_) => {
                return Err(Problem::bad_request("the path has an encoded slash or NUL"));
            }
            Ok(decoded) => bytes.push(decoded),
        }
    }
    String::from_utf8(bytes).map_err(|_| Problem::bad_request("the path is not UTF-8"))
}

/// A path for a URL, behind its prefix and with a leading slash.
#[derive(Debug)]
pub(super) struct Encoded<'p>(pub(super) &'p RemotePath);

impl fmt::Display for Encoded<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "/{}", utf8_percent_encode(self.0.as_str(), &KEPT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(encoded: &str) -> Result<String, ()> {
        Place::parse(encoded).map(|place| place.path.as_str().to_owned()).map_err(drop)
    }

    #[test]
    fn a_url_is_decoded_once_and_tricks_are_refused() {
        assert_eq!(read("/a%20b/%C3%A9+c").unwrap(), "a b/é+c");
        assert_eq!(read("/a%2525").unwrap(), "a%25");
        for bad in [
            "/..",
            "/a/../b",
            "/%2e%2e/b",
            "/.",
            "/a%2fb",
            "/a%2Fb",
            "/a%00",
            "/%ff",
            "/a%",
            "/a%4",
            "/a%zz",
            "//a",
            "/a//b",
            "/a%5cb",
            "/a%0ab",
            "/%E2%80%AEa",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for name in ["a b", "é", "100%", "a?b#c", "a&b<c>", "a\"b'c", "%2f"] {
            let path = RemotePath::parse(name).unwrap();
            let written = Encoded(&path).to_string();
            assert!(written.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~/%".contains(&b)));
            assert_eq!(read(&written).unwrap(), name);
        }
    }

    #[test]
    fn a_slash_at_the_end_means_a_directory() {
        for (written, expected) in [("", true), ("/", true), ("/a", false), ("/a/", true)] {
            assert_eq!(Place::parse(written).unwrap().is_directory, expected, "{written}");
        }
    }
}
