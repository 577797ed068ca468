//! Which of many homes are the same, or lie inside one another.
//!
//! Case does not count: on the system the records come from, two spellings were one directory.

use crate::accounts::home::HomeDirectory;

/// Two homes that share files, as positions in the list that was given; the outer one first.
pub(super) type Overlap = (usize, usize);

/// Each home that is equal to, or inside, an earlier or outer one.
pub(super) fn overlaps<'a>(homes: impl IntoIterator<Item = &'a HomeDirectory>) -> Vec<Overlap> {
    let mut paths: Vec<(String, usize)> = homes
        .into_iter()
        .enumerate()
        .map(|(at, home)| (format!("{}/", home.as_str().to_lowercase()), at))
        .collect();
    paths.sort();
    let mut found = Vec::new();
    // Those around the present one: what lies inside follows at once, because the paths are sorted.
    let mut around: Vec<&(String, usize)> = Vec::new();
    for path in &paths {
        while around.last().is_some_and(|outer| !path.0.starts_with(&outer.0)) {
            around.pop();
        }
        if let Some(outer) = around.last() {
            found.push((outer.1, path.1));
        }
        around.push(path);
    }
    found
}
