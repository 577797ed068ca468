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
        // An IPv4-mapped IPv6 address is compared as an IPv4 address, so it cannot be written here.
        if bits > most || prefix(first, bits, bits) != first {
            return Err(error());
        }
        Ok(Self { first, bits })
    }

    /// True if `address` is one of them; an IPv4 address that came over IPv6 is an IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        prefix(address, self.bits, self.bits) == self.first
    }
}

/// The first bits of an address, the others zero: `ipv4` of them or `ipv6`. An IPv4-mapped IPv6
/// address is an IPv4 address.
#[must_use]
pub fn prefix(address: IpAddr, ipv4: u8, ipv6: u8) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let rest = u32::MAX.unbounded_shr(ipv4.into());
            Ipv4Addr::from_bits(address.to_bits() & !rest).into()
        }
        IpAddr::V6(address) => {
            let rest = u128::MAX.unbounded_shr(ipv6.into());
            Ipv6Addr::from_bits(address.to_bits() & !rest).into()
        }
    }
}

/// What one customer of a provider has: an IPv4 address, or a /64 of IPv6.
#[must_use]
pub fn source_block(address: IpAddr) -> IpAddr {
    prefix(address, 32, 64)
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
    fn a_prefix_keeps_its_bits_and_no_others() {
        for (address, ipv4, ipv6, expected) in [
            ("192.0.2.7", 24, 48, "192.0.2.0"),
            ("192.0.2.7", 32, 64, "192.0.2.7"),
            ("::ffff:192.0.2.7", 24, 48, "192.0.2.0"),
            ("192.0.2.7", 0, 0, "0.0.0.0"),
            ("2001:db8:1:2:3::4", 24, 48, "2001:db8:1::"),
            ("2001:db8:1:2:3::4", 32, 64, "2001:db8:1:2::"),
            ("2001:db8::1", 32, 128, "2001:db8::1"),
        ] {
            let expected: IpAddr = expected.parse().unwrap();
            assert_eq!(prefix(address.parse().unwrap(), ipv4, ipv6), expected, "{address}");
        }
        let whole = "2001:db8:1:2:3::4".parse().unwrap();
        assert_eq!(source_block(whole), "2001:db8:1:2::".parse::<IpAddr>().unwrap());
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
