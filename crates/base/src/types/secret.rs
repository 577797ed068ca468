//! Text that must not be printed: passwords.
//!
//! Wiped from memory when dropped; `Debug` shows stars and there is no `Display`.

use std::fmt;

use zeroize::Zeroizing;

/// A password or another secret text. [`Secret::expose`] is the only way to its bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes ownership of `text`, which is wiped when the secret is dropped.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The secret text, for the one call that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn debug_shows_stars_only() {
        assert_eq!(format!("{:?}", Secret::new("111111".into())), "Secret(***)");
    }
}
