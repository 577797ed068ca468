//! Names that are two at the source and one where case or composition of letters do not count, as
//! on macOS: the second would silently replace the first.

use std::collections::HashSet;
use std::collections::hash_map::{Entry, HashMap};

use unicode_normalization::UnicodeNormalization;

use super::error::{Problem, TreeError};
use super::remote::Listing;

/// Whether some names of `listing` would be the same there.
#[must_use]
pub(super) fn has_collisions(listing: &Listing) -> bool {
    let mut seen = HashSet::new();
    !listing.entries.iter().all(|entry| seen.insert(folded(entry.path.as_str())))
}

/// Keeps the first of names that would be the same there, by the order of their bytes; the others,
/// with all below them, are problems.
pub(super) fn keep_first(listing: &mut Listing) {
    let mut seen = HashMap::new();
    let mut closed = HashSet::new();
    let problems = &mut listing.problems;
    listing.entries.retain(|entry| {
        if entry.path.parent().is_some_and(|parent| closed.contains(&parent)) {
            closed.insert(entry.path.clone());
            return false;
        }
        match seen.entry(folded(entry.path.as_str())) {
            Entry::Vacant(free) => {
                free.insert(entry.path.to_string());
                true
            }
            Entry::Occupied(first) => {
                let error = TreeError::SameName(first.get().clone());
                problems.push(Problem { path: entry.path.to_string(), error });
                closed.insert(entry.path.clone());
                false
            }
        }
    });
}

/// What two paths have in common that are the same there.
#[must_use]
pub fn folded(path: &str) -> String {
    path.nfc().flat_map(char::to_lowercase).nfc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealane_base::files::{EntryKind, TreeEntry};
    use sealane_base::types::RemotePath;

    fn listing(names: &[&str]) -> Listing {
        let entry = |name: &&str| TreeEntry {
            path: RemotePath::parse(name).unwrap(),
            kind: EntryKind::File,
            size: 1,
            modified: 0,
            mode: 0o644,
        };
        let mut entries: Vec<_> = names.iter().map(entry).collect();
        entries.sort_by(|one, other| one.path.cmp(&other.path));
        Listing { entries, ..Listing::default() }
    }

    #[test]
    fn names_that_differ_by_case_or_composition_only_collide() {
        // The second é is an e with an accent of its own.
        let names = ["READ", "read", "caf\u{e9}", "cafe\u{301}", "D/x", "d/y", "d", "D", "other"];
        let mut both = listing(&names);
        assert!(has_collisions(&both));
        keep_first(&mut both);
        let kept: Vec<_> = both.entries.iter().map(|entry| entry.path.as_str()).collect();
        assert_eq!(kept, ["D", "D/x", "READ", "cafe\u{301}", "other"]);
        let told: Vec<_> = both.problems.iter().map(|problem| problem.path.as_str()).collect();
        assert_eq!(told, ["caf\u{e9}", "d", "read"]);
        assert!(!has_collisions(&both) && !has_collisions(&listing(&["a", "b", "a-b"])));
    }
}
