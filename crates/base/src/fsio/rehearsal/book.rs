//! Every change of a tree, in the order of the calls, and the tree before the first of them.
//!
//! Files and directories are known by numbers of our own: the system uses those of removed ones
//! again.

use std::collections::HashMap;
use std::path::Path;

use rustix::fs::{Mode, Stat};

use super::event::{Event, Node};
use super::world::{Thing, Tree};

/// What a run did to one tree.
pub(super) struct Book {
    pub(super) before: Tree,
    pub(super) events: Vec<Event>,
    numbers: HashMap<(u64, u64), Node>,
    count: usize,
}

impl Book {
    /// Begins with the tree at `root`, all of which is on the disk for good.
    pub(super) fn open(root: &Path) -> Self {
        let mut book =
            Self { before: Tree::default(), events: Vec::new(), numbers: HashMap::new(), count: 0 };
        let node = book.add(root);
        book.before.root = node;
        book
    }

    #[expect(clippy::disallowed_methods, reason = "the tree as it is")]
    fn add(&mut self, path: &Path) -> Node {
        let stat = rustix::fs::lstat(path).unwrap();
        let node = self.node(&stat);
        let mode = Mode::from_raw_mode(stat.st_mode).as_raw_mode() & 0o7777;
        let thing = if path.is_dir() {
            let mut names = std::collections::BTreeMap::new();
            for entry in std::fs::read_dir(path).unwrap() {
                let entry = entry.unwrap();
                let child = self.add(&entry.path());
                names.insert(entry.file_name().into_string().unwrap(), child);
            }
            Thing::Directory { names, mode }
        } else {
            Thing::File { bytes: std::fs::read(path).unwrap(), mode }
        };
        self.before.things.insert(node, thing);
        node
    }

    /// The number of what the system says this of.
    pub(super) fn node(&mut self, stat: &Stat) -> Node {
        let key = (stat.st_dev, stat.st_ino);
        let next = self.count;
        let node = *self.numbers.entry(key).or_insert(next);
        self.count = self.count.max(node + 1);
        node
    }

    /// As [`Book::node`], of what was made just now.
    pub(super) fn new_node(&mut self, stat: &Stat) -> Node {
        self.numbers.remove(&(stat.st_dev, stat.st_ino));
        self.node(stat)
    }
}
