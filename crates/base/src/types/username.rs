//! Account names as people type them and as record files are called.
//!
//! A name is also a file name (`accounts/NAME.db`) and a directory name, so it is one path
//! component and more: it never starts with a dot and has no spaces at its ends.

use std::fmt;

use thiserror::Error;

use super::path::check_name;
use super::text;

/// Longest name in bytes of UTF-8.
pub const MAX_USERNAME: usize = 64;

/// A validated account name: 1 to [`MAX_USERNAME`] bytes, composed (NFC) and compared byte by byte.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Username(String);

/// The text is not an account name.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error(
    "an account name has 1 to {MAX_USERNAME} bytes, no slash, colon, control character or leading dot, and no space at its ends"
)]
pub struct UsernameError;

impl Username {
    /// Parses a name; the same letters composed or not (`é` as one character or as two) make the
    /// same one.
    ///
    /// # Errors
    /// [`UsernameError`] if it is empty, longer than [`MAX_USERNAME`] bytes, not one valid path
    /// component, starts with a dot, has white space at an end, or has a `:` or `@`.
    pub fn parse(text: &str) -> Result<Self, UsernameError> {
        let composed = text::composed(text);
        let text = composed.as_str();
        let fits = text.len() <= MAX_USERNAME
            && check_name(text).is_ok()
            && !text.starts_with('.')
            && text.trim() == text
            && !text.contains([':', '@']);
        if fits { Ok(Self(text.to_owned())) } else { Err(UsernameError) }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Username {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_the_same_is_the_same() {
        let (composed, apart) = ("jos\u{e9}", "jose\u{301}");
        assert_eq!(Username::parse(composed), Username::parse(apart));
        assert_eq!(Username::parse(apart).unwrap().as_str(), composed);
        assert_ne!(Username::parse("jose"), Username::parse(composed));
    }

    #[test]
    fn names_are_file_names_and_nothing_else() {
        for good in ["ahpu", "o'neil", "张三", "a.b-c_d", &"x".repeat(64)] {
            assert!(Username::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            ".x",
            "a/b",
            "a\\b",
            "admin\0x",
            "a\n",
            " a",
            "a ",
            "a:b",
            "a@b",
            &"x".repeat(65),
        ] {
            assert_eq!(Username::parse(bad), Err(UsernameError), "{bad:?}");
        }
    }
}
