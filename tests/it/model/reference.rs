//! What one account has, as a person would say it: paths and what they are, a limit, what is left
//! of interrupted uploads. It says what each request must answer, and does it.

use std::collections::BTreeMap;

use sealane_base::types::RemotePath;
use sealane_protocol::Status;

use crate::support::noise;

/// Bytes, by how many and which.
#[derive(Clone, Copy, Debug)]
pub struct Content {
    pub size: u64,
    pub seed: u64,
}

/// Nothing is nothing, whatever it was made from.
impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        self.size == other.size && (self.seed == other.seed || self.bytes() == other.bytes())
    }
}

impl Eq for Content {}

impl Content {
    pub fn bytes(self) -> Vec<u8> {
        noise(self.size as usize, self.seed)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    Directory,
    File(Content),
}

/// A refusal: status, and for a quota the bytes short.
pub type Refused = (Status, Option<u64>);

type Answer<T = ()> = Result<T, Refused>;

fn no<T>(status: Status) -> Answer<T> {
    Err((status, None))
}

#[derive(Clone, Debug)]
pub struct Reference {
    /// Everything but the home itself.
    pub nodes: BTreeMap<RemotePath, Node>,
    /// Bytes kept of uploads that were cut, by where they were to go.
    pub partials: BTreeMap<RemotePath, u64>,
    pub limit: u64,
}

impl Reference {
    pub fn new(limit: u64) -> Self {
        Self { nodes: BTreeMap::new(), partials: BTreeMap::new(), limit }
    }

    pub fn used(&self) -> u64 {
        let size = |node: &Node| if let Node::File(content) = node { content.size } else { 0 };
        self.nodes.values().map(size).sum::<u64>() + self.partials.values().sum::<u64>()
    }

    fn node(&self, path: &RemotePath) -> Option<Node> {
        if path.is_root() { Some(Node::Directory) } else { self.nodes.get(path).copied() }
    }

    fn is_empty(&self, directory: &RemotePath) -> bool {
        self.children(directory).is_empty()
    }

    fn children(&self, directory: &RemotePath) -> Vec<(String, Node)> {
        let inside =
            self.nodes.iter().filter(|(path, _)| path.parent().as_ref() == Some(directory));
        inside.map(|(path, node)| (path.name().unwrap().to_owned(), *node)).collect()
    }

    /// `path` is a directory, and so is all on the way.
    fn descend(&self, path: &RemotePath) -> Answer {
        let names: Vec<_> = path.components().collect();
        for end in 1..=names.len() {
            match self.node(&RemotePath::parse(&names[..end].join("/")).unwrap()) {
                Some(Node::Directory) => {}
                Some(Node::File(_)) => return no(Status::NotDirectory),
                None => return no(Status::NotFound),
            }
        }
        Ok(())
    }

    fn holder(&self, path: &RemotePath) -> Answer {
        path.parent().map_or_else(|| no(Status::Root), |parent| self.descend(&parent))
    }

    /// Whether an upload may begin.
    pub fn may_put(&self, path: &RemotePath, content: Content) -> Answer {
        self.holder(path)?;
        match self.node(path) {
            Some(Node::Directory) => return no(Status::IsDirectory),
            // What is there needs no room, however full the home is.
            Some(Node::File(present)) if present == content => return Ok(()),
            _ => {}
        }
        let size = content.size;
        let left = self.partials.get(path).copied().unwrap_or(0);
        // The old version counts until the new one is whole.
        let wanted = self.used() - left + size.max(left);
        match wanted.saturating_sub(self.limit) {
            0 => Ok(()),
            short => Err((Status::Quota, Some(short))),
        }
    }

    pub fn put(&mut self, path: &RemotePath, content: Content) -> Answer {
        self.may_put(path, content)?;
        self.has(path, content);
        Ok(())
    }

    /// An upload was committed.
    pub fn has(&mut self, path: &RemotePath, content: Content) {
        self.partials.remove(path);
        self.nodes.insert(path.clone(), Node::File(content));
    }

    pub fn get(&self, path: &RemotePath) -> Answer<Content> {
        self.holder(path)?;
        match self.node(path) {
            Some(Node::File(content)) => Ok(content),
            Some(Node::Directory) => no(Status::IsDirectory),
            None => no(Status::NotFound),
        }
    }

    pub fn remove(&mut self, path: &RemotePath, recursive: bool) -> Answer {
        self.stat(path)?;
        if !recursive && !self.is_empty(path) {
            return no(Status::NotEmpty);
        }
        self.nodes.retain(|other, _| !path.contains(other));
        Ok(())
    }

    pub fn make_directory(&mut self, path: &RemotePath, parents: bool) -> Answer {
        if parents {
            let names: Vec<_> = path.components().collect();
            for end in 1..=names.len() {
                let here = RemotePath::parse(&names[..end].join("/")).unwrap();
                if *self.nodes.entry(here).or_insert(Node::Directory) != Node::Directory {
                    return no(Status::NotDirectory);
                }
            }
            return Ok(());
        }
        self.holder(path)?;
        if self.node(path).is_some() {
            return no(Status::Exists);
        }
        self.nodes.insert(path.clone(), Node::Directory);
        Ok(())
    }

    pub fn rename(&mut self, from: &RemotePath, to: &RemotePath, replace: bool) -> Answer {
        self.holder(from)?;
        if from != to && from.contains(to) {
            return no(Status::Path);
        }
        self.holder(to)?;
        let Some(moved) = self.node(from) else { return no(Status::NotFound) };
        match (moved, self.node(to)) {
            (_, Some(_)) if !replace => return no(Status::Exists),
            (_, Some(_)) if from == to => return Ok(()),
            (Node::Directory, Some(Node::Directory)) if !self.is_empty(to) => {
                return no(Status::NotEmpty);
            }
            (Node::Directory, Some(Node::File(_))) => return no(Status::NotDirectory),
            (Node::File(_), Some(Node::Directory)) => return no(Status::IsDirectory),
            _ => {}
        }
        let below: Vec<_> = self.nodes.keys().filter(|path| from.contains(path)).cloned().collect();
        self.nodes.remove(to);
        for path in below {
            let rest = path.as_str()[from.as_str().len()..].to_owned();
            let node = self.nodes.remove(&path).unwrap();
            self.nodes.insert(RemotePath::parse(&format!("{to}{rest}")).unwrap(), node);
        }
        Ok(())
    }

    pub fn list(&self, path: &RemotePath) -> Answer<Vec<(String, Node)>> {
        self.descend(path)?;
        let mut entries = self.children(path);
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(entries)
    }

    pub fn stat(&self, path: &RemotePath) -> Answer<Node> {
        self.holder(path)?;
        self.node(path).map_or_else(|| no(Status::NotFound), Ok)
    }
}
