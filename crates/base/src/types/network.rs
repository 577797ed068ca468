//! Blocks of IP addresses, written as `192.0.2.0/24` or `2001:db8::/32` (RFC 4632, RFC 4291).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thiserror::Error;

/// All addresses that begin alike. A plain address is a network of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    first: IpAddr,
    bits: u8,
}

/// The text is not a network.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "'{0}' is no network: expected an IP address, or one such as 192.0.2.0/24 with nothing behind its length"
)]
pub struct NetworkError(String);

impl Network {
    /// Reads `ADDRESS` or `ADDRESS/LENGTH`. Bits behind the length must be zero: who writes others
    /// means something else than it would do.
    ///
    /// # Errors
    /// [`NetworkError`], which repeats the text made printable.
    pub fn parse(text: &str) -> Result<Self, NetworkError> {
        let error = || NetworkError(super::text::printable(text));
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let first: IpAddr = address.parse().map_err(|_| error())?;
        let most = if first.is_ipv4() { 32 } else { 128 };
        let digits = |text: &&str| text.bytes().all(|byte| byte.is_ascii_digit());
        let bits = match length {
            None => most,
            Some(length) => length.parse().ok().filter(|_| digits(&length)).ok_or_else(error)?,
        };
        // An IPv4 address in IPv6's clothes is compared as what it is.
        let is_mapped = first.is_ipv6() && first.to_canonical().is_ipv4();
        if bits > most || cut(first, bits) != first || is_mapped {
            return Err(error());
        }
        Ok(Self { first, bits })
    }

    /// True if `address` is one of them; an IPv4 address that came over IPv6 is an IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        cut(address.to_canonical(), self.bits) == self.first
    }
}

/// The first `bits` of an address, the others zero.
fn cut(address: IpAddr, bits: u8) -> IpAddr {
    let behind = |most: u8| u32::from(most.saturating_sub(bits));
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(behind(32)).unwrap_or(0);
            Ipv4Addr::from_bits(address.to_bits() & mask).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(behind(128)).unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.first, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(network: &str, address: &str) -> bool {
        Network::parse(network).unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn an_address_is_in_its_network_and_in_no_other() {
        for (network, inside, outside) in [
            ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("192.0.2.0/24", "::ffff:192.0.2.9", "::192.0.2.9"),
            ("0.0.0.0/0", "203.0.113.1", "::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::/0", "2001:db8::1", "192.0.2.1"),
            ("::1", "::1", "::2"),
        ] {
            assert!(contains(network, inside), "{network} {inside}");
            assert!(!contains(network, outside), "{network} {outside}");
            let again = Network::parse(network).unwrap();
            assert_eq!(Network::parse(&again.to_string()), Ok(again));
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "/",
            "192.0.2.0/",
            "192.0.2.0/33",
            "192.0.2.0/-1",
            "192.0.2.0/+8",
            "192.0.2.1/24",
            "::1/64",
            "::/129",
            "192.0.2.0/24/8",
            " 192.0.2.0/24",
            "192.0.2/24",
            "host",
            "*",
            "::ffff:192.0.2.0/120",
        ] {
            assert!(Network::parse(text).is_err(), "{text}");
        }
    }
}
