//! From the `homepath` of a record to a directory below the data directory.
//!
//! A Windows path is text to be mapped by rule, never joined: on Linux `D:\FTP\home\x` is a
//! perfectly good name for one odd directory. What no rule covers is refused, not guessed.

use std::fmt;

use thiserror::Error;

use sealane_base::types::RemotePath;
use sealane_base::types::path::{PathError, check_name};
use sealane_base::types::text::printable;

/// Directory below the data directory that holds the homes Sealane makes itself.
pub const DEFAULT_HOMES: &str = "homes";

/// A home: a relative path of at least two validated components, `/` between them, below the data
/// directory. Two, because it lies inside a directory for homes (`homes`) and is never that itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HomeDirectory(RemotePath);

/// The rules (`[[home_map]]`) that turn legacy homes into directories.
#[derive(Clone, Debug, Default)]
pub struct HomeMap {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
struct Rule {
    from: LegacyPath,
    to: Vec<String>,
}

/// Why a `homepath` has no directory.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum HomeError {
    /// A name in it has a colon, which on Windows names a second stream of a file.
    #[error("its homepath has a colon in a name")]
    Colon,
    /// A name in it is a device on Windows (`NUL`, `COM1` and others).
    #[error("its homepath has the name of a Windows device")]
    Device,
    /// `D:x`, which depends on the current directory of a drive.
    #[error("its homepath is relative to the current directory of a drive")]
    DriveRelative,
    /// A name in it starts with a dot: such names are ours.
    #[error("its homepath has a name that starts with a dot")]
    Hidden,
    /// A name in it ends with a dot or a space, which Windows drops.
    #[error("its homepath has a name that ends with a dot or a space")]
    TrailingDotOrSpace,
    /// It is not below a directory for homes but is that directory, or holds it.
    #[error("its homepath is a directory that holds other homes")]
    Holder,
    /// No rule covers it.
    #[error("no home_map rule covers its homepath '{0}'")]
    NoRule(String),
    /// It breaks a rule for paths.
    #[error("its homepath is not acceptable: {0}")]
    Path(#[from] PathError),
}

/// Why a `[[home_map]]` rule is not one.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum HomeRuleError {
    /// `from` is not an absolute path of Windows or Unix.
    #[error(
        "home_map from = '{0}' is not an absolute path such as 'D:\\FTP\\home', '\\\\server\\share' or '/srv/ftp'"
    )]
    From(String),
    /// `to` is not a relative path of plain names.
    #[error("home_map to = '{0}' is not a relative path of plain names such as 'homes'")]
    To(String),
}

/// An absolute path as legacy records have them, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
struct LegacyPath {
    root: Root,
    names: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Root {
    Drive(char),
    Network,
    Slash,
}

impl HomeDirectory {
    /// The relative path, `/` between its components.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The path, relative to the data directory.
    #[must_use]
    pub fn path(&self) -> &RemotePath {
        &self.0
    }

    /// The components in order; at least two.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.components()
    }
}

impl fmt::Display for HomeDirectory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl HomeMap {
    /// Checks and takes the rules, as pairs of `from` and `to`.
    ///
    /// # Errors
    /// [`HomeRuleError`] naming the side that is wrong.
    pub fn new<'a>(
        rules: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, HomeRuleError> {
        let rules = rules.into_iter().map(|(from, to)| {
            let legacy = LegacyPath::parse(from)
                .ok()
                .flatten()
                .ok_or_else(|| HomeRuleError::From(printable(from)))?;
            let names = plain_names(to).map_err(|_| HomeRuleError::To(printable(to)))?;
            Ok(Rule { from: legacy, to: names.into_iter().map(str::to_owned).collect() })
        });
        Ok(Self { rules: rules.collect::<Result<_, _>>()? })
    }

    /// The directory for a `homepath`. Of several rules that cover it, the one with the longest
    /// `from` counts. A relative path, as Sealane writes it, is taken as it is if it lies below
    /// [`DEFAULT_HOMES`] or a rule's `to`. No home is a rule's `to` itself: others live there.
    ///
    /// # Errors
    /// [`HomeError`]; the account must then be refused.
    pub fn resolve(&self, home_path: &str) -> Result<HomeDirectory, HomeError> {
        let Some(legacy) = LegacyPath::parse(home_path)? else {
            return self.resolve_relative(home_path);
        };
        let (rule, rest) = self
            .rules
            .iter()
            .filter_map(|rule| Some((rule, legacy.below(&rule.from)?)))
            .min_by_key(|(_, rest)| rest.len())
            .ok_or_else(|| HomeError::NoRule(printable(home_path)))?;
        for name in rest {
            check_home_name(name)?;
        }
        let mut names = rule.to_names();
        names.extend(rest.iter().map(String::as_str));
        self.unless_holder(&names)
    }

    fn resolve_relative(&self, text: &str) -> Result<HomeDirectory, HomeError> {
        let names = plain_names(text)?;
        let is_below = |root: &[&str]| names.starts_with(root);
        let is_covered =
            is_below(&[DEFAULT_HOMES]) || self.rules.iter().any(|rule| is_below(&rule.to_names()));
        if !is_covered {
            return Err(HomeError::NoRule(printable(text)));
        }
        self.unless_holder(&names)
    }

    /// Refuses a directory that is, or holds, one in which other homes lie.
    fn unless_holder(&self, names: &[&str]) -> Result<HomeDirectory, HomeError> {
        let holds = |root: &[&str]| root.starts_with(names);
        if holds(&[DEFAULT_HOMES]) || self.rules.iter().any(|rule| holds(&rule.to_names())) {
            return Err(HomeError::Holder);
        }
        Ok(HomeDirectory(RemotePath::parse(&names.join("/"))?))
    }
}

impl Rule {
    fn to_names(&self) -> Vec<&str> {
        self.to.iter().map(String::as_str).collect()
    }
}

impl LegacyPath {
    /// Takes an absolute path apart at `\` and `/`; `None` if it is relative. One separator at the
    /// end is allowed. Names are checked only as far as no rule could repair them.
    fn parse(text: &str) -> Result<Option<Self>, HomeError> {
        let is_separator = |character| character == '\\' || character == '/';
        let mut characters = text.chars();
        let first = characters.next();
        let second = characters.next();
        let (root, rest) = match (first, second) {
            (Some(a), Some(b)) if is_separator(a) && is_separator(b) => {
                (Root::Network, text.get(2..))
            }
            (Some(a), _) if is_separator(a) => (Root::Slash, text.get(1..)),
            (Some(letter), Some(':')) if letter.is_ascii_alphabetic() => {
                let rest = text.get(2..).and_then(|rest| rest.strip_prefix(is_separator));
                (
                    Root::Drive(letter.to_ascii_uppercase()),
                    Some(rest.ok_or(HomeError::DriveRelative)?),
                )
            }
            _ => return Ok(None),
        };
        let rest = rest.unwrap_or_default();
        let rest = rest.strip_suffix(is_separator).unwrap_or(rest);
        let names: Vec<String> = if rest.is_empty() {
            Vec::new()
        } else {
            rest.split(is_separator).map(str::to_owned).collect()
        };
        for name in &names {
            check_name(name)?;
        }
        Ok(Some(Self { root, names }))
    }

    /// The names below `from`, if this path is `from` or lies below it. Case does not count.
    fn below(&self, from: &Self) -> Option<&[String]> {
        let (head, rest) = self.names.split_at_checked(from.names.len())?;
        let is_same = |(a, b): (&String, &String)| a.to_lowercase() == b.to_lowercase();
        (self.root == from.root && head.iter().zip(&from.names).all(is_same)).then_some(rest)
    }
}

/// Splits a relative path at `/` into names that are good on every system.
fn plain_names(text: &str) -> Result<Vec<&str>, HomeError> {
    text.split('/').map(|name| check_home_name(name).map(|()| name)).collect()
}

fn check_home_name(name: &str) -> Result<(), HomeError> {
    check_name(name)?;
    if name.contains(':') {
        return Err(HomeError::Colon);
    }
    if name.ends_with(['.', ' ']) {
        return Err(HomeError::TrailingDotOrSpace);
    }
    if name.starts_with('.') {
        return Err(HomeError::Hidden);
    }
    if is_device(name) { Err(HomeError::Device) } else { Ok(()) }
}

/// True for names that mean a device on Windows, with any extension and in any case.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
    let numbered = stem.strip_prefix("COM").or_else(|| stem.strip_prefix("LPT"));
    matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$")
        || numbered.is_some_and(|rest| {
            let mut characters = rest.chars();
            let number = characters.next();
            characters.next().is_none()
                && number.is_some_and(|digit| digit.is_ascii_digit() || "¹²³".contains(digit))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map() -> HomeMap {
        HomeMap::new([
            (r"D:\FTP\home", "homes"),
            (r"D:\FTP\home\staff", "staff/homes"),
            (r"E:\", "homes"),
            (r"\\nas\ftp", "nas"),
            ("/srv/ftp/", "unix"),
        ])
        .unwrap()
    }

    #[test]
    fn rules_map_by_prefix() {
        for (text, home) in [
            (r"D:\FTP\home\ahpu", "homes/ahpu"),
            (r"d:\ftp\HOME\Ahpu\", "homes/Ahpu"),
            ("D:/FTP/home/ahpu", "homes/ahpu"),
            (r"D:\FTP/home\a\b c", "homes/a/b c"),
            (r"D:\FTP\home\staff\eve", "staff/homes/eve"),
            (r"D:\FTP\home\staffers", "homes/staffers"),
            (r"E:\solo", "homes/solo"),
            (r"\\NAS\ftp\bob", "nas/bob"),
            ("/srv/ftp/张三", "unix/张三"),
            ("homes/ahpu", "homes/ahpu"),
            ("staff/homes/eve", "staff/homes/eve"),
            ("nas/x/y", "nas/x/y"),
        ] {
            assert_eq!(map().resolve(text).unwrap().as_str(), home, "{text}");
        }
    }

    #[test]
    fn what_no_rule_covers_is_refused() {
        let no_rule = |text: &str| Err(HomeError::NoRule(text.into()));
        for text in [
            r"C:\FTP\home\ahpu",
            r"D:\FTP\homes\ahpu",
            r"D:\FTP",
            r"\\other\ftp\bob",
            r"\FTP\home\ahpu",
            "/etc",
            "ahpu",
            "home/ahpu",
            "homesx/ahpu",
        ] {
            assert_eq!(map().resolve(text), no_rule(text), "{text}");
        }
        assert_eq!(HomeMap::default().resolve(r"D:\FTP\home\ahpu"), no_rule(r"D:\FTP\home\ahpu"));
        assert!(HomeMap::default().resolve("homes/ahpu").is_ok());
    }

    #[test]
    fn every_trick_is_refused() {
        let empty = || HomeError::Path(PathError::EmptyComponent);
        let dots = || HomeError::Path(PathError::Dots);
        for (text, error) in [
            ("", empty()),
            ("homes//x", empty()),
            ("homes/x/", empty()),
            (r"D:\FTP\home\\ahpu", empty()),
            ("D:", HomeError::DriveRelative),
            (r"D:FTP\home\ahpu", HomeError::DriveRelative),
            (r"D:\FTP\home\..\x", dots()),
            (r"D:\FTP\home\..", dots()),
            (r"D:\FTP\..\FTP\home\x", dots()),
            ("homes/../x", dots()),
            (r"\\.\D:\FTP\home\x", dots()),
            (r"\\?\D:\FTP\home\x", HomeError::NoRule(r"\\?\D:\FTP\home\x".into())),
            (r"D:\FTP\home\a:b", HomeError::Colon),
            ("homes/a:b", HomeError::Colon),
            (r"D:\FTP\home\nul", HomeError::Device),
            (r"D:\FTP\home\Com1.txt", HomeError::Device),
            (r"D:\FTP\home\LPT²", HomeError::Device),
            ("homes/aux", HomeError::Device),
            (r"D:\FTP\home\x.", HomeError::TrailingDotOrSpace),
            (r"D:\FTP\home\x ", HomeError::TrailingDotOrSpace),
            (r"D:\FTP\home\...", HomeError::TrailingDotOrSpace),
            (r"D:\FTP\home\.x", HomeError::Hidden),
            (r"homes\ahpu", HomeError::Path(PathError::Forbidden(0x5c))),
            ("D:\\FTP\\home\\a\0b", HomeError::Path(PathError::Forbidden(0))),
            (r"D:\FTP\home", HomeError::Holder),
            ("homes", HomeError::Holder),
            ("staff/homes", HomeError::Holder),
            (r"E:\", HomeError::Holder),
            (r"\\nas\ftp", HomeError::Holder),
        ] {
            assert_eq!(map().resolve(text), Err(error), "{text:?}");
        }
        let deep = format!(r"D:\FTP\home\{}", vec!["d"; 64].join(r"\"));
        assert_eq!(map().resolve(&deep), Err(HomeError::Path(PathError::TooLong)));
        for fine in ["common", "com10", "nullable", "a.con"] {
            assert!(map().resolve(&format!("homes/{fine}")).is_ok(), "{fine}");
        }
    }

    #[test]
    fn a_home_never_holds_the_homes_of_others() {
        let map = HomeMap::new([(r"D:\a", "x/y"), (r"D:\b", "x/y/z/homes")]).unwrap();
        for holder in [r"D:\a", r"D:\b", r"D:\a\z", r"D:\a\z\homes", "x/y/z"] {
            assert_eq!(map.resolve(holder), Err(HomeError::Holder), "{holder}");
        }
        assert_eq!(map.resolve(r"D:\b\eve").unwrap().as_str(), "x/y/z/homes/eve");
    }

    #[test]
    fn wrong_rules_are_refused() {
        for from in ["", "home", "D:", "D:x", r"D:\a\..\b", r"D:\a\\b"] {
            assert_eq!(
                HomeMap::new([(from, "homes")]).unwrap_err(),
                HomeRuleError::From(from.into())
            );
        }
        for to in ["", "/homes", "..", "a/../b", r"a\b", "D:", "nul", "a/", ".x"] {
            assert_eq!(HomeMap::new([("/a", to)]).unwrap_err(), HomeRuleError::To(to.into()));
        }
    }
}
