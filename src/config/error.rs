//! What can be wrong with a configuration file, always with the place.

use std::fmt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::locate;
use sealane_base::fsio::FsError;
use sealane_base::types::text::printable;

/// A configuration that cannot be used. Its text names file, line and key where there are such.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// Not TOML, an unknown key, a wrong value, or keys that contradict one another.
    #[error("{location}: {problem}")]
    Content {
        /// Where in the file.
        location: Location,
        /// What is wrong there and what was expected.
        problem: String,
        /// What may have been meant.
        hint: Option<String>,
    },
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FsError),
    /// The file is not text.
    #[error("'{}' is not UTF-8", printable(&.0.to_string_lossy()))]
    NotText(PathBuf),
}

/// A location in a configuration file; reads `'config.toml', line 3, limits.idle_seconds`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: Option<usize>,
    /// The key, dotted.
    pub key: Option<String>,
}

/// A value that is good alone but not with the others.
#[derive(Debug)]
pub(super) struct Problem {
    /// Dotted keys that have a part in it; the first one that is written is the place.
    pub(super) keys: &'static [&'static str],
    pub(super) text: String,
}

impl ConfigError {
    /// What may help.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Content { hint, .. } => hint.clone(),
            Self::File(error) if error.is_not_found() => {
                Some("name it with --config; `sealane-admin init DIR` makes one".into())
            }
            Self::File(error) => error.hint(),
            Self::NotText(_) => None,
        }
    }

    pub(super) fn from_toml(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let offset = error.span().map(|span| span.start);
        let location = Location {
            file: path.to_owned(),
            line: offset.map(|offset| locate::line_at(text, offset)),
            key: offset.and_then(|offset| locate::key_at(text, offset)),
        };
        let (problem, hint) = explain(error.message());
        Self::Content { location, problem, hint }
    }

    pub(super) fn from_problem(path: &Path, text: &str, problem: Problem) -> Self {
        let written = locate::first_written(text, problem.keys);
        let location = Location {
            file: path.to_owned(),
            line: written.map(|(_, line)| line),
            key: written.map(|(key, _)| key.to_owned()),
        };
        Self::Content { location, problem: problem.text, hint: None }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "'{}'", printable(&self.file.to_string_lossy()))?;
        if let Some(line) = self.line {
            write!(formatter, ", line {line}")?;
        }
        if let Some(key) = &self.key {
            write!(formatter, ", {}", printable(key))?;
        }
        Ok(())
    }
}

/// serde's message in our words; for an unknown key also the one that may have been meant.
fn explain(message: &str) -> (String, Option<String>) {
    let Some(rest) = message.strip_prefix("unknown field `") else {
        return (printable(message), None);
    };
    // serde lists the known keys, each between backticks.
    let mut quoted = rest.split('`').step_by(2);
    let typed = quoted.next().unwrap_or_default();
    let known: Vec<&str> = quoted.filter(|key| !key.is_empty()).collect();
    let problem = format!(
        "there is no key '{}' here, expected one of: {}",
        printable(typed),
        known.join(", ")
    );
    (problem, locate::nearest(typed, &known).map(|key| format!("did you mean '{key}'?")))
}
