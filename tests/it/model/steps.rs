//! What clients and the administrator may do, in a world so small that they meet.

use proptest::prelude::*;
use sealane_base::types::RemotePath;

use super::reference::Content;

const MIB: u64 = 1 << 20;

/// Any path but the home itself. Below `s`, where trees are synchronised, there are files only.
const PATHS: [&str; 11] = ["a", "b", "c", "d", "d/a", "d/b", "d/e", "d/e/a", "c/d", "s/n0", "s/n1"];
/// Those that become and stop being directories, or are given other names.
const FREE: usize = 9;

#[derive(Clone, Debug)]
pub enum Act {
    Put {
        path: RemotePath,
        content: Content,
        small: bool,
    },
    /// The connection is cut when so many bytes of an upload have passed.
    CutPut {
        path: RemotePath,
        content: Content,
        after: u64,
    },
    /// Two sessions at once, to one name.
    Race {
        path: RemotePath,
        contents: [Content; 2],
    },
    Get {
        path: RemotePath,
        stale: bool,
    },
    Remove {
        path: RemotePath,
        recursive: bool,
    },
    MakeDirectory {
        path: RemotePath,
        parents: bool,
    },
    Rename {
        from: RemotePath,
        to: RemotePath,
        replace: bool,
    },
    List {
        path: RemotePath,
        whole: bool,
    },
    Stat {
        path: RemotePath,
    },
    SetMeta {
        path: RemotePath,
        modified: i64,
    },
    /// A tree of small files below `s`; with `delete`, what is not in it goes.
    Sync {
        files: Vec<(u8, Content)>,
        delete: bool,
    },
    /// Removes one partial, if there is one.
    Discard {
        which: usize,
    },
    Close,
    Quota {
        bytes: u64,
    },
    Restart,
}

/// Somebody does something: account, session, what.
#[derive(Clone, Debug)]
pub struct Step {
    pub account: usize,
    pub session: usize,
    pub act: Act,
}

fn any_path() -> impl Strategy<Value = RemotePath> {
    prop::sample::select(&PATHS[..]).prop_map(|path| RemotePath::parse(path).unwrap())
}

fn free_path() -> impl Strategy<Value = RemotePath> {
    prop::sample::select(&PATHS[..FREE]).prop_map(|path| RemotePath::parse(path).unwrap())
}

fn directory() -> impl Strategy<Value = RemotePath> {
    prop_oneof![1 => Just(RemotePath::default()), 3 => free_path(),
        1 => Just(RemotePath::parse("s").unwrap())]
}

/// What is a directory with something in it at the beginning.
fn filled() -> impl Strategy<Value = RemotePath> {
    prop::sample::select(vec!["d", "d/e", "s"]).prop_map(|path| RemotePath::parse(path).unwrap())
}

/// What everybody has before anything happens.
pub fn beginning(account: usize) -> Vec<Step> {
    let path = |path| RemotePath::parse(path).unwrap();
    let put = |name, size| {
        let content = Content { size, seed: 1 };
        Act::Put { path: path(name), content, small: size < MIB }
    };
    let acts = [
        Act::MakeDirectory { path: path("d/e"), parents: true },
        Act::MakeDirectory { path: path("s"), parents: false },
        put("d/a", 2 * MIB + 77),
        put("d/e/a", 5000),
        put("s/n0", 300),
    ];
    acts.into_iter().map(|act| Step { account, session: 0, act }).collect()
}

fn content() -> impl Strategy<Value = Content> {
    let size = prop::sample::select(vec![
        0,
        1,
        5000,
        MIB - 1,
        MIB,
        MIB + 1,
        2 * MIB,
        2 * MIB + 77,
        3 * MIB,
    ]);
    // Few seeds, so that versions of a file have chunks in common.
    (size, 0u64..4).prop_map(|(size, seed)| Content { size, seed })
}

fn tiny() -> impl Strategy<Value = Content> {
    (0u64..3000, 0u64..4).prop_map(|(size, seed)| Content { size, seed })
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (any_path(), content(), any::<bool>())
            .prop_map(|(path, content, small)| Act::Put { path, content, small }),
        3 => (any_path(), content(), 0..4 * MIB)
            .prop_map(|(path, content, after)| Act::CutPut { path, content, after }),
        1 => (any_path(), content(), content())
            .prop_map(|(path, one, two)| Act::Race { path, contents: [one, two] }),
        3 => (any_path(), any::<bool>()).prop_map(|(path, stale)| Act::Get { path, stale }),
        2 => (any_path(), any::<bool>())
            .prop_map(|(path, recursive)| Act::Remove { path, recursive }),
        2 => filled().prop_map(|path| Act::Remove { path, recursive: true }),
        4 => (free_path(), any::<bool>())
            .prop_map(|(path, parents)| Act::MakeDirectory { path, parents }),
        4 => (free_path(), free_path(), any::<bool>())
            .prop_map(|(from, to, replace)| Act::Rename { from, to, replace }),
        2 => (directory(), any::<bool>()).prop_map(|(path, whole)| Act::List { path, whole }),
        1 => (any_path()).prop_map(|path| Act::Stat { path }),
        1 => (free_path(), 0..2_000_000_000i64)
            .prop_map(|(path, modified)| Act::SetMeta { path, modified: modified * 1_000_000_000 }),
        1 => (prop::collection::vec((0u8..4, tiny()), 0..4), any::<bool>())
            .prop_map(|(files, delete)| Act::Sync { files, delete }),
        2 => (0usize..4).prop_map(|which| Act::Discard { which }),
        1 => Just(Act::Close),
        1 => prop::sample::select(vec![1, MIB, 3 * MIB, 6 * MIB, 12 * MIB])
            .prop_map(|bytes| Act::Quota { bytes }),
        1 => Just(Act::Restart),
    ]
}

pub fn step() -> impl Strategy<Value = Step> {
    (0usize..2, 0usize..3, act()).prop_map(|(account, session, act)| Step { account, session, act })
}
