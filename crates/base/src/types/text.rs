//! Which characters may reach a terminal or a log.
//!
//! It escapes; it does not decide where text goes.

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

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn nothing_that_moves_a_cursor_survives() {
        assert_eq!(printable("a\u{1b}[2Jb\r\u{202e}c"), "a\\u{1b}[2Jb\\u{d}\\u{202e}c");
        assert_eq!(printable("plain é 名"), "plain é 名");
    }
}
