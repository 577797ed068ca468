//! A server's identity: the SHA-256 of its public key, and how it is written.
//!
//! A pin is the digest of the DER SubjectPublicKeyInfo (RFC 5280 §4.1.2.7), as curl's
//! `--pinnedpubkey` and RFC 7469 §2.4 have it, so other tools compute the same value.
//! Comparing a certificate with pins is the business of `tls`.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// SHA-256 of a SubjectPublicKeyInfo. `Display` gives curl's form, `sha256//BASE64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pin([u8; 32]);

/// The text is not a pin.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("'{0}' is not a pin: expected sha256//BASE64 or sha256.BASE64URL of 32 bytes")]
pub struct PinError(String);

impl Pin {
    /// The pin of a DER SubjectPublicKeyInfo.
    #[must_use]
    pub fn of_public_key(spki_der: &[u8]) -> Self {
        Self(Sha256::digest(spki_der).into())
    }

    /// Reads either form: `sha256//BASE64` (curl's) or `sha256.BASE64URL` (an address's).
    ///
    /// # Errors
    /// [`PinError`] for another prefix, alphabet or length.
    pub fn parse(text: &str) -> Result<Self, PinError> {
        let bytes = if let Some(rest) = text.strip_prefix("sha256//") {
            STANDARD.decode(rest).ok()
        } else {
            text.strip_prefix("sha256.").and_then(|rest| URL_SAFE_NO_PAD.decode(rest).ok())
        };
        bytes
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or_else(|| PinError(super::text::printable(text)))
    }

    /// The form that goes into an address: `sha256.` and unpadded base64url.
    #[must_use]
    pub fn to_address_form(&self) -> String {
        format!("sha256.{}", URL_SAFE_NO_PAD.encode(self.0))
    }

    /// The 32 bytes of the digest.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "sha256//{}", STANDARD.encode(self.0))
    }
}

/// The pins that are accepted for one server: never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinSet(Vec<Pin>);

impl PinSet {
    /// A set of at least one pin; `None` if `pins` is empty. Repeated pins count once.
    #[must_use]
    pub fn new(mut pins: Vec<Pin>) -> Option<Self> {
        let mut seen = Vec::with_capacity(pins.len());
        pins.retain(|pin| {
            !seen.contains(pin) && {
                seen.push(*pin);
                true
            }
        });
        if pins.is_empty() { None } else { Some(Self(pins)) }
    }

    /// True if `pin` is in the set. Pins are public values: the comparison need not be constant-time.
    #[must_use]
    pub fn contains(&self, pin: &Pin) -> bool {
        self.0.contains(pin)
    }

    /// The pins in the order they were given.
    pub fn iter(&self) -> impl Iterator<Item = &Pin> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_read_back() {
        let pin = Pin::of_public_key(b"not a key, but bytes");
        assert_eq!(Pin::parse(&pin.to_string()).unwrap(), pin);
        assert_eq!(Pin::parse(&pin.to_address_form()).unwrap(), pin);
    }

    #[test]
    fn wrong_lengths_prefixes_and_alphabets_are_refused() {
        let good = Pin::of_public_key(b"x").to_string();
        for bad in [
            "",
            "sha256//",
            "sha256//AAAA",
            "sha1//AAAA",
            &good[1..],
            &format!("{good}="),
            &good.replace("//", "/"),
            "sha256.!!!",
        ] {
            assert!(Pin::parse(bad).is_err(), "{bad}");
        }
    }
}
