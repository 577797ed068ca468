//! Which crate may depend on which, and on what else it must not.

use std::collections::BTreeSet;

use super::reserved::paths;
use super::source::Source;

/// Crates and those of ours they may depend on. `docs/ARCHITECTURE.md` shows the same table.
const CRATES: [(&str, &[&str]); 7] = [
    ("base", &[]),
    ("tls", &["base"]),
    ("protocol", &["base"]),
    ("core", &["base"]),
    ("client", &["base", "tls", "protocol"]),
    ("server", &["base", "tls", "protocol", "core"]),
    ("root", &["base", "tls", "protocol", "core", "client", "server"]),
];

/// What a crate that ships must not depend on.
const FORBIDDEN: [(&str, &[&str]); 4] = [
    ("base", &["tokio-util", "rustls", "tokio-rustls", "socket2"]),
    ("core", &["rustls", "tokio-rustls", "socket2"]),
    ("protocol", &["rustls", "tokio-rustls", "socket2", "rustix", "argon2", "md-5"]),
    ("client", &["argon2", "md-5", "landlock", "seccompiler"]),
];

/// What a crate could name and must not.
const UNNAMED: [(&str, &str, &[&[&str]]); 3] = [
    ("base", "has no socket", &SOCKETS),
    ("core", "has no socket", &SOCKETS),
    ("protocol", "has no socket and no file", &SOCKETS_AND_FILES),
];
const SOCKETS: [&[&str]; 5] = [
    &["tokio", "net"],
    &["std", "net", "TcpListener"],
    &["std", "net", "TcpStream"],
    &["std", "net", "UdpSocket"],
    &["std", "os", "unix", "net"],
];
const SOCKETS_AND_FILES: [&[&str]; 8] = [
    SOCKETS[0],
    SOCKETS[1],
    SOCKETS[2],
    SOCKETS[3],
    SOCKETS[4],
    &["std", "fs"],
    &["tokio", "fs"],
    &["sealane_base", "fsio"],
];

/// A crate names nothing that its part of the work does without.
pub(super) fn crates_stay_pure(source: &Source) -> Vec<String> {
    let rows = UNNAMED.iter().filter(|(name, ..)| source.package.as_deref() == Some(name));
    rows.flat_map(|(name, complaint, unnamed)| {
        let complaint = format!("`{name}` {complaint}");
        unnamed.iter().flat_map(move |path| paths(source, path, &complaint))
    })
    .collect()
}

/// Every manifest keeps to the tables above.
pub(super) fn manifests_agree(files: &[(String, String)]) -> Vec<String> {
    let mut findings = Vec::new();
    let mut unseen: BTreeSet<&str> = CRATES.iter().map(|(name, _)| *name).collect();
    for (path, text) in files {
        let name = match path.strip_prefix("crates/").and_then(|p| p.strip_suffix("/Cargo.toml")) {
            Some(name) => name,
            None if path == "Cargo.toml" => "root",
            None => continue,
        };
        unseen.remove(name);
        findings.extend(manifest_faults(path, name, text));
    }
    findings.extend(unseen.iter().map(|name| format!("there is no crate `{name}`")));
    findings
}

/// What one manifest depends on against the tables.
pub(super) fn manifest_faults(path: &str, name: &str, text: &str) -> Vec<String> {
    let Some((_, allowed)) = CRATES.iter().find(|(known, _)| *known == name) else {
        return vec![format!("{path}: `{name}` is not in the table of {}", file!())];
    };
    let forbidden = FORBIDDEN.iter().find(|(known, _)| *known == name).map_or(&[][..], |row| row.1);
    let mut findings = Vec::new();
    for dependency in dependencies(text) {
        match dependency.strip_prefix("sealane-") {
            Some(ours) if !allowed.contains(&ours) => {
                findings.push(format!("{path}: `{name}` may not depend on `{ours}`"));
            }
            None if forbidden.contains(&dependency.as_str()) => {
                findings.push(format!("{path}: `{name}` may not depend on `{dependency}`"));
            }
            _ => {}
        }
    }
    findings
}

/// Names in the tables of normal dependencies, those for one system included.
fn dependencies(text: &str) -> Vec<String> {
    let manifest: toml::Table =
        text.parse().unwrap_or_else(|error| panic!("this is not a manifest: {error}"));
    let of = |table: &toml::Table| {
        let names = table.get("dependencies").and_then(toml::Value::as_table).cloned();
        names.unwrap_or_default().into_iter().map(|(name, _)| name)
    };
    let targets = manifest.get("target").and_then(toml::Value::as_table).cloned();
    let special = targets.unwrap_or_default().into_iter();
    let special = special.filter_map(|(_, target)| target.as_table().map(&of));
    of(&manifest).chain(special.flatten()).collect()
}

/// The table that the page shows is the one above.
pub(super) fn table_agrees(path: &str, text: &str) -> Vec<String> {
    let table = text.lines().skip_while(|line| !line.starts_with("| crate |"));
    let rows: Vec<&str> = table.take_while(|line| line.starts_with('|')).skip(2).collect();
    let names = |cell: &str| -> BTreeSet<String> {
        cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    };
    let mut findings = Vec::new();
    for (name, allowed) in CRATES {
        let row = rows.iter().find(|row| row.starts_with(&format!("| `{name}` |")));
        let shown = names(row.and_then(|row| row.split('|').nth(2)).unwrap_or_default());
        let wanted = allowed.iter().map(|name| (*name).to_owned()).collect();
        if row.is_none() {
            findings.push(format!("{path}: no row shows the crate `{name}`"));
        } else if shown != wanted {
            findings.push(format!("{path}: `{name}` shows {shown:?} instead of {wanted:?}"));
        }
    }
    findings
}
