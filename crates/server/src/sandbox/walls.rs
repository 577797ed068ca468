//! The kernel we run on: Landlock rules from a plan, and the filter of system calls.

use super::{Bounds, Kernel, Plan, SandboxError};

/// The kernel this process runs on.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

#[cfg(target_os = "linux")]
impl Kernel for System {
    fn landlock(&self, plan: &Plan) -> Result<Option<Bounds>, SandboxError> {
        restrict(plan).map_err(|error| super::failed("landlock", error))
    }

    fn seccomp(&self) -> Result<bool, SandboxError> {
        super::filter::install()
    }
}

#[cfg(not(target_os = "linux"))]
impl Kernel for System {
    fn landlock(&self, _plan: &Plan) -> Result<Option<Bounds>, SandboxError> {
        Ok(None)
    }

    fn seccomp(&self) -> Result<bool, SandboxError> {
        Ok(false)
    }
}

#[cfg(target_os = "linux")]
fn restrict(plan: &Plan) -> Result<Option<Bounds>, landlock::RulesetError> {
    use landlock::{
        ABI, Access as _, AccessFs, AccessNet, LandlockStatus, PathBeneath, PathFd, Ruleset,
        RulesetAttr as _, RulesetCreatedAttr as _, RulesetStatus, Scope,
    };
    // The version whose rights we ask for; an older kernel gives those it has.
    const ASKED: ABI = ABI::V6;
    let all = AccessFs::from_all(ASKED);
    let special = AccessFs::MakeChar
        | AccessFs::MakeBlock
        | AccessFs::MakeFifo
        | AccessFs::MakeSym
        | AccessFs::IoctlDev;
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let write = all & !(special | AccessFs::Execute);
    let append = AccessFs::WriteFile | AccessFs::MakeReg;
    let link = AccessFs::MakeReg | AccessFs::Refer;
    let rules = [
        (&plan.read_write, write),
        (&plan.read_only, read),
        (&plan.append, append),
        (&plan.link, link),
    ];
    // No rule for any port: the socket to listen on is open already.
    let mut ruleset = Ruleset::default()
        .handle_access(all)?
        .handle_access(AccessNet::from_all(ASKED))?
        .scope(Scope::from_all(ASKED))?
        .create()?;
    for (paths, access) in rules {
        for path in paths.iter().filter_map(|path| PathFd::new(path).ok()) {
            ruleset = ruleset.add_rule(PathBeneath::new(path, access))?;
        }
    }
    let status = ruleset.restrict_self()?;
    let is_complete = status.ruleset == RulesetStatus::FullyEnforced;
    Ok(match status.landlock {
        LandlockStatus::Available { effective_abi, .. }
            if status.ruleset != RulesetStatus::NotEnforced =>
        {
            Some(Bounds { version: effective_abi as u32, is_complete })
        }
        _ => None,
    })
}
