//! Walls around the process itself: what it may never do again, whatever should come to run in it.
//!
//! Landlock bounds files and TCP, seccomp the system calls. Both hold for the calling thread and
//! for those it starts, so [`enter`] comes before the runtime. It also gives up root and forbids
//! core dumps. It decides nothing about who may log in, and what it forbids is not a substitute for
//! any check above.

mod filter;
mod privilege;
mod walls;

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

pub use privilege::{Owner, become_owner, find_owner, harden, keep_secrets};
pub use walls::System;

/// How much of the sandbox there must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// None.
    Off,
    /// As much as the kernel has.
    #[default]
    BestEffort,
    /// All of it, or the process must not go on.
    Required,
}

/// What the process will need from now on. Paths that are not there get no rule: what appears there
/// later is out of reach.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Directories to read and write in, all the way down. Nothing in them can be executed.
    pub read_write: Vec<PathBuf>,
    /// Directories to read.
    pub read_only: Vec<PathBuf>,
    /// Directories to make files in and to write to those there are, but not to read or remove any.
    pub append: Vec<PathBuf>,
    /// Directories in which files may get a name that have none there yet.
    pub link: Vec<PathBuf>,
}

/// What holds from now on. `Display` gives `landlock=7 seccomp=on`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Version of the kernel's Landlock; `None` if files and TCP are not bounded.
    pub landlock: Option<u32>,
    /// Whether system calls are filtered.
    pub seccomp: bool,
}

/// Files and TCP, as far as a kernel bounds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Version of the kernel's Landlock.
    pub version: u32,
    /// Whether all that was asked for holds.
    pub is_complete: bool,
}

/// Why the process must not go on.
#[derive(Debug, Error)]
pub enum SandboxError {
    /// The sandbox is required and the kernel does not have this part of it.
    #[error("the sandbox is required, and {0} is not to be had from this kernel")]
    Missing(&'static str),
    /// A wall that the kernel has could not be put up.
    #[error("{what}: {reason}")]
    Failed {
        /// Which wall.
        what: &'static str,
        /// What the system says.
        reason: String,
    },
    /// There is no such user.
    #[error("there is no user '{}'", .0.escape_debug())]
    NoUser(String),
    /// Only root can become somebody else.
    #[error("only root can become '{}'", .0.escape_debug())]
    NotRoot(String),
}

/// A kernel, or what a test puts in its place.
pub trait Kernel {
    /// Bounds files and TCP of this thread and all it starts by `plan`; `None` if it cannot.
    ///
    /// # Errors
    /// [`SandboxError::Failed`] if it can and did not.
    fn landlock(&self, plan: &Plan) -> Result<Option<Bounds>, SandboxError>;

    /// Filters the system calls of this thread and all it starts; false if it cannot.
    ///
    /// # Errors
    /// [`SandboxError::Failed`] if it can and did not.
    fn seccomp(&self) -> Result<bool, SandboxError>;
}

/// Puts up the walls. There is no way back.
///
/// # Errors
/// [`SandboxError`]: in [`Mode::Required`] for whatever is missing, otherwise only if something
/// that is there failed.
pub fn enter(mode: Mode, plan: &Plan, kernel: &impl Kernel) -> Result<State, SandboxError> {
    if mode == Mode::Off {
        return Ok(State::default());
    }
    let bounds = kernel.landlock(plan)?;
    if mode == Mode::Required && !bounds.is_some_and(|bounds| bounds.is_complete) {
        return Err(SandboxError::Missing("Landlock (Linux 6.12 or later)"));
    }
    let seccomp = kernel.seccomp()?;
    if mode == Mode::Required && !seccomp {
        return Err(SandboxError::Missing("seccomp"));
    }
    Ok(State { landlock: bounds.map(|bounds| bounds.version), seccomp })
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.landlock {
            Some(version) => write!(formatter, "landlock={version}")?,
            None => formatter.write_str("landlock=off")?,
        }
        formatter.write_str(if self.seccomp { " seccomp=on" } else { " seccomp=off" })
    }
}

fn failed(what: &'static str, error: impl fmt::Display) -> SandboxError {
    SandboxError::Failed { what, reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kernel that has what it is told to have.
    struct Pretended(Option<Bounds>, bool);

    impl Kernel for Pretended {
        fn landlock(&self, _plan: &Plan) -> Result<Option<Bounds>, SandboxError> {
            Ok(self.0)
        }

        fn seccomp(&self) -> Result<bool, SandboxError> {
            Ok(self.1)
        }
    }

    const WHOLE: Option<Bounds> = Some(Bounds { version: 7, is_complete: true });
    const PARTLY: Option<Bounds> = Some(Bounds { version: 3, is_complete: false });

    #[test]
    fn what_is_required_and_missing_stops_the_start() {
        for kernel in [Pretended(None, true), Pretended(PARTLY, true), Pretended(WHOLE, false)] {
            let refused = enter(Mode::Required, &Plan::default(), &kernel);
            assert!(matches!(refused, Err(SandboxError::Missing(_))), "{refused:?}");
            enter(Mode::BestEffort, &Plan::default(), &kernel).unwrap();
        }
        enter(Mode::Required, &Plan::default(), &Pretended(WHOLE, true)).unwrap();
    }

    #[test]
    fn the_state_says_what_holds() {
        let say = |mode, kernel| enter(mode, &Plan::default(), &kernel).unwrap().to_string();
        assert_eq!(say(Mode::Required, Pretended(WHOLE, true)), "landlock=7 seccomp=on");
        assert_eq!(say(Mode::BestEffort, Pretended(PARTLY, false)), "landlock=3 seccomp=off");
        assert_eq!(say(Mode::BestEffort, Pretended(None, true)), "landlock=off seccomp=on");
        assert_eq!(say(Mode::Off, Pretended(WHOLE, true)), "landlock=off seccomp=off");
    }
}
