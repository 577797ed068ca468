//! Patterns of what a tree is walked without, as `rsync --exclude` takes them.
//!
//! `*` and `?` stand for anything but a slash, `**` for anything, `[a-z]` and `[!a-z]` for one
//! character. A pattern with a slash in it is for the whole path from the top of the tree, any
//! other for the last name; a slash at its end means directories only.

use thiserror::Error;

use sealane_base::types::RemotePath;

/// What is left out of a tree. The default leaves out nothing.
#[derive(Clone, Debug, Default)]
pub struct Exclude(Vec<Pattern>);

/// A pattern that cannot be read.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("'{0}' is no pattern: it is empty, or a [ is not closed")]
pub struct BadPattern(String);

#[derive(Clone, Debug)]
struct Pattern {
    marks: Vec<Mark>,
    whole_path: bool,
    directories_only: bool,
}

#[derive(Clone, Debug)]
enum Mark {
    Is(char),
    Any,
    OneOf { ranges: Vec<(char, char)>, inverted: bool },
    Run,
    RunOverSlashes,
}

impl Exclude {
    /// Reads patterns.
    ///
    /// # Errors
    /// [`BadPattern`] for the first one that is none.
    pub fn new<T: AsRef<str>>(patterns: &[T]) -> Result<Self, BadPattern> {
        let read = |text: &T| {
            let text = text.as_ref();
            Pattern::read(text).ok_or_else(|| BadPattern(text.to_owned()))
        };
        patterns.iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// True if `path` is left out.
    #[must_use]
    pub fn matches(&self, path: &RemotePath, is_directory: bool) -> bool {
        self.matches_text(path.as_str(), is_directory)
    }

    /// As [`Exclude::matches`], for a path that need not be one: what cannot be sent can be left
    /// out.
    #[must_use]
    pub fn matches_text(&self, path: &str, is_directory: bool) -> bool {
        let name = path.rsplit('/').next().unwrap_or_default();
        self.0.iter().any(|pattern| {
            let text = if pattern.whole_path { path } else { name };
            (is_directory || !pattern.directories_only) && pattern.is_for(text)
        })
    }
}

impl Pattern {
    fn read(text: &str) -> Option<Self> {
        let directories_only = text.ends_with('/');
        let body = text.strip_suffix('/').unwrap_or(text);
        let whole_path = body.contains('/');
        let body = body.strip_prefix('/').unwrap_or(body);
        let mut marks = Vec::new();
        let mut rest = body.chars().peekable();
        while let Some(character) = rest.next() {
            marks.push(match character {
                '*' if rest.next_if_eq(&'*').is_some() => Mark::RunOverSlashes,
                '*' => Mark::Run,
                '?' => Mark::Any,
                '[' => one_of(&mut rest)?,
                '\\' => Mark::Is(rest.next()?),
                other => Mark::Is(other),
            });
        }
        (!marks.is_empty()).then_some(Self { marks, whole_path, directories_only })
    }

    /// Keeps the set of places in the pattern that the text so far can have led to, so that no
    /// pattern takes longer than its length times the text's.
    fn is_for(&self, text: &str) -> bool {
        let mut places = vec![false; self.marks.len() + 1];
        if let Some(start) = places.first_mut() {
            *start = true;
        }
        self.skip_runs(&mut places);
        for character in text.chars() {
            let mut next = vec![false; places.len()];
            for (place, mark) in self.marks.iter().enumerate() {
                if places.get(place) != Some(&true) {
                    continue;
                }
                let (stays, goes) = mark.takes(character);
                for (at, reached) in [(place, stays), (place + 1, goes)] {
                    if let Some(slot) = next.get_mut(at) {
                        *slot |= reached;
                    }
                }
            }
            places = next;
            self.skip_runs(&mut places);
        }
        places.last() == Some(&true)
    }

    /// A run may stand for nothing.
    fn skip_runs(&self, places: &mut [bool]) {
        for (place, mark) in self.marks.iter().enumerate() {
            let is_run = matches!(mark, Mark::Run | Mark::RunOverSlashes);
            if is_run
                && places.get(place) == Some(&true)
                && let Some(next) = places.get_mut(place + 1)
            {
                *next = true;
            }
        }
    }
}

impl Mark {
    /// Whether it can take `character` and stay, and take it and be done.
    fn takes(&self, character: char) -> (bool, bool) {
        match self {
            Self::Is(wanted) => (false, *wanted == character),
            Self::Any => (false, character != '/'),
            Self::OneOf { ranges, inverted } => {
                let inside = ranges.iter().any(|(low, high)| (low..=high).contains(&&character));
                (false, inside != *inverted && character != '/')
            }
            Self::Run => (character != '/', false),
            Self::RunOverSlashes => (true, false),
        }
    }
}

fn one_of(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Mark> {
    let inverted = rest.next_if(|&mark| mark == '!' || mark == '^').is_some();
    let mut ranges = Vec::new();
    loop {
        let low = rest.next()?;
        if low == ']' && !ranges.is_empty() {
            return Some(Mark::OneOf { ranges, inverted });
        }
        if rest.next_if_eq(&'-').is_none() {
            ranges.push((low, low));
        } else if rest.peek() == Some(&']') {
            ranges.extend([(low, low), ('-', '-')]);
        } else {
            ranges.push((low, rest.next()?));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excluded(pattern: &str, path: &str, is_directory: bool) -> bool {
        let exclude = Exclude::new(&[pattern]).unwrap();
        exclude.matches(&RemotePath::parse(path).unwrap(), is_directory)
    }

    #[test]
    fn patterns_mean_what_rsync_means_by_them() {
        for (pattern, path, is_directory, expected) in [
            ("*.o", "a/b.o", false, true),
            ("*.o", "a.o/b", false, false),
            ("*", "a/b", false, true),
            ("?.c", "x.c", false, true),
            ("?.c", "xy.c", false, false),
            ("/a/*", "a/b", false, true),
            ("/a/*", "a/b/c", false, false),
            ("/a/**", "a/b/c", false, true),
            ("/a", "b/a", false, false),
            ("**/c", "a/b/c", false, true),
            ("target/", "x/target", true, true),
            ("target/", "x/target", false, false),
            ("[a-c]x", "bx", false, true),
            ("[!a-c]x", "bx", false, false),
            ("[]-]", "-", false, true),
            ("\\*", "*", false, true),
            ("\\*", "a", false, false),
            ("é?", "éé", false, true),
        ] {
            assert_eq!(excluded(pattern, path, is_directory), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_named() {
        for pattern in ["", "/", "[abc", "x\\"] {
            assert_eq!(Exclude::new(&[pattern]).unwrap_err(), BadPattern(pattern.to_owned()));
        }
    }

    #[test]
    fn a_nasty_pattern_takes_no_longer_than_its_length_allows() {
        let pattern = "*a".repeat(100) + "b";
        assert!(!excluded(&pattern, &"a".repeat(250), false));
    }
}
