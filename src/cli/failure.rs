//! How a program ends: exit codes, and the one error that reaches `main`.

use std::process;

use thiserror::Error;

/// Exit status of the three programs; scripts rely on the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Everything was done.
    Success = 0,
    /// Any failure without a number of its own.
    Other = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// A file, directory or account is not there.
    NotFound = 3,
    /// The login was refused.
    Login = 4,
    /// The server's key is not the pinned one, or TLS was refused for another reason.
    Trust = 5,
    /// The network or the server failed; trying again may help.
    Network = 6,
    /// Over the quota, or a disk is full.
    Space = 7,
    /// Bytes and digests do not agree, or a file changed while it was read.
    Integrity = 8,
    /// Some of several files failed.
    Partial = 9,
    /// Files went away between being listed and being read; the rest was done. The number is
    /// rsync's.
    Vanished = 24,
    /// Interrupted by the user.
    Interrupted = 130,
}

impl Exit {
    /// The word for it.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Success => "ok",
            Self::Other => "other",
            Self::Usage => "usage",
            Self::NotFound => "not-found",
            Self::Login => "login",
            Self::Trust => "trust",
            Self::Network => "network",
            Self::Space => "space",
            Self::Integrity => "integrity",
            Self::Partial => "partial",
            Self::Vanished => "vanished",
            Self::Interrupted => "interrupted",
        }
    }
}

impl From<Exit> for process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error as people see it: what happened, and what to do about it.
#[derive(Clone, Debug, Error)]
#[error("{message}")]
pub struct Failure {
    /// One line: lower case, no full stop, naming the thing.
    pub message: String,
    /// A command or key that helps.
    pub hint: Option<String>,
    /// The exit status.
    pub exit: Exit,
    /// What kind of failure it is, for programs: a word that does not change (docs/JSON.md).
    pub code: &'static str,
}

/// The code of a failure whose reason is that something has that name already.
pub const EXISTS: &str = "exists";

impl Failure {
    /// A failure without a hint, whose code is that of its exit status.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, exit, code: exit.code() }
    }

    /// The same with a hint if there is one.
    #[must_use]
    pub fn maybe_hint(self, hint: Option<String>) -> Self {
        Self { hint, ..self }
    }

    /// The same because something has that name already.
    #[must_use]
    pub fn because_it_exists(self) -> Self {
        Self { code: EXISTS, ..self }
    }

    /// The lines in which people read it.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let hint = self.hint.as_ref().map(|hint| format!("hint: {hint}"));
        [Some(format!("error: {}", self.message)), hint].into_iter().flatten().collect()
    }

    /// A failure whose words were printed already; only the exit status is left to give.
    #[must_use]
    pub fn told(exit: Exit) -> Self {
        Self::new(exit, String::new())
    }

    /// True if nothing is left to print.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.message.is_empty()
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}
