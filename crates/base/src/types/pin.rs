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

    /// The form for reading aloud: eight groups of seven characters A–Z and 2–7, each pair of
    /// groups ending in a check character (Luhn modulo 32), as Syncthing writes its device ids.
    #[must_use]
    pub fn read_aloud(&self) -> String {
        let letters: Vec<usize> = base32(&self.0).collect();
        let with_checks: Vec<char> = letters
            .chunks(13)
            .flat_map(|chunk| chunk.iter().copied().chain([check_character(chunk)]))
            .filter_map(|letter| ALPHABET.get(letter).map(|byte| char::from(*byte)))
            .collect();
        let groups: Vec<String> =
            with_checks.chunks(7).map(|group| group.iter().collect()).collect();
        groups.join("-")
    }

    /// The pin as a host name to ask a server for (`p-BASE32.invalid`): one that has several keys
    /// answers with this one.
    #[must_use]
    pub fn to_server_name(&self) -> String {
        let letters = base32(&self.0).filter_map(|letter| ALPHABET.get(letter));
        let text: String = letters.map(|byte| char::from(byte.to_ascii_lowercase())).collect();
        format!("p-{text}.invalid")
    }

    /// The 32 bytes of the digest.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// RFC 4648 §6.
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The base32 letters of `bytes` as numbers, the last one filled up with zero bits.
fn base32(bytes: &[u8; 32]) -> impl Iterator<Item = usize> {
    let bit = |at: usize| bytes.get(at / 8).map_or(0, |byte| usize::from(byte >> (7 - at % 8) & 1));
    (0..52).map(move |letter| (0..5).fold(0, |value, at| value << 1 | bit(letter * 5 + at)))
}

fn check_character(letters: &[usize]) -> usize {
    let sum: usize = letters
        .iter()
        .enumerate()
        .map(|(at, letter)| letter * (1 + at % 2))
        .map(|addend| addend / 32 + addend % 32)
        .sum();
    (32 - sum % 32) % 32
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

    /// True if `pin` is in the set. Pins are public values: the comparison need not be
    /// constant-time.
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
    fn the_form_for_reading_aloud_is_that_of_syncthing() {
        // Syncthing, dev/device-ids.rst: the device id of a certificate whose SHA-256 is this.
        let id = "MFZWI3D-BONSGYC-YLTMRWG-C43ENR5-QXGZDMM-FZWI3DP-BONSGYY-LTMRWAD";
        let letters: String = id.replace('-', "");
        let mut bits = Vec::new();
        for (at, letter) in letters.chars().enumerate() {
            if at % 14 != 13 {
                let value = ALPHABET.iter().position(|byte| char::from(*byte) == letter).unwrap();
                bits.extend((0..5).rev().map(|bit| (value >> bit & 1) as u8));
            }
        }
        let bytes: Vec<u8> = bits
            .chunks(8)
            .take(32)
            .map(|bits| bits.iter().fold(0, |n, bit| n << 1 | bit))
            .collect();
        let pin = Pin(bytes.try_into().unwrap());
        assert_eq!(pin.read_aloud(), id);
        assert_eq!(pin.to_server_name().len(), 2 + 52 + 8);
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
