//! Which characters may reach a terminal or a log; and one spelling of letters that have two.
//!
//! It escapes and composes; it does not decide where text goes.

use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

/// The name of events of the log that any peer can cause any number of times: who writes the log
/// may count them instead.
pub const REPEATED: &str = "repeated";

/// True for control characters and for those that change the direction of text around them
/// (U+061C, U+200E–F, U+2028–E, U+2066–9): they can make a name look like another one.
#[must_use]
pub fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(u32::from(character), 0x061c | 0x200e..=0x200f | 0x2028..=0x202e | 0x2066..=0x2069 | 0xfeff)
}

/// `text` with every unprintable character written as `\u{…}`, safe to print and to log.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if is_unprintable(character) {
            safe.extend(character.escape_unicode());
        } else {
            safe.push(character);
        }
    }
    safe
}

/// `json` with every unprintable character in its strings written as `\uXXXX`: it says the same to
/// a program, and moves no cursor of a person who looks at it.
#[must_use]
pub fn json_printable(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for character in json.chars() {
        // Between strings there may be ends of lines.
        if character != '\n' && is_unprintable(character) {
            // All of them are of one unit of UTF-16.
            safe.push_str(&format!("\\u{:04x}", u32::from(character)));
        } else {
            safe.push(character);
        }
    }
    safe
}

/// `text` with its letters composed (NFC): `é` as one character, as most keyboards give it. Wiped
/// when dropped.
#[must_use]
pub fn composed(text: &str) -> Zeroizing<String> {
    // No character grows beyond three times its bytes; a string that grew would leave copies
    // behind.
    let mut composed = Zeroizing::new(String::with_capacity(text.len().saturating_mul(3)));
    composed.extend(text.nfc());
    composed
}

#[cfg(test)]
mod tests {
    use super::{composed, is_unprintable, json_printable, printable};

    #[test]
    fn json_says_the_same_without_an_unprintable_character() {
        let json = "[\n  \"a\u{7f}\u{85}\u{202e}\u{2066}\u{feff}é\"\n]\n";
        let safe = "[\n  \"a\\u007f\\u0085\\u202e\\u2066\\ufeffé\"\n]\n";
        assert_eq!(json_printable(json), safe);
        // One unit of UTF-16 is enough for each of them.
        let mut odd = ('\0'..=char::MAX).filter(|one| is_unprintable(*one));
        assert!(odd.all(|one| one <= '\u{ffff}'));
    }

    #[test]
    fn letters_are_composed_and_nothing_grows_beyond_what_was_reserved() {
        assert_eq!(composed("cafe\u{301}").as_str(), "caf\u{e9}");
        for character in '\0'..=char::MAX {
            let text = character.to_string();
            assert!(composed(&text).len() <= 3 * text.len(), "{character:?}");
        }
    }

    #[test]
    fn nothing_that_moves_a_cursor_survives() {
        assert_eq!(printable("a\u{1b}[2Jb\r\u{202e}c"), "a\\u{1b}[2Jb\\u{d}\\u{202e}c");
        assert_eq!(printable("plain é 名"), "plain é 名");
    }
}
