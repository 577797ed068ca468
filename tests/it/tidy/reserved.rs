//! What only one place may do or name.

use super::rules::{calls, is_shipped};
use super::source::{Source, What};

/// A path, the only places that may name it, and why.
struct Reserved {
    path: &'static [&'static str],
    places: &'static [&'static str],
    reason: &'static str,
}

const FILES: [&str; 3] =
    ["crates/base/src/fsio", "crates/base/src/files", "crates/core/src/storage"];
const ENVIRONMENT: [&str; 1] = ["src/config/environment.rs"];

const RESERVED: [Reserved; 7] = [
    Reserved { path: &["std", "fs"], places: &FILES, reason: "files are opened there" },
    Reserved { path: &["tokio", "fs"], places: &FILES, reason: "files are opened there" },
    Reserved { path: &["std", "env", "var"], places: &ENVIRONMENT, reason: "it reads them all" },
    Reserved { path: &["std", "env", "var_os"], places: &ENVIRONMENT, reason: "it reads them all" },
    Reserved { path: &["std", "env", "vars"], places: &ENVIRONMENT, reason: "it reads them all" },
    Reserved {
        path: &["std", "env", "vars_os"],
        places: &ENVIRONMENT,
        reason: "it reads them all",
    },
    Reserved { path: &["toml"], places: &["src/config"], reason: "one room knows the file's form" },
];

/// The one place that changes a file system. The control socket makes and removes its own file.
const CHANGER: &str = "crates/base/src/fsio/system.rs";
const SOCKET: &str = "crates/server/src/control.rs";

/// Functions of `rustix::fs` and `std::fs` that change one.
const CHANGES: [&str; 31] = [
    "DirBuilder",
    "OpenOptions",
    "chmod",
    "chown",
    "copy",
    "create_dir",
    "create_dir_all",
    "fchmod",
    "fchown",
    "fdatasync",
    "fsync",
    "ftruncate",
    "futimens",
    "hard_link",
    "ioctl_ficlone",
    "linkat",
    "mkdir",
    "mkdirat",
    "remove_dir",
    "remove_dir_all",
    "remove_file",
    "rename",
    "renameat",
    "renameat_with",
    "rmdir",
    "set_permissions",
    "symlinkat",
    "syncfs",
    "unlink",
    "unlinkat",
    "write",
];

/// Methods of `File` that do.
const CHANGING_CALLS: [&str; 7] = [
    "set_len",
    "set_modified",
    "set_permissions",
    "set_times",
    "sync_all",
    "sync_data",
    "write_all_at",
];

/// The one file that may loosen rustls' verification.
const DANGER: &str = "crates/tls/src/danger.rs";

/// What a room without clock, network and runtime must not name.
const IMPURE: [&[&str]; 4] = [
    &["tokio"],
    &["std", "net", "TcpStream"],
    &["std", "time", "Instant"],
    &["std", "time", "SystemTime"],
];

/// Only the terminal room prints.
pub(super) fn only_ui_prints(source: &Source) -> Vec<String> {
    let printers = ["print", "println", "eprint", "eprintln", "dbg"];
    if !is_shipped(source) || source.path == "src/cli/ui.rs" {
        return Vec::new();
    }
    macros(source, &printers, "only src/cli/ui.rs prints")
}

/// One file may loosen rustls' verification.
pub(super) fn only_danger_is_dangerous(source: &Source) -> Vec<String> {
    if source.path == DANGER {
        return Vec::new();
    }
    let complaint = format!("only {DANGER} touches verification");
    calls(source, &complaint, |name, _| name == "dangerous")
}

/// Files, environment and configuration format are named in one place each.
pub(super) fn reserved_paths_stay_home(source: &Source) -> Vec<String> {
    let mut findings = Vec::new();
    for reserved in RESERVED {
        let at_home = reserved.places.iter().any(|place| is_below(&source.path, place));
        if !is_shipped(source) || at_home {
            continue;
        }
        let complaint = format!("only in {}: {}", reserved.places.join(", "), reserved.reason);
        findings.extend(paths(source, reserved.path, &complaint));
    }
    findings
}

/// Whatever changes a file system can be made to fail, and is told, in tests.
pub(super) fn one_place_changes_files(source: &Source) -> Vec<String> {
    if !is_shipped(source) || [CHANGER, SOCKET].contains(&source.path.as_str()) {
        return Vec::new();
    }
    let complaint = format!("only {CHANGER} changes a file system");
    let mut findings = calls(source, &complaint, |name, _| CHANGING_CALLS.contains(&name));
    for change in CHANGES {
        findings.extend(paths(source, &["rustix", "fs", change], &complaint));
        findings.extend(paths(source, &["std", "fs", change], &complaint));
    }
    findings
}

/// Values, frames and messages can be tested without a clock, a network or a runtime.
pub(super) fn pure_rooms_are_pure(source: &Source) -> Vec<String> {
    let is_pure = match source.package.as_deref() {
        Some("base") => source.room() == Some("types"),
        Some("protocol") => !matches!(source.room(), Some("keep_alive" | "transfer" | "wire")),
        _ => false,
    };
    if !is_pure {
        return Vec::new();
    }
    let complaint = "this room has no clock, network or runtime";
    IMPURE.iter().flat_map(|path| paths(source, path, complaint)).collect()
}

/// Which allocator a process has is for the program to say, not for a library.
pub(super) fn only_programs_choose_an_allocator(source: &Source) -> Vec<String> {
    if !is_shipped(source) || source.room() == Some("bin") {
        return Vec::new();
    }
    let named = source.shipped().filter_map(|(line, what)| match what {
        What::Name(name) if name == "global_allocator" => Some(line),
        _ => None,
    });
    named.map(|line| format!("{}:{line}: only src/bin chooses an allocator", source.path)).collect()
}

fn is_below(path: &str, place: &str) -> bool {
    path.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '.']))
}

fn macros(source: &Source, names: &[&str], complaint: &str) -> Vec<String> {
    let named = source.shipped().filter_map(|(line, what)| match what {
        What::Macro(name) if names.contains(&name.as_str()) => Some((line, name)),
        _ => None,
    });
    named.map(|(line, name)| format!("{}:{line}: `{name}!`: {complaint}", source.path)).collect()
}

pub(super) fn paths(source: &Source, start: &[&str], complaint: &str) -> Vec<String> {
    let named = source.shipped().filter_map(|(line, what)| match what {
        What::Path(path)
            if path.iter().zip(start).filter(|(a, b)| a == b).count() == start.len() =>
        {
            Some((line, path.join("::")))
        }
        _ => None,
    });
    named.map(|(line, path)| format!("{}:{line}: `{path}` {complaint}", source.path)).collect()
}
