//! Byte counts as people write and read them: `10M` is 10 × 1024 × 1024.
//!
//! Powers of 1024 throughout, as in curl, rsync and rclone.

use thiserror::Error;

const UNITS: [(char, u32); 4] = [('K', 10), ('M', 20), ('G', 30), ('T', 40)];

/// The text is not a size.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "'{0}' is not a size: expected a whole number of bytes, or one with K, M, G or T (powers of 1024)"
)]
pub struct SizeError(String);

/// Reads `4096`, `10K`, `10M`, `2G`, `1T`, also with `iB` or `B` behind the letter, in any case.
///
/// # Errors
/// [`SizeError`] for anything else and for what does not fit 64 bits.
pub fn parse(text: &str) -> Result<u64, SizeError> {
    let wrong = || SizeError(super::text::printable(text));
    let upper = text.trim().to_ascii_uppercase();
    let digits = upper.find(|character: char| !character.is_ascii_digit()).unwrap_or(upper.len());
    let (number, unit) = upper.split_at(digits);
    let shift = match unit.trim_end_matches("IB").trim_end_matches('B') {
        "" if matches!(unit, "" | "B") => 0,
        letter => UNITS
            .iter()
            .find(|(name, _)| letter.len() == 1 && letter.starts_with(*name))
            .map(|(_, shift)| *shift)
            .ok_or_else(wrong)?,
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

/// Writes a byte count for people: `0 B`, `1023 B`, `1.5 MiB`.
#[must_use]
pub fn human(bytes: u64) -> String {
    match UNITS.iter().rev().find(|(_, shift)| bytes >> shift > 0) {
        None => format!("{bytes} B"),
        Some((name, shift)) => {
            let tenths = (u128::from(bytes) * 10) >> shift;
            format!("{}.{} {name}iB", tenths / 10, tenths % 10)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("10K", 10 << 10),
            ("10m", 10 << 20),
            ("2GiB", 2 << 30),
            ("1tb", 1 << 40),
            ("7B", 7),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for text in ["", "M", "-1", "1.5G", "10X", "10KM", "10IB", "99999999T", "1 0"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn people_read_one_decimal() {
        assert_eq!(human(0), "0 B");
        assert_eq!(human(1023), "1023 B");
        assert_eq!(human(1536), "1.5 KiB");
        assert_eq!(human(5 << 30), "5.0 GiB");
        assert_eq!(human(u64::MAX), "16777215.9 TiB");
    }
}
