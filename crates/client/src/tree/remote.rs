//! What is in a tree, on the server or on this machine.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::error::{Problem, TreeError};
use super::exclude::Exclude;
use crate::client::Client;
use crate::session::{ListingMemory, SessionError};
use sealane_base::files::{EntryKind, Tree, TreeEntry, Unwalked, Walked};
use sealane_base::types::RemotePath;
use sealane_protocol::message::{Entries, Entry};
use sealane_protocol::transfer::TransferError;
use sealane_protocol::{Kind, Status, limits};

/// Directories asked for at once.
const SIDE_BY_SIDE: usize = 16;

/// A tree of either end.
#[derive(Debug, Default)]
pub struct Listing {
    /// The tree's own directory, by the empty path, if it is to keep its time and mode.
    pub top: Option<TreeEntry>,
    /// In order of their paths.
    pub entries: Vec<TreeEntry>,
    /// What is missing in `entries`.
    pub problems: Vec<Problem>,
}

impl From<Walked> for Listing {
    fn from(walked: Walked) -> Self {
        let problem = |unwalked| match unwalked {
            Unwalked::Directory(path, error) => {
                Problem { path: path.to_string(), error: error.into() }
            }
            Unwalked::Name(path, error) => Problem { path, error: error.into() },
        };
        let problems = walked.missing.into_iter().map(problem).collect();
        Self { top: None, entries: walked.entries, problems }
    }
}

/// Lists everything in a tree of this machine, without what is excluded.
///
/// Cancel safety: dropping the future lets the thread that reads run to its end.
///
/// # Errors
/// [`TransferError::Thread`] alone: a directory that cannot be listed is a problem of its own.
pub async fn walk(tree: &Arc<Tree>, exclude: &Exclude) -> Result<Listing, SessionError> {
    let (tree, exclude) = (tree.clone(), exclude.clone());
    let walk = move || {
        let walked = tree.walk(&|path, is_directory| exclude.matches_text(path, is_directory));
        Listing { top: tree.top().ok(), ..walked.into() }
    };
    Ok(tokio::task::spawn_blocking(walk).await.map_err(|_| TransferError::Thread)?)
}

/// Lists everything below `base`, without what is excluded; several directories at a time.
///
/// Cancel safety: dropping the future forgets the answers.
///
/// # Errors
/// [`SessionError`] if `base` itself cannot be listed or the connection fails. A directory below
/// that cannot be listed is a problem of its own.
pub async fn list_remote(
    client: &Client,
    base: &RemotePath,
    exclude: &Exclude,
) -> Result<Listing, SessionError> {
    let (mut listing, memory) = (Listing::default(), ListingMemory::default());
    let mut ahead = vec![RemotePath::default()];
    let mut running = JoinSet::new();
    loop {
        while running.len() < SIDE_BY_SIDE.min(client.max_requests())
            && let Some(here) = ahead.pop()
        {
            let (client, base, memory) = (client.clone(), base.clone(), memory.clone());
            running.spawn(async move {
                let read = read_directory(&client, &base, &here, &memory).await;
                (here, read)
            });
        }
        match running.join_next().await {
            None => break,
            Some(Err(_)) => return Err(TransferError::Thread.into()),
            Some(Ok((here, Ok(all)))) => {
                // Each is kept with its whole path from now on.
                memory.take_bytes(all.entries.len().saturating_mul(here.as_str().len()))?;
                // Directories are kept twice, until they have been asked for.
                let directories = all.entries.iter().filter(|entry| entry.kind == 1);
                memory.take(directories.map(|entry| here.as_str().len() + entry.name.len()))?;
                listing.add(&here, all, exclude, &mut ahead);
            }
            Some(Ok((here, Err(error)))) => {
                let is_fatal = matches!(
                    error,
                    TreeError::Session(SessionError::Connection(_) | SessionError::TooLong { .. })
                );
                if here.is_root() || is_fatal {
                    return Err(match error {
                        TreeError::Session(error) => error,
                        _ => SessionError::Answer(Kind::Entries),
                    });
                }
                let gone = matches!(&error, TreeError::Session(error) if error.status() == Some(Status::NotFound));
                if !gone {
                    memory.take([here.as_str().len(), text_of(&error)])?;
                    listing.problems.push(Problem { path: here.to_string(), error });
                }
            }
        }
        if listing.entries.len() > limits::ENTRIES_IN_ALL {
            return Err(SessionError::Answer(Kind::Entries));
        }
    }
    listing.entries.sort_unstable_by(|one, other| one.path.cmp(&other.path));
    listing.entries.dedup_by(|one, other| one.path == other.path);
    Ok(listing)
}

/// Bytes that a server said with a refusal, which is kept.
fn text_of(error: &TreeError) -> usize {
    match error {
        TreeError::Session(SessionError::Refused(refused)) => refused.text.len(),
        _ => 0,
    }
}

async fn read_directory(
    client: &Client,
    base: &RemotePath,
    here: &RemotePath,
    memory: &ListingMemory,
) -> Result<Entries, TreeError> {
    let path = here.components().try_fold(base.clone(), |path, name| path.join(name))?;
    Ok(client.list_within(&path, memory).await?)
}

impl Listing {
    fn add(
        &mut self,
        here: &RemotePath,
        all: Entries,
        exclude: &Exclude,
        ahead: &mut Vec<RemotePath>,
    ) {
        let Entries { entries, hidden, unfit, .. } = all;
        let is_left_out = |name: &&String| {
            let (name, is_directory) = match name.strip_suffix('/') {
                Some(name) => (name, true),
                None => (name.as_str(), false),
            };
            let path = if here.is_root() { name.to_owned() } else { format!("{here}/{name}") };
            exclude.matches_text(&path, is_directory)
        };
        let left_out = unfit.iter().flatten().filter(is_left_out).count() as u64;
        let hidden = hidden.saturating_sub(left_out);
        if hidden > 0 {
            self.problems
                .push(Problem { path: here.to_string(), error: TreeError::Hidden(hidden) });
        }
        for entry in entries {
            let path = match here.join(&entry.name) {
                Ok(path) => path,
                Err(error) => {
                    let path = format!("{here}/{}", entry.name);
                    self.problems.push(Problem { path, error: error.into() });
                    continue;
                }
            };
            let kind = match entry.kind {
                0 => EntryKind::File,
                1 => EntryKind::Directory,
                2 => EntryKind::Symlink,
                _ => EntryKind::Special,
            };
            if exclude.matches(&path, kind == EntryKind::Directory) {
                continue;
            }
            if kind == EntryKind::Directory {
                ahead.push(path.clone());
            }
            let Entry { size, modified, mode, .. } = entry;
            self.entries.push(TreeEntry { path, kind, size, modified, mode });
        }
    }
}
