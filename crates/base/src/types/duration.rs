//! Spans of time as people write them: `90`, `90s`, `5m`, `2h`.

use std::time::Duration;

use thiserror::Error;

const UNITS: [(&str, u64); 5] = [("", 1), ("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];

/// The text is not a span of time.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "'{0}' is not a span of time: expected a whole number of seconds, or one with s, m, h or d"
)]
pub struct DurationError(String);

/// Reads a whole number of seconds, or of what the letter behind it says.
///
/// # Errors
/// [`DurationError`] for anything else and for more than 100 years.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let wrong = || DurationError(super::text::printable(text));
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = number.checked_mul(*factor).filter(|seconds| *seconds <= 36_525 * 86_400);
    seconds.map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_a_letter() {
        for (text, seconds) in [("0", 0), ("90", 90), ("90s", 90), ("5m", 300), ("2h", 7200)] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(parse("1d").unwrap().as_secs(), 86_400);
        for text in ["", "m", "-1", "1.5h", "5 m", "5M", "1y", "99999999999d"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
