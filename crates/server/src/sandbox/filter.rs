//! The filter of system calls: those that a file server never makes and an intruder would.
//!
//! It names what is forbidden. A list of what is allowed would have to follow every release of the
//! C library; what matters is that there is no new program, no other process, no network beyond the
//! sockets that are open, and no part of the kernel that this program has no business with.
//!
//! A socket that is open can be turned against others: dissolved by `connect` to no address and
//! connected anew, or made to connect by sending (TCP Fast Open, a destination). So there is no
//! `connect`, no `bind`, no sending to anybody by address; what the server needs of these is done
//! before.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use super::{SandboxError, failed};

/// Refused with "operation not permitted", whatever the arguments.
const FORBIDDEN: &[c_long] = &[
    // Sockets other than those that are open and those that are accepted. Where `sendmsg` sends to
    // lies in memory, where no filter can look.
    libc::SYS_socket,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    // Other programs, other processes.
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    // Other users.
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setgroups,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_capset,
    // File systems and name spaces.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_mount_setattr,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_quotactl,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_fanotify_init,
    // The kernel itself.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_personality,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_vhangup,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_kexec_file_load,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
];

/// The same calls by the numbers of the x32 ABI, which the kernel takes from any 64-bit program.
#[cfg(target_arch = "x86_64")]
const X32: c_long = 0x4000_0000;
/// `execve`, `ptrace`, `execveat`, `process_vm_readv` and `_writev` have numbers of their own
/// there.
#[cfg(target_arch = "x86_64")]
const X32_ONLY: [c_long; 5] = [520, 521, 545, 539, 540];

/// Filters this thread and all it starts; false if there is no filter for this processor.
pub(super) fn install() -> Result<bool, SandboxError> {
    let Ok(arch) = TargetArch::try_from(std::env::consts::ARCH) else { return Ok(false) };
    let refusing = |rules, errno: i32| {
        let refuse = SeccompAction::Errno(errno.unsigned_abs());
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch);
        filter.and_then(BpfProgram::try_from).map_err(|error| failed("seccomp", error))
    };
    let forbidden = rules().map_err(|error| failed("seccomp", error))?;
    // Its flags lie in memory, where no filter can look: the C library then uses the older call.
    let clone3 = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    for program in [refusing(clone3, libc::ENOSYS)?, refusing(forbidden, libc::EPERM)?] {
        seccompiler::apply_filter(&program).map_err(|error| failed("seccomp", error))?;
    }
    Ok(true)
}

fn rules() -> Result<BTreeMap<c_long, Vec<SeccompRule>>, seccompiler::BackendError> {
    use SeccompCmpArgLen::{Dword, Qword};
    let compared = |index, length, compare, value| {
        SeccompRule::new(vec![SeccompCondition::new(index, length, compare, value)?])
    };
    let when = |index, compare, value: i32| {
        compared(index, Dword, compare, u64::from(value.unsigned_abs()))
    };
    let thread = u64::from(libc::CLONE_THREAD.unsigned_abs());
    let mut rules: BTreeMap<c_long, Vec<SeccompRule>> =
        FORBIDDEN.iter().map(|&call| (call, Vec::new())).collect();
    // A thread may be started, a process not.
    rules.insert(libc::SYS_clone, vec![when(0, SeccompCmpOp::MaskedEq(thread), 0)?]);
    // What wakes threads up: two ends in this process.
    rules.insert(libc::SYS_socketpair, vec![when(0, SeccompCmpOp::Ne, libc::AF_UNIX)?]);
    // Only along the connection there is.
    let fast_open = u64::from(libc::MSG_FASTOPEN.unsigned_abs());
    let sends = vec![
        compared(4, Qword, SeccompCmpOp::Ne, 0)?,
        compared(3, Dword, SeccompCmpOp::MaskedEq(fast_open), fast_open)?,
    ];
    rules.insert(libc::SYS_sendto, sends);
    // Typing into the terminal of whoever started us.
    let (typing, linux) = (libc::TIOCSTI as i32, libc::TIOCLINUX as i32);
    let ioctl = vec![when(1, SeccompCmpOp::Eq, typing)?, when(1, SeccompCmpOp::Eq, linux)?];
    rules.insert(libc::SYS_ioctl, ioctl);
    #[cfg(target_arch = "x86_64")]
    {
        let twins: Vec<_> = rules.iter().map(|(call, rules)| (call + X32, rules.clone())).collect();
        rules.extend(twins);
        rules.extend(X32_ONLY.map(|call| (call + X32, Vec::new())));
    }
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forbidden_is_forbidden_by_every_number_it_has() {
        let rules = rules().unwrap();
        let always: &[SeccompRule] = &[];
        for call in FORBIDDEN {
            assert_eq!(rules.get(call).map(Vec::as_slice), Some(always), "{call}");
        }
        // Looked at: a process by `clone`, pairs that are not of Unix sockets, sending to an
        // address or by fast open, typing into a terminal in two ways.
        let looked_at = [
            (libc::SYS_clone, 1),
            (libc::SYS_socketpair, 1),
            (libc::SYS_sendto, 2),
            (libc::SYS_ioctl, 2),
        ];
        for (call, looks) in looked_at {
            assert_eq!(rules.get(&call).map(Vec::len), Some(looks), "{call}");
        }
        #[cfg(target_arch = "x86_64")]
        {
            let (plain, twins): (Vec<_>, Vec<_>) = rules.keys().partition(|call| **call < X32);
            assert_eq!(twins.len(), plain.len() + X32_ONLY.len());
            for call in plain {
                assert_eq!(rules.get(&(call + X32)), rules.get(call), "{call}");
            }
            for call in X32_ONLY {
                assert_eq!(rules.get(&(call + X32)).map(Vec::as_slice), Some(always), "{call}");
            }
        }
    }
}
