//! The rules for a single file. Each returns what it objects to as `path:line: complaint`.

use super::source::{Source, What};

const MOST_LINES_IN_A_FILE: usize = 400;
const MOST_LINES_IN_A_FUNCTION: usize = 80;

/// A path, the only places that may name it, and why.
struct Reserved {
    path: &'static [&'static str],
    places: &'static [&'static str],
    reason: &'static str,
}

const FILES: [&str; 2] = ["src/fsio", "src/storage"];
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

/// The one place that changes a file system; a socket's own file is the business of who listens
/// there.
const CHANGER: &str = "src/fsio/system.rs";
const SOCKET: &str = "src/server/control.rs";

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

/// What a floor without clock, network and runtime must not name.
const IMPURE: [&[&str]; 4] = [
    &["tokio"],
    &["std", "net", "TcpStream"],
    &["std", "time", "Instant"],
    &["std", "time", "SystemTime"],
];

/// A file can be read in one sitting.
pub(super) fn files_are_short(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    (lines > MOST_LINES_IN_A_FILE)
        .then(|| format!("{}: {lines} lines, at most {MOST_LINES_IN_A_FILE}", source.path))
        .into_iter()
        .collect()
}

/// A function fits on a screen.
pub(super) fn functions_are_short(source: &Source) -> Vec<String> {
    let long = source.functions.iter().filter(|function| function.lines > MOST_LINES_IN_A_FUNCTION);
    long.map(|function| {
        let (path, name, line, lines) =
            (&source.path, &function.name, function.line, function.lines);
        format!("{path}:{line}: `{name}` has {lines} lines, at most {MOST_LINES_IN_A_FUNCTION}")
    })
    .collect()
}

/// A file begins by saying what it is for.
pub(super) fn modules_are_documented(source: &Source) -> Vec<String> {
    let first = source.text.lines().next().unwrap_or_default();
    (!first.starts_with("//! "))
        .then(|| format!("{}:1: does not begin with `//!`", source.path))
        .into_iter()
        .collect()
}

/// Only the terminal room prints.
pub(super) fn only_ui_prints(source: &Source) -> Vec<String> {
    let printers = ["print", "println", "eprint", "eprintln", "dbg"];
    if !is_shipped(source) || source.path == "src/cli/ui.rs" {
        return Vec::new();
    }
    macros(source, &printers, "only src/cli/ui.rs prints")
}

/// No panic instead of an error. Clippy knows the types; this rule has no `#[allow]`, and takes an
/// `.expect("…")` for the one of `Option` and `Result`.
pub(super) fn nothing_is_unwrapped(source: &Source) -> Vec<String> {
    calls(source, "return an error instead", |name, arguments| match name {
        "unwrap" => arguments.is_empty(),
        "expect" => arguments.starts_with(['"', '&']),
        _ => false,
    })
}

/// One file may loosen rustls' verification.
pub(super) fn only_danger_is_dangerous(source: &Source) -> Vec<String> {
    if source.path == "src/tls/danger.rs" {
        return Vec::new();
    }
    let complaint = "only src/tls/danger.rs touches verification";
    calls(source, complaint, |name, _| name == "dangerous")
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

/// The lowest rooms can be tested without a clock, a network or a runtime.
pub(super) fn pure_rooms_are_pure(source: &Source) -> Vec<String> {
    if !["src/protocol", "src/types"].iter().any(|room| is_below(&source.path, room)) {
        return Vec::new();
    }
    let complaint = "this room has no clock, network or runtime";
    IMPURE.iter().flat_map(|path| paths(source, path, complaint)).collect()
}

/// What is committed is finished.
pub(super) fn nothing_is_left_to_do(path: &str, text: &str) -> Vec<String> {
    // In two halves, so that this file passes too.
    let words = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("unimplemented", "!"),
        concat!("to", "do!"),
    ];
    let mut findings = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for found in words.iter().filter(|found| contains_word(line, found)) {
            findings.push(format!("{path}:{}: `{found}`", number + 1));
        }
    }
    findings
}

fn contains_word(line: &str, wanted: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(wanted).any(|(start, _)| {
        let (before, after) = (&line[..start], &line[start + wanted.len()..]);
        let goes_on = !wanted.ends_with('!') && after.starts_with(is_part);
        !before.ends_with(is_part) && !goes_on
    })
}

fn is_shipped(source: &Source) -> bool {
    source.room().is_some()
}

fn is_below(path: &str, place: &str) -> bool {
    path.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '.']))
}

fn calls(source: &Source, complaint: &str, bad: impl Fn(&str, &str) -> bool) -> Vec<String> {
    if !is_shipped(source) {
        return Vec::new();
    }
    let named = source.shipped().filter_map(|(line, what)| match what {
        What::Call(name, arguments) if bad(name, arguments) => Some((line, name)),
        _ => None,
    });
    named.map(|(line, name)| format!("{}:{line}: `.{name}()`: {complaint}", source.path)).collect()
}

fn macros(source: &Source, names: &[&str], complaint: &str) -> Vec<String> {
    let named = source.shipped().filter_map(|(line, what)| match what {
        What::Macro(name) if names.contains(&name.as_str()) => Some((line, name)),
        _ => None,
    });
    named.map(|(line, name)| format!("{}:{line}: `{name}!`: {complaint}", source.path)).collect()
}

fn paths(source: &Source, start: &[&str], complaint: &str) -> Vec<String> {
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
