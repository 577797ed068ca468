//! What a call did to a tree.

/// A file or directory, whatever it is called.
pub(super) type Node = usize;

/// A name in a directory.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) directory: Node,
    pub(super) name: String,
}

/// One call that did something.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// Something new has a name.
    Created { entry: Entry, node: Node, is_directory: bool, mode: u32 },
    /// A file has a second name.
    Linked { entry: Entry, node: Node },
    /// It has another name now, and what had that has none.
    Renamed { from: Entry, to: Entry, node: Node },
    /// The name is gone.
    Removed { entry: Entry, node: Node },
    /// Bytes were written.
    Written { node: Node, offset: usize, bytes: Vec<u8> },
    /// It was cut, or extended with zeros.
    Cut { node: Node, length: usize },
    /// It has other permission bits.
    Mode { node: Node, mode: u32 },
    /// A file with all it holds, or a directory with its names, was brought to the disk.
    Synced { node: Node },
    /// That failed: what was not on the disk before may be forgotten, and a later call says nothing
    /// of it.
    NotSynced { node: Node },
    /// Everything was brought to the disk.
    AllSynced,
}
