//! Paths as peers name them: relative to a home, `/`-separated, validated once.
//!
//! A `RemotePath` can neither leave the directory it is opened under by its text alone nor carry
//! bytes that confuse a terminal, a log or another file system. Symbolic links are not its
//! business: `storage` resolves paths through directory handles.

use std::fmt;

use thiserror::Error;

use super::text;

/// Longest component in bytes.
pub const MAX_COMPONENT: usize = 255;
/// Most components in one path.
pub const MAX_COMPONENTS: usize = 64;
/// Most levels of directories below a home: what a path can name below the part of a home that a
/// path can name.
pub const MAX_LEVELS: usize = 2 * MAX_COMPONENTS;
/// Longest whole path in bytes.
pub const MAX_PATH: usize = 4096;

/// A validated path inside a home; the empty path is the home itself.
///
/// UTF-8, at most [`MAX_PATH`] bytes in at most [`MAX_COMPONENTS`] components of 1 to
/// [`MAX_COMPONENT`] bytes; no `.` or `..`, no backslash, control or bidirectional-override
/// character. `Display` prints it without a leading slash.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct RemotePath(String);

/// Why a text is not a [`RemotePath`]. The text itself is not repeated: it may be hostile.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum PathError {
    /// A component is `.` or `..`.
    #[error("the path has a '.' or '..' component")]
    Dots,
    /// Two slashes in a row.
    #[error("the path has an empty component")]
    EmptyComponent,
    /// NUL, control, bidirectional-override or backslash.
    #[error("the path has a character that is not allowed (U+{0:04X})")]
    Forbidden(u32),
    /// Longer than [`MAX_PATH`], or more than [`MAX_COMPONENTS`] components.
    #[error("the path is longer than {MAX_PATH} bytes or deeper than {MAX_COMPONENTS} components")]
    TooLong,
    /// A component longer than [`MAX_COMPONENT`] bytes.
    #[error("a name in the path is longer than {MAX_COMPONENT} bytes ({0})")]
    NameTooLong(usize),
    /// [`KEPT`].
    #[error("the name '{KEPT}' is kept for the server")]
    Kept,
    /// Not UTF-8.
    #[error("the path is not UTF-8")]
    NotUtf8,
}

impl RemotePath {
    /// Parses a path; one leading and one trailing slash are allowed and dropped.
    ///
    /// # Errors
    /// [`PathError`] for anything that is not as described on [`RemotePath`].
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let text = text.strip_prefix('/').unwrap_or(text);
        let text = text.strip_suffix('/').unwrap_or(text);
        if text.len() > MAX_PATH {
            return Err(PathError::TooLong);
        }
        if text.is_empty() {
            return Ok(Self::default());
        }
        let mut components = 0;
        for component in text.split('/') {
            check_name(component)?;
            components += 1;
        }
        if components > MAX_COMPONENTS {
            return Err(PathError::TooLong);
        }
        Ok(Self(text.to_owned()))
    }

    /// As [`RemotePath::parse`], for a path as people type it: empty components and `.` mean
    /// nothing, as to a shell.
    ///
    /// # Errors
    /// [`PathError`].
    pub fn parse_typed(text: &str) -> Result<Self, PathError> {
        let components: Vec<_> =
            text.split('/').filter(|component| !matches!(*component, "" | ".")).collect();
        Self::parse(&components.join("/"))
    }

    /// True if a path as it is typed means a directory: nothing, or a slash or `.` at its end.
    #[must_use]
    pub fn means_directory(text: &str) -> bool {
        text.rsplit('/').next().is_none_or(|last| matches!(last, "" | "."))
    }

    /// True for the home itself.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The text, without leading or trailing slash; empty for the home itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The components in order; none for the home itself.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|component| !component.is_empty())
    }

    /// The last component, or `None` for the home itself.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.components().last()
    }

    /// The path of the directory that holds this one; `None` for the home itself.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        let end = self.0.rfind('/').unwrap_or(0);
        Some(Self(self.0.get(..end).unwrap_or_default().to_owned()))
    }

    /// The path of `name` inside this directory.
    ///
    /// # Errors
    /// [`PathError`] if `name` is not one valid component or the result is too long.
    pub fn join(&self, name: &str) -> Result<Self, PathError> {
        check_name(name)?;
        if self.is_root() { Self::parse(name) } else { Self::parse(&format!("{}/{name}", self.0)) }
    }

    /// The path of `inner` seen from where this directory is seen.
    ///
    /// # Errors
    /// [`PathError::TooLong`].
    pub fn prefix(&self, inner: &Self) -> Result<Self, PathError> {
        match (self.is_root(), inner.is_root()) {
            (true, _) => Ok(inner.clone()),
            (_, true) => Ok(self.clone()),
            _ => Self::parse(&format!("{}/{}", self.0, inner.0)),
        }
    }

    /// The opposite of [`RemotePath::prefix`]: `whole` seen from this directory, if it lies in it.
    #[must_use]
    pub fn strip(&self, whole: &Self) -> Option<Self> {
        if !self.contains(whole) {
            return None;
        }
        let rest = whole.0.get(self.0.len()..).unwrap_or_default();
        Some(Self(rest.strip_prefix('/').unwrap_or(rest).to_owned()))
    }

    /// True if `other` is this path or lies below it.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        self.is_root()
            || other.0 == self.0
            || other.0.strip_prefix(&self.0).is_some_and(|rest| rest.starts_with('/'))
    }
}

impl fmt::Display for RemotePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.is_root() { "/" } else { &self.0 })
    }
}

/// The directory that a home on a file system of its own keeps for the server: no path names it.
pub const KEPT: &str = ".sealane-partials";

/// Checks that `name` is one component that a home may hold.
///
/// # Errors
/// [`PathError`] naming the first rule it breaks.
pub fn check_name(name: &str) -> Result<(), PathError> {
    if name.is_empty() {
        return Err(PathError::EmptyComponent);
    }
    if name == "." || name == ".." {
        return Err(PathError::Dots);
    }
    if name == KEPT {
        return Err(PathError::Kept);
    }
    if name.len() > MAX_COMPONENT {
        return Err(PathError::NameTooLong(name.len()));
    }
    match name
        .chars()
        .find(|&character| matches!(character, '/' | '\\') || text::is_unprintable(character))
    {
        Some(character) => Err(PathError::Forbidden(u32::from(character))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn slashes_at_the_ends_do_not_matter() {
        for text in ["a/b", "/a/b", "a/b/", "/a/b/"] {
            assert_eq!(RemotePath::parse(text).unwrap().as_str(), "a/b");
        }
        assert!(RemotePath::parse("/").unwrap().is_root());
        assert!(RemotePath::parse("").unwrap().is_root());
    }

    #[test]
    fn each_bad_text_has_its_own_refusal() {
        let long = "x".repeat(256);
        let deep = "d/".repeat(65);
        let huge = ["y"; 3000].join("/");
        for (text, error) in [
            ("..", PathError::Dots),
            ("a/../b", PathError::Dots),
            ("./a", PathError::Dots),
            ("a//b", PathError::EmptyComponent),
            ("//a", PathError::EmptyComponent),
            ("a\0b", PathError::Forbidden(0)),
            ("a\\b", PathError::Forbidden(0x5c)),
            ("a\u{1b}[2J", PathError::Forbidden(0x1b)),
            ("a\u{9b}", PathError::Forbidden(0x9b)),
            ("gpj.\u{202e}exe", PathError::Forbidden(0x202e)),
            (long.as_str(), PathError::NameTooLong(256)),
            (deep.as_str(), PathError::TooLong),
            (huge.as_str(), PathError::TooLong),
        ] {
            assert_eq!(RemotePath::parse(text), Err(error), "{text:?}");
        }
        assert!(RemotePath::parse(&"x".repeat(255)).is_ok());
    }

    #[test]
    fn parents_names_and_joins_agree() {
        let path = RemotePath::parse("a/b/c.txt").unwrap();
        assert_eq!(path.name(), Some("c.txt"));
        assert_eq!(path.parent().unwrap().as_str(), "a/b");
        assert_eq!(path.parent().unwrap().join("c.txt").unwrap(), path);
        assert_eq!(RemotePath::default().parent(), None);
        assert_eq!(RemotePath::default().join("a").unwrap().parent(), Some(RemotePath::default()));
        assert!(RemotePath::default().join("a/b").is_err());
        assert!(RemotePath::parse("a/b").unwrap().contains(&path));
        assert!(!RemotePath::parse("a/b/c").unwrap().contains(&path));
    }

    #[test]
    fn a_path_in_a_directory_is_seen_from_there_and_back() {
        let at = |text: &str| RemotePath::parse(text).unwrap();
        for (base, inner, whole) in [("", "x", "x"), ("a", "", "a"), ("a/b", "c/d", "a/b/c/d")] {
            assert_eq!(at(base).prefix(&at(inner)), Ok(at(whole)));
            assert_eq!(at(base).strip(&at(whole)), Some(at(inner)));
        }
        for (base, outside) in [("a", ""), ("a", "ab"), ("a/b", "a"), ("a/b", "a/c")] {
            assert_eq!(at(base).strip(&at(outside)), None);
        }
        let deep = at(&["d"; 40].join("/"));
        assert_eq!(deep.prefix(&deep), Err(PathError::TooLong));
    }

    proptest! {
        #[test]
        fn what_parses_has_only_harmless_components(text in "[a-z./\\\\\u{0}\u{202e}é]{0,24}") {
            if let Ok(path) = RemotePath::parse(&text) {
                for component in path.components() {
                    prop_assert!(check_name(component).is_ok());
                }
                prop_assert_eq!(RemotePath::parse(path.as_str()), Ok(path.clone()));
            }
        }
    }

    #[test]
    fn what_is_typed_may_have_slashes_and_dots_that_mean_nothing() {
        for typed in ["n//f", "./n/f", "n/./f", "/n/f", "//n/f//", "n/f/."] {
            assert_eq!(RemotePath::parse_typed(typed).unwrap().as_str(), "n/f", "{typed}");
        }
        for root in ["", "/", ".", "./", "//"] {
            assert!(RemotePath::parse_typed(root).unwrap().is_root(), "{root}");
            assert!(RemotePath::means_directory(root), "{root}");
        }
        assert_eq!(RemotePath::parse_typed("n/../f"), Err(PathError::Dots));
        assert!(RemotePath::means_directory("n/") && RemotePath::means_directory("n/."));
        assert!(!RemotePath::means_directory("n") && !RemotePath::means_directory("n/.x"));
        // From a peer, none of it is taken.
        assert!(RemotePath::parse("n//f").is_err() && RemotePath::parse("./n").is_err());
    }
}
