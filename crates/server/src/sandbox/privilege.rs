//! Who the process is: no root, no core dump, as many open files as the system allows.

use nix::unistd::{Gid, Uid, User};
use rustix::process::{DumpableBehavior, Resource, Rlimit};

use super::{SandboxError, failed};

/// Somebody to become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    name: String,
    uid: u32,
    gid: u32,
}

impl Owner {
    /// True for uid 0.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.uid == 0
    }
}

/// Looks up a user of the system by name.
///
/// # Errors
/// [`SandboxError::NoUser`], [`SandboxError::Failed`].
pub fn find_owner(name: &str) -> Result<Owner, SandboxError> {
    let user = User::from_name(name).map_err(|error| failed("user", error))?;
    let user = user.ok_or_else(|| SandboxError::NoUser(name.to_owned()))?;
    Ok(Owner { name: name.to_owned(), uid: user.uid.as_raw(), gid: user.gid.as_raw() })
}

/// Becomes `owner` for good: user, group, and no other group. Nothing to do if it is who we are.
///
/// # Errors
/// [`SandboxError::NotRoot`]; [`SandboxError::Failed`] also if root could be had back.
pub fn become_owner(owner: &Owner) -> Result<(), SandboxError> {
    let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
    if nix::unistd::geteuid() == uid {
        return Ok(());
    }
    if !nix::unistd::geteuid().is_root() {
        return Err(SandboxError::NotRoot(owner.name.clone()));
    }
    let wrong = |error| failed("cannot give up root", error);
    // Groups first: without root they could not be left.
    nix::unistd::setgroups(&[gid]).map_err(wrong)?;
    nix::unistd::setresgid(gid, gid, gid).map_err(wrong)?;
    nix::unistd::setresuid(uid, uid, uid).map_err(wrong)?;
    if nix::unistd::setuid(Uid::from_raw(0)).is_ok() {
        return Err(failed("cannot give up root", "it could be had back"));
    }
    Ok(())
}

/// No core dumps and no look into our memory by others of the same user; the limit of open files as
/// high as it may be. Gives that limit.
///
/// # Errors
/// [`SandboxError::Failed`].
pub fn harden() -> Result<u64, SandboxError> {
    keep_secrets()?;
    let files = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit { current: files.maximum, maximum: files.maximum };
    // Whoever may not have more goes on with what there is.
    let _ = rustix::process::setrlimit(Resource::Nofile, raised);
    Ok(rustix::process::getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX))
}

/// No core dumps, and no look into our memory by others of the same user.
///
/// # Errors
/// [`SandboxError::Failed`].
pub fn keep_secrets() -> Result<(), SandboxError> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    rustix::process::setrlimit(Resource::Core, none)
        .map_err(|error| failed("core dumps", error))?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|error| failed("core dumps", error))
}
