//! Application tokens: secrets that log a program in where it cannot prove a key.
//!
//! A token is 160 random bits, shown once. The record keeps its SHA-256 in the list of keys, with
//! all that a key's entry may say; nothing that the record holds logs in.

use sealane_base::types::{Pin, Secret};

/// How a token begins, so that people and scanners for secrets know one.
const BEGINNING: &str = "slt_";
const BYTES: usize = 20;

/// A new token, and the pin by which its account knows it.
///
/// # Errors
/// The system has no randomness.
pub fn new_token() -> Result<(Secret, Pin), getrandom::Error> {
    let mut bytes = zeroize::Zeroizing::new([0u8; BYTES]);
    getrandom::fill(&mut *bytes)?;
    let mut text = String::with_capacity(BEGINNING.len() + 2 * BYTES);
    text.push_str(BEGINNING);
    for byte in bytes.iter() {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(digit.into(), 16).unwrap_or('0'));
        }
    }
    let pin = Pin::of_public_key(text.as_bytes());
    Ok((Secret::new(text), pin))
}

/// The pin of a token; `None` if `text` does not look like one.
#[must_use]
pub fn pin_of_token(text: &str) -> Option<Pin> {
    let digits = text.strip_prefix(BEGINNING)?;
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let is_token = digits.len() == 2 * BYTES && digits.bytes().all(is_digit);
    is_token.then(|| Pin::of_public_key(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_form_and_none_is_like_another() {
        let ((one, pin), (other, _)) = (new_token().unwrap(), new_token().unwrap());
        assert_eq!(pin_of_token(one.expose()), Some(pin));
        assert_ne!(one.expose(), other.expose());
        for text in ["", "slt_", "slt_00", &one.expose()[4..], &one.expose().to_uppercase()] {
            assert_eq!(pin_of_token(text), None, "{text}");
        }
    }
}
