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
    /// Files went away between being listed and being read; the rest was done. The number is rsync's.
    Vanished = 24,
    /// Interrupted by the user.
    Interrupted = 130,
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
}

impl Failure {
    /// A failure without a hint.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, exit }
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
