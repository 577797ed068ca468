//! From two listings to what must be done, without asking anybody.

use std::collections::{HashMap, HashSet};

use super::error::{Problem, TreeError};
use super::remote::Listing;
use sealane_base::files::{EntryKind, OWNED_DIRECTORY, OWNED_FILE, TreeEntry};
use sealane_base::types::RemotePath;
use sealane_protocol::limits;

/// When a file that is at both ends with the same size needs nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// If it holds the same; files of more than one chunk are reconciled anyway.
    Content,
    /// If it holds the same, whatever its size and time.
    Digest,
    /// If it has the same modification time.
    Time,
}

/// Whether times and modes come along, and to where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preserve {
    /// They do not.
    No,
    /// To a tree of this machine.
    Here,
    /// To a server, which keeps some permissions for itself.
    There,
    /// Modes alone, to a server: what is private here is private when it comes back.
    ModesThere,
}

impl Preserve {
    /// The mode that `entry` ends with.
    fn mode(self, entry: &TreeEntry) -> u32 {
        match (self, entry.kind) {
            (Self::No | Self::Here, _) => entry.mode,
            (_, EntryKind::Directory) => entry.mode | OWNED_DIRECTORY,
            _ => entry.mode | OWNED_FILE,
        }
    }

    fn differs(self, wanted: &TreeEntry, there: &TreeEntry) -> bool {
        let other_time = self != Self::ModesThere && wanted.modified != there.modified;
        other_time || self.mode(wanted) != there.mode
    }
}

/// How a tree is brought over.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// When a file of the same size needs nothing.
    pub compare: Compare,
    /// What the source does not have is removed at the other end.
    pub delete: bool,
    /// Times and modes.
    pub preserve: Preserve,
}

/// A file to bring over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileStep {
    /// Relative to the tree.
    pub path: RemotePath,
    /// Size in bytes when it was listed.
    pub size: u64,
    /// The other end has one of the same size: nothing moves if it holds the same.
    pub compare: bool,
}

/// Files by how they travel: in one message, or as a transfer.
pub(super) fn by_size(files: Vec<FileStep>) -> (Vec<FileStep>, Vec<FileStep>) {
    files.into_iter().partition(|file| is_small(file.size))
}

/// A file of one chunk, which travels in one message.
pub(super) fn is_small(size: u64) -> bool {
    size <= u64::from(limits::INLINE_FILE)
}

/// A name to remove at the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// Relative to the tree.
    pub path: RemotePath,
    /// An empty directory then, else anything but a directory.
    pub is_directory: bool,
}

/// What is to be done to make one tree of another.
#[derive(Debug, Default)]
pub struct Plan {
    /// In the way of what comes; removed first, in this order.
    pub obstacles: Vec<Removal>,
    /// Directories that are missing, with the modes of the source, parents before children.
    pub missing: Vec<(RemotePath, u32)>,
    /// Directories that are there and whose owner may not fill them, with the modes they get.
    pub closed: Vec<(RemotePath, u32)>,
    /// Files to bring over.
    pub files: Vec<FileStep>,
    /// Files that need nothing, and their bytes.
    pub unchanged: (u64, u64),
    /// Files that only need their time or mode, once all files are there; some of `files` may turn
    /// out to be such.
    pub marks: Vec<TreeEntry>,
    /// Directories whose time or mode is not that of the source, or will not be once all is in
    /// them.
    pub directories: Vec<TreeEntry>,
    /// What the source does not have; removed last, in this order.
    pub extras: Vec<Removal>,
    /// How many names there are at the other end.
    pub there: usize,
    /// The source holds nothing.
    pub source_is_empty: bool,
    /// Links and special files of the source, which are not brought over.
    pub passed_over: Vec<TreeEntry>,
    /// What cannot be brought over.
    pub problems: Vec<Problem>,
    /// Nothing is removed although it was asked for: a listing is not complete.
    pub keeps_extras: bool,
}

impl Plan {
    /// Compares what is at both ends.
    #[must_use]
    pub fn new(source: Listing, target: Listing, rules: Rules) -> Self {
        let mut problems = source.problems.iter().chain(&target.problems);
        let complete = problems.all(|problem| problem.error.is_about_names());
        let (there, source_is_empty) = (target.entries.len(), source.entries.is_empty());
        let mut plan =
            Self { problems: source.problems, there, source_is_empty, ..Self::default() };
        let present: HashMap<_, _> =
            target.entries.iter().map(|entry| (&entry.path, entry)).collect();
        let delete = rules.delete && complete;
        plan.keeps_extras = rules.delete && !complete;
        // Paths below these do not count: nothing can be brought there, or all there is kept.
        let mut closed = HashSet::new();
        let mut replaced = HashSet::new();
        for entry in &source.entries {
            if entry.path.parent().is_some_and(|parent| closed.contains(&parent)) {
                closed.insert(entry.path.clone());
                continue;
            }
            let there = present.get(&entry.path).copied();
            match (entry.kind, there.map(|there| there.kind)) {
                (EntryKind::Symlink | EntryKind::Special, _) => {
                    closed.insert(entry.path.clone());
                    plan.passed_over.push(entry.clone());
                }
                (wanted, Some(kind)) if kind != wanted && delete => {
                    replaced.insert(entry.path.clone());
                    plan.add(entry, None, rules);
                }
                (wanted, Some(kind)) if kind != wanted => {
                    closed.insert(entry.path.clone());
                    let error = TreeError::InTheWay(a_kind(kind));
                    plan.problems.push(Problem { path: entry.path.to_string(), error });
                }
                _ => plan.add(entry, there, rules),
            }
        }
        if delete {
            plan.remove_extras(&source.entries, &target.entries, closed, &replaced);
        }
        if rules.preserve != Preserve::No {
            plan.directories.extend(source.top);
            let there = |entry: &TreeEntry| match entry.path.is_root() {
                true => target.top.as_ref(),
                false => present.get(&entry.path).copied(),
            };
            let same = |entry: &TreeEntry| {
                there(entry).is_some_and(|there| !rules.preserve.differs(entry, there))
            };
            plan.keep_directories(same, rules.preserve == Preserve::ModesThere);
            let is_closed = |entry: &&TreeEntry| {
                there(entry).is_some_and(|there| there.mode & OWNED_DIRECTORY != OWNED_DIRECTORY)
            };
            let closed = plan.directories.iter().filter(is_closed);
            plan.closed = closed.map(|entry| (entry.path.clone(), entry.mode)).collect();
        }
        plan
    }

    /// Leaves out directories that are the `same` at both ends and stay so, as all do if times do
    /// not matter.
    fn keep_directories(&mut self, same: impl Fn(&TreeEntry) -> bool, modes_alone: bool) {
        if modes_alone {
            return self.directories.retain(|entry| !same(entry));
        }
        let removals = self.obstacles.iter().chain(&self.extras).map(|removal| &removal.path);
        let comes = self
            .files
            .iter()
            .map(|file| &file.path)
            .chain(self.missing.iter().map(|(path, _)| path));
        let touched: HashSet<_> = comes.chain(removals).filter_map(RemotePath::parent).collect();
        self.directories.retain(|entry| touched.contains(&entry.path) || !same(entry));
    }

    fn add(&mut self, entry: &TreeEntry, there: Option<&TreeEntry>, rules: Rules) {
        if entry.kind == EntryKind::Directory {
            if there.is_none() {
                self.missing.push((entry.path.clone(), entry.mode));
            }
            if rules.preserve != Preserve::No {
                self.directories.push(entry.clone());
            }
            return;
        }
        let same_size = there.is_some_and(|there| there.size == entry.size);
        let marked = rules.preserve != Preserve::No
            && same_size
            && there.is_some_and(|there| rules.preserve.differs(entry, there));
        let same_time = there.is_some_and(|there| there.modified == entry.modified);
        if same_size && same_time && rules.compare == Compare::Time {
            self.unchanged.0 += 1;
            self.unchanged.1 += entry.size;
            if marked {
                self.marks.push(entry.clone());
            }
            return;
        }
        let compare = match rules.compare {
            Compare::Time => false,
            Compare::Digest => same_size,
            Compare::Content => same_size && is_small(entry.size),
        };
        if compare && marked {
            self.marks.push(entry.clone());
        }
        self.files.push(FileStep { path: entry.path.clone(), size: entry.size, compare });
    }

    fn remove_extras(
        &mut self,
        source: &[TreeEntry],
        target: &[TreeEntry],
        mut closed: HashSet<RemotePath>,
        replaced: &HashSet<RemotePath>,
    ) {
        let wanted: HashSet<_> = source.iter().map(|entry| &entry.path).collect();
        let mut cleared = HashSet::new();
        for entry in target {
            let parent = entry.path.parent().unwrap_or_default();
            if closed.contains(&parent) {
                closed.insert(entry.path.clone());
                continue;
            }
            let is_directory = entry.kind == EntryKind::Directory;
            let removal = Removal { path: entry.path.clone(), is_directory };
            if replaced.contains(&entry.path) || cleared.contains(&parent) {
                cleared.insert(entry.path.clone());
                self.obstacles.push(removal);
            } else if !wanted.contains(&entry.path) {
                self.extras.push(removal);
            }
        }
        // What a directory holds goes before it.
        self.obstacles.reverse();
        self.extras.reverse();
    }

    /// Bytes of all files to bring over.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }
}

/// A kind as people call it.
#[must_use]
pub fn a_kind(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::File => "a file",
        EntryKind::Directory => "a directory",
        EntryKind::Symlink => "a symbolic link",
        EntryKind::Special => "a special file",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(entries: &[(&str, EntryKind, u64, i64)]) -> Listing {
        let entry = |&(path, kind, size, modified): &(&str, EntryKind, u64, i64)| TreeEntry {
            path: RemotePath::parse(path).unwrap(),
            kind,
            size,
            modified,
            mode: 0o644,
        };
        let mut entries: Vec<_> = entries.iter().map(entry).collect();
        entries.sort_by(|one, other| one.path.cmp(&other.path));
        Listing { entries, ..Listing::default() }
    }

    fn removals(removals: &[Removal]) -> Vec<&str> {
        removals.iter().map(|removal| removal.path.as_str()).collect()
    }

    use EntryKind::{Directory, File, Symlink};

    #[test]
    fn a_file_of_the_same_size_is_judged_by_the_rules() {
        let here = [("same", File, 5, 1), ("touched", File, 5, 2), ("new", File, 5, 1)];
        let there = [("same", File, 5, 1), ("touched", File, 5, 1)];
        for (compare, unchanged, compared) in
            [(Compare::Time, 1, 0), (Compare::Digest, 0, 2), (Compare::Content, 0, 2)]
        {
            let rules = Rules { compare, delete: false, preserve: Preserve::No };
            let plan = Plan::new(listing(&here), listing(&there), rules);
            assert_eq!(plan.unchanged.0, unchanged, "{compare:?}");
            let count = plan.files.iter().filter(|file| file.compare).count();
            assert_eq!(count, compared, "{compare:?}");
        }
    }

    #[test]
    fn a_file_in_the_way_of_a_directory_stops_that_directory_only() {
        let here = [
            ("d", Directory, 0, 1),
            ("d-1", File, 1, 1),
            ("d/a", File, 1, 1),
            ("d/b", Directory, 0, 1),
            ("d/b/c", File, 1, 1),
            ("e", File, 1, 1),
        ];
        let rules = Rules { compare: Compare::Time, delete: false, preserve: Preserve::No };
        let plan = Plan::new(listing(&here), listing(&[("d", File, 1, 1)]), rules);
        let files: Vec<_> = plan.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(files, ["d-1", "e"]);
        assert_eq!(plan.problems.len(), 1);
        assert!(plan.missing.is_empty() && plan.obstacles.is_empty());
    }

    #[test]
    fn deleting_clears_the_way_first_and_keeps_what_stands_behind_a_link() {
        let here = [("f", File, 1, 1), ("link", Symlink, 0, 1), ("kept", File, 1, 1)];
        let there = [
            ("f", Directory, 0, 1),
            ("f/x", File, 1, 1),
            ("f/y", Directory, 0, 1),
            ("f/y/z", File, 1, 1),
            ("kept", File, 1, 1),
            ("link", Directory, 0, 1),
            ("link/inside", File, 1, 1),
            ("old", Directory, 0, 1),
            ("old/a", File, 1, 1),
        ];
        let rules = Rules { compare: Compare::Time, delete: true, preserve: Preserve::No };
        let plan = Plan::new(listing(&here), listing(&there), rules);
        assert_eq!(removals(&plan.obstacles), ["f/y/z", "f/y", "f/x", "f"]);
        assert_eq!(removals(&plan.extras), ["old/a", "old"]);
        assert_eq!(plan.files.len(), 1);
    }

    #[test]
    fn nothing_is_deleted_after_an_incomplete_listing() {
        let rules = Rules { compare: Compare::Time, delete: true, preserve: Preserve::No };
        let denied = || TreeError::from(sealane_base::files::StorageError::Denied);
        for (error, keeps) in [(denied(), true), (TreeError::Hidden(1), false)] {
            let mut source = listing(&[]);
            source.problems.push(Problem { path: "/".into(), error });
            let plan = Plan::new(source, listing(&[("old", File, 1, 1)]), rules);
            assert_eq!((plan.extras.is_empty(), plan.keeps_extras), (keeps, keeps));
        }
    }
}
