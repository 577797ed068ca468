//! The bytes that an old program may have hashed for a password: old Windows programs took those of
//! the system's code page, not UTF-8.
//!
//! MD5 values are held against several. Argon2id over a password is over its UTF-8 with composed
//! letters (NFC), so that it does not matter where it is typed; one that was made of what was typed
//! is still recognised.

use encoding_rs::{BIG5, EUC_KR, Encoding, GBK, SHIFT_JIS, WINDOWS_1251, WINDOWS_1252};
use zeroize::Zeroizing;

use sealane_base::types::text::composed;

/// One way from a typed password to bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordEncoding {
    /// UTF-8.
    Utf8,
    /// GBK, the simplified Chinese code page of Windows (936).
    Gbk,
    /// Windows-1252, the Western European one.
    Cp1252,
    /// Windows-1251, the Cyrillic one.
    Cp1251,
    /// `Shift_JIS`, the Japanese one (932).
    ShiftJis,
    /// EUC-KR with the Korean extensions of Windows (949).
    EucKr,
    /// Big5, the traditional Chinese one (950).
    Big5,
}

impl PasswordEncoding {
    /// All of them, as they are called in the configuration.
    pub const ALL: [(&'static str, Self); 7] = [
        ("utf-8", Self::Utf8),
        ("gbk", Self::Gbk),
        ("cp1252", Self::Cp1252),
        ("cp1251", Self::Cp1251),
        ("shift_jis", Self::ShiftJis),
        ("euc-kr", Self::EucKr),
        ("big5", Self::Big5),
    ];

    /// The encoding that is called so in the configuration.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, encoding)| *encoding)
    }

    /// `None` if it has no bytes for one of the characters: then nobody can have typed them there.
    fn bytes(self, password: &str) -> Option<Zeroizing<Vec<u8>>> {
        let page: &'static Encoding = match self {
            Self::Utf8 => return Some(Zeroizing::new(password.as_bytes().to_vec())),
            Self::Gbk => GBK,
            Self::Cp1252 => WINDOWS_1252,
            Self::Cp1251 => WINDOWS_1251,
            Self::ShiftJis => SHIFT_JIS,
            Self::EucKr => EUC_KR,
            Self::Big5 => BIG5,
        };
        let (bytes, _, is_lossy) = page.encode(password);
        let bytes = Zeroizing::new(bytes.into_owned());
        (!is_lossy).then_some(bytes)
    }
}

/// What `password` is in each of `encodings`, as it was typed and with composed letters, in their
/// order, the same bytes once. How many there are depends on what was typed alone, never on a
/// record.
pub(super) fn forms(encodings: &[PasswordEncoding], password: &str) -> Vec<Zeroizing<Vec<u8>>> {
    let mut forms: Vec<Zeroizing<Vec<u8>>> = Vec::with_capacity(2 * encodings.len());
    let composed = composed(password);
    for encoding in encodings {
        for bytes in [composed.as_str(), password].iter().filter_map(|text| encoding.bytes(text)) {
            if !forms.contains(&bytes) {
                forms.push(bytes);
            }
        }
    }
    forms
}

/// What argon2id may be over for `password`: its composed form, which new hashes are of, and what
/// was typed.
pub(super) fn native_forms(password: &str) -> Vec<Zeroizing<Vec<u8>>> {
    forms(&[PasswordEncoding::Utf8], password)
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
        assert_eq!(PasswordEncoding::parse("cp437"), None);
    }

    #[test]
    fn every_code_page_has_its_own_bytes() {
        for (name, text, bytes) in [
            ("cp1252", "é€", &b"\xe9\x80"[..]),
            ("cp1251", "Ж", b"\xc6"),
            ("shift_jis", "日本", b"\x93\xfa\x96\x7b"),
            ("euc-kr", "한", b"\xc7\xd1"),
            ("big5", "中", b"\xa4\xa4"),
            ("gbk", "中", b"\xd6\xd0"),
        ] {
            let encoding = PasswordEncoding::parse(name).unwrap();
            let forms = forms(&[encoding], text);
            assert_eq!(forms.iter().map(|form| form.as_slice()).collect::<Vec<_>>(), [bytes]);
            assert!(PasswordEncoding::ALL.contains(&(name, encoding)));
        }
    }

    #[test]
    fn letters_that_were_typed_apart_have_both_forms() {
        let both = [PasswordEncoding::Utf8, PasswordEncoding::Cp1252];
        let of =
            |password: &str| forms(&both, password).iter().map(|f| f.to_vec()).collect::<Vec<_>>();
        assert_eq!(of("\u{e9}"), [&b"\xc3\xa9"[..], b"\xe9"]);
        assert_eq!(of("e\u{301}"), [&b"\xc3\xa9"[..], b"e\xcc\x81", b"\xe9"]);
        assert_eq!(native_forms("e\u{301}").len(), 2);
        assert_eq!(native_forms("secret").len(), 1);
    }
}
