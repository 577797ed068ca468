//! What may be on the disk when the power was cut after the n-th call.
//!
//! The rules are those of POSIX read strictly, with the one promise that every journalling file
//! system adds (ext4 in all its modes, XFS, btrfs, F2FS, APFS): a change of names happens as a
//! whole or not at all, a rename across two directories too.
//! - What a file holds lasts from its last sync on. What was written after that may be there, be
//!   missing, be zeros or be there in part, whatever the length says.
//! - A change of a name lasts once a directory that it changed was synced. Syncing a file says
//!   nothing of its name. Changes that are not synced may be there or not; those that came first
//!   rather.
//! - After a sync that failed, what it should have brought to the disk may be lost for good, though
//!   the next one succeeds.
//!
//! File systems without a journal (ext2, FAT) promise less.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::event::{Entry, Event, Node};

/// Files and directories on a disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    pub(super) root: Node,
    pub(super) things: BTreeMap<Node, Thing>,
}

/// One of them.
#[derive(Clone, Debug)]
pub(super) enum Thing {
    File { bytes: Vec<u8>, mode: u32 },
    Directory { names: BTreeMap<String, Node>, mode: u32 },
}

/// What becomes of changes of names that were not synced.
#[derive(Clone, Copy, Debug)]
pub(super) enum Names {
    Lost,
    /// The first half of them is there.
    Half,
    Kept,
}

/// What becomes of bytes that were not synced.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bytes {
    Lost,
    /// The length is there and the rest is zeros.
    Zeros,
    /// The first half of each write is there.
    Torn,
    Kept,
}

/// All that may happen to what was not synced.
pub(super) const FATES: [(Names, Bytes); 9] = {
    use Bytes::{Torn, Zeros};
    [
        (Names::Lost, Bytes::Lost),
        (Names::Lost, Bytes::Kept),
        (Names::Half, Bytes::Lost),
        (Names::Half, Torn),
        (Names::Half, Bytes::Kept),
        (Names::Kept, Bytes::Lost),
        (Names::Kept, Zeros),
        (Names::Kept, Torn),
        (Names::Kept, Bytes::Kept),
    ]
};

impl Event {
    /// The directories in which it changes a name.
    fn directories(&self) -> Vec<Node> {
        match self {
            Self::Created { entry, .. }
            | Self::Linked { entry, .. }
            | Self::Removed { entry, .. } => {
                vec![entry.directory]
            }
            Self::Renamed { from, to, .. } => vec![from.directory, to.directory],
            _ => Vec::new(),
        }
    }

    /// The file that it changes.
    fn file(&self) -> Option<Node> {
        match self {
            Self::Written { node, .. } | Self::Cut { node, .. } | Self::Mode { node, .. } => {
                Some(*node)
            }
            _ => None,
        }
    }
}

/// Whether what `events[at]` did is on the disk for good after all of `events`.
fn lasts(events: &[Event], at: usize) -> bool {
    let (directories, file) = (events[at].directories(), events[at].file());
    for later in &events[at + 1..] {
        match later {
            Event::AllSynced => return true,
            Event::Synced { node } if directories.contains(node) || file == Some(*node) => {
                return true;
            }
            Event::NotSynced { node } if file == Some(*node) => return false,
            _ => {}
        }
    }
    false
}

impl Tree {
    /// The disk after `events`, when what was not synced had this fate.
    pub(super) fn after(&self, events: &[Event], names: Names, bytes: Bytes) -> Self {
        let lasting: Vec<_> = (0..events.len()).map(|at| lasts(events, at)).collect();
        let is_name = |at: &usize| !events[*at].directories().is_empty();
        let loose: Vec<_> = (0..events.len()).filter(|at| is_name(at) && !lasting[*at]).collect();
        let kept = match names {
            Names::Lost => 0,
            Names::Half => loose.len() / 2,
            Names::Kept => loose.len(),
        };
        let kept: BTreeSet<_> = loose.into_iter().take(kept).collect();
        let mut tree = self.clone();
        for (at, event) in events.iter().enumerate() {
            if is_name(&at) {
                tree.make(event);
                if lasting[at] || kept.contains(&at) {
                    tree.rename(event);
                }
            } else {
                tree.write(event, if lasting[at] { Bytes::Kept } else { bytes });
            }
        }
        tree
    }

    /// A new file or directory is there before anything is said of its name.
    fn make(&mut self, event: &Event) {
        if let Event::Created { node, is_directory, mode, .. } = *event {
            let thing = match is_directory {
                true => Thing::Directory { names: BTreeMap::new(), mode },
                false => Thing::File { bytes: Vec::new(), mode },
            };
            self.things.insert(node, thing);
        }
    }

    fn rename(&mut self, event: &Event) {
        match event {
            Event::Created { entry, node, .. } | Event::Linked { entry, node } => {
                self.names(entry).insert(entry.name.clone(), *node);
            }
            Event::Renamed { from, to, node } => {
                self.forget(from, *node);
                self.names(to).insert(to.name.clone(), *node);
            }
            Event::Removed { entry, node } => self.forget(entry, *node),
            _ => {}
        }
    }

    fn names(&mut self, entry: &Entry) -> &mut BTreeMap<String, Node> {
        match self.things.get_mut(&entry.directory) {
            Some(Thing::Directory { names, .. }) => names,
            other => panic!("{other:?} has no names"),
        }
    }

    fn forget(&mut self, entry: &Entry, node: Node) {
        let names = self.names(entry);
        if names.get(&entry.name) == Some(&node) {
            names.remove(&entry.name);
        }
    }

    fn write(&mut self, event: &Event, fate: Bytes) {
        let Some(thing) = event.file().and_then(|node| self.things.get_mut(&node)) else { return };
        match (thing, event) {
            (_, _) if matches!(fate, Bytes::Lost) => {}
            (Thing::File { bytes: held, .. }, Event::Written { offset, bytes, .. }) => {
                let end = offset + bytes.len();
                held.resize(held.len().max(end), 0);
                let share = match fate {
                    Bytes::Lost | Bytes::Zeros => 0,
                    Bytes::Torn => bytes.len() / 2,
                    Bytes::Kept => bytes.len(),
                };
                held[*offset..offset + share].copy_from_slice(&bytes[..share]);
            }
            (Thing::File { bytes, .. }, Event::Cut { length, .. }) => bytes.resize(*length, 0),
            (Thing::File { mode: held, .. }, Event::Mode { mode, .. })
            | (Thing::Directory { mode: held, .. }, Event::Mode { mode, .. }) => *held = *mode,
            _ => {}
        }
    }

    /// Everything that has a name, by its path: what a file holds, nothing of a directory; and the
    /// mode.
    pub(super) fn paths(&self) -> BTreeMap<String, (Option<Vec<u8>>, u32)> {
        let mut found = BTreeMap::new();
        let mut open = vec![(String::new(), self.root)];
        while let Some((path, node)) = open.pop() {
            match &self.things[&node] {
                Thing::File { bytes, mode } => found.insert(path, (Some(bytes.clone()), *mode)),
                Thing::Directory { names, mode } => {
                    let below = |(name, node): (&String, &Node)| (format!("{path}/{name}"), *node);
                    open.extend(names.iter().map(below));
                    found.insert(path, (None, *mode))
                }
            };
        }
        found
    }
}

/// Lays a disk out in the empty directory `root`.
#[expect(clippy::disallowed_methods, reason = "not a write of ours")]
pub(super) fn lay_out(paths: &BTreeMap<String, (Option<Vec<u8>>, u32)>, root: &Path) {
    for (path, (bytes, mode)) in paths {
        let path = root.join(path.trim_start_matches('/'));
        match bytes {
            Some(bytes) => std::fs::write(&path, bytes).unwrap(),
            None if path.is_dir() => {}
            None => std::fs::create_dir(&path).unwrap(),
        }
        std::fs::set_permissions(&path, Permissions::from_mode(*mode)).unwrap();
    }
}
