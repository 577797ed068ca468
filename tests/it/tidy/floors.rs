//! Which of the rooms below `src` may import which.

use super::source::{Source, What};

/// Rooms from the top to the bottom.
const FLOORS: [&str; 3] = ["cli", "config", "admin"];

fn floor_of(room: &str) -> Option<usize> {
    FLOORS.iter().rev().position(|floor| *floor == room)
}

/// Imports go down only; a program knows `cli` alone.
pub(super) fn imports_go_down(source: &Source) -> Vec<String> {
    let (Some("root"), Some(room)) = (source.package.as_deref(), source.room()) else {
        return Vec::new();
    };
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
                    (below >= own).then(|| format!("`{room}` stands below `{other}`"))?
                }
                _ => return None,
            };
            Some(format!("{}:{line}: {complaint}", source.path))
        })
        .collect()
}

/// Every room has a floor.
pub(super) fn rooms_have_floors(source: &Source) -> Vec<String> {
    match (source.package.as_deref(), source.room()) {
        (Some("root"), Some(room))
            if !["bin", "lib"].contains(&room) && floor_of(room).is_none() =>
        {
            vec![format!("{}: `{room}` stands on no floor of {}", source.path, file!())]
        }
        _ => Vec::new(),
    }
}
