//! The bytes that an old program may have hashed for a password: old Windows programs took those of
//! the system's code page, not UTF-8.
//!
//! Only MD5 values are held against several; argon2id over a password is over its UTF-8.

use encoding_rs::GBK;
use zeroize::Zeroizing;

/// One way from a typed password to bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordEncoding {
    /// UTF-8.
    Utf8,
    /// GBK, the simplified Chinese code page of Windows (936).
    Gbk,
}

impl PasswordEncoding {
    /// The encoding that is called so in the configuration: `utf-8` or `gbk`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "utf-8" => Some(Self::Utf8),
            "gbk" => Some(Self::Gbk),
            _ => None,
        }
    }

    /// `None` if it has no bytes for one of the characters: then nobody can have typed them there.
    fn bytes(self, password: &str) -> Option<Zeroizing<Vec<u8>>> {
        match self {
            Self::Utf8 => Some(Zeroizing::new(password.as_bytes().to_vec())),
            Self::Gbk => {
                let (bytes, _, is_lossy) = GBK.encode(password);
                let bytes = Zeroizing::new(bytes.into_owned());
                (!is_lossy).then_some(bytes)
            }
        }
    }
}

/// What `password` is in each of `encodings`, in their order, the same bytes once. How many there
/// are depends on what was typed alone, never on a record.
pub(super) fn forms(encodings: &[PasswordEncoding], password: &str) -> Vec<Zeroizing<Vec<u8>>> {
    let mut forms: Vec<Zeroizing<Vec<u8>>> = Vec::with_capacity(encodings.len());
    for bytes in encodings.iter().filter_map(|encoding| encoding.bytes(password)) {
        if !forms.contains(&bytes) {
            forms.push(bytes);
        }
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ascii_has_one_form_and_chinese_two() {
        let both = [PasswordEncoding::Utf8, PasswordEncoding::Gbk];
        let of =
            |password: &str| forms(&both, password).iter().map(|f| f.to_vec()).collect::<Vec<_>>();
        assert_eq!(of("secret"), [b"secret"]);
        assert_eq!(of("\u{5f20}\u{4e09}"), ["\u{5f20}\u{4e09}".as_bytes(), b"\xd5\xc5\xc8\xfd"]);
        // No byte of GBK stands for it.
        assert_eq!(of("\u{10348}").len(), 1);
        assert_eq!(forms(&[PasswordEncoding::Gbk], "\u{10348}").len(), 0);
        assert_eq!(PasswordEncoding::parse("big5"), None);
    }
}
