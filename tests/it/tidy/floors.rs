//! Which room stands on which floor, and the rules that follow from it.

use super::source::{Source, What};

/// Floor and rooms. `src/lib.rs` and `docs/ARCHITECTURE.md` show the same table.
const FLOORS: [(u8, &[&str]); 8] = [
    (7, &["cli"]),
    (6, &["config"]),
    (5, &["server", "client", "admin"]),
    (4, &["session"]),
    (3, &["transfer"]),
    (2, &["net", "wire", "tls", "storage", "accounts", "trust"]),
    (1, &["protocol", "fsio", "sandbox"]),
    (0, &["types"]),
];

fn floor_of(room: &str) -> Option<u8> {
    FLOORS.iter().find(|(_, rooms)| rooms.contains(&room)).map(|(floor, _)| *floor)
}

/// Imports go down only; a program knows `cli` alone.
pub(super) fn imports_go_down(source: &Source) -> Vec<String> {
    let Some(room) = source.room() else { return Vec::new() };
    let paths = source.shipped().filter_map(|(line, what)| match what {
        What::Path(path) if path.len() > 1 => Some((line, path[0].as_str(), path[1].as_str())),
        _ => None,
    });
    paths
        .filter_map(|(line, root, other)| {
            let complaint = match (room, root) {
                ("bin", "sealane") if other != "cli" => {
                    format!("a program only calls `cli`, not `{other}`")
                }
                (_, "crate") if other == "*" => "imports every room at once".to_owned(),
                (_, "crate") if other != room => {
                    let (own, below) = (floor_of(room)?, floor_of(other)?);
                    (below >= own)
                        .then(|| format!("`{room}` (floor {own}) uses `{other}` (floor {below})"))?
                }
                _ => return None,
            };
            Some(format!("{}:{line}: {complaint}", source.path))
        })
        .collect()
}

/// Every room has a floor.
pub(super) fn rooms_have_floors(source: &Source) -> Vec<String> {
    match source.room() {
        Some(room) if !["bin", "lib"].contains(&room) && floor_of(room).is_none() => {
            vec![format!("{}: `{room}` stands on no floor of {}", source.path, file!())]
        }
        _ => Vec::new(),
    }
}

/// The table that a page shows is the one above. `text` may be Markdown or module documentation.
pub(super) fn tables_agree(path: &str, text: &str) -> Vec<String> {
    let lines = text.lines().map(|line| line.trim_start_matches("//!").trim());
    let table: Vec<&str> = lines
        .skip_while(|line| !line.starts_with("| floor"))
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .collect();
    let shown = |floor: u8| table.iter().find(|row| row.starts_with(&format!("| {floor} ")));
    let mut findings = Vec::new();
    for (floor, rooms) in FLOORS {
        let row = shown(floor).copied().unwrap_or_default();
        let cell = row.split('|').nth(2).unwrap_or_default();
        let mut named: Vec<&str> = cell
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|name| name.chars().all(|c| c.is_ascii_lowercase()))
            .collect();
        let mut wanted = rooms.to_vec();
        named.sort_unstable();
        wanted.sort_unstable();
        if named != wanted {
            findings.push(format!("{path}: floor {floor} shows {named:?} instead of {wanted:?}"));
        }
    }
    findings
}
