//! Two trees beside each other without moving either: what differs, and what only one of them has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::ends::{Ends, cached_root};
use super::error::{Problem, TreeError};
use super::exclude::Exclude;
use super::plan::{FileStep, a_kind};
use super::remote::{list_remote, walk};
use crate::client::Client;
use crate::digest_cache::DigestCache;
use crate::session::SessionError;
use sealane_base::files::{EntryKind, FileSource, Source, TreeEntry};
use sealane_base::types::{Digest, RemotePath};
use sealane_protocol::Status;
use sealane_protocol::transfer::{Meter, TransferError};

/// Files read at once, by each end.
const SIDE_BY_SIDE: usize = 8;

/// What became of one comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Size and root are the same.
    Same(u64, Digest),
    /// The file differs; the roots here and there, if both were read: sizes that differ say enough.
    Differs(Option<(Digest, Digest)>),
    /// Only the server has it; the kind as people call it.
    MissingHere(&'static str),
    /// Only this machine has it.
    MissingThere(&'static str),
    /// Of two kinds: what it is here and there.
    OtherKind(&'static str, &'static str),
}

/// One path that was looked at.
#[derive(Debug)]
pub struct Compared {
    /// Relative to the tree, as people know it.
    pub path: String,
    /// It is the server's tree that could not be listed there.
    pub is_remote: bool,
    /// What was found, or why nothing was.
    pub result: Result<Verdict, TreeError>,
}

impl Compared {
    fn new(path: &RemotePath, result: Result<Verdict, TreeError>) -> Self {
        Self { path: path.to_string(), is_remote: false, result }
    }
}

/// Compares the trees of `ends` and calls `on` for every file, for every directory that only one
/// has, and for what could not be listed. Of a directory that is missing nothing below is told.
/// Links and special files are passed over if both ends have one.
///
/// Cancel safety: dropping the future stops reading.
///
/// # Errors
/// [`SessionError`] if the server's tree cannot be listed at all, and once the connection is lost
/// for good. A file that cannot be read is told to `on`.
pub async fn compare_trees(
    ends: &Arc<Ends>,
    exclude: &Exclude,
    mut on: impl FnMut(Compared),
) -> Result<(), SessionError> {
    let here = walk(&ends.tree, exclude).await?;
    let there = list_remote(&ends.client, &ends.base, exclude).await?;
    for (is_remote, problems) in [(false, here.problems), (true, there.problems)] {
        for Problem { path, error } in problems {
            on(Compared { path, is_remote, result: Err(error) });
        }
    }
    let (decided, files) = beside(here.entries, there.entries);
    decided.into_iter().for_each(&mut on);
    ends.meter.expect(files.iter().map(|file| file.size).sum());
    let (mut files, mut running) = (files.into_iter(), JoinSet::new());
    loop {
        while running.len() < SIDE_BY_SIDE.min(ends.client.max_requests())
            && let Some(file) = files.next()
        {
            let ends = ends.clone();
            running.spawn(async move {
                let result = compare(&ends, &file).await;
                Compared::new(&file.path, result)
            });
        }
        match running.join_next().await {
            None => return Ok(()),
            Some(compared) => match compared.map_err(|_| TransferError::Thread)? {
                Compared { result: Err(TreeError::Session(error)), .. }
                    if ends.client.failure().is_some() =>
                {
                    return Err(error);
                }
                compared => on(compared),
            },
        }
    }
}

/// Compares the file `here` with the one at `there` on the server, which read at the same time.
///
/// Cancel safety: dropping the future lets the thread that reads run to its end.
///
/// # Errors
/// [`SessionError::Transfer`] if the file here cannot be read, else the server's.
pub async fn compare_file(
    client: &Client,
    here: PathBuf,
    there: &RemotePath,
    cache: Option<Arc<DigestCache>>,
    meter: &Arc<Meter>,
) -> Result<Verdict, SessionError> {
    let meter = meter.clone();
    let reading = tokio::task::spawn_blocking(move || -> Result<_, TransferError> {
        let source = FileSource::open(&here)?;
        meter.expect(source.size());
        let root = cached_root(cache.as_deref(), &source, &meter)?;
        Ok((source.size(), root))
    });
    let (here, there) = tokio::join!(reading, client.digest(there));
    // A file that cannot be read here is not told before the login is answered.
    client.logged_in().await?;
    let (size, root) = here.unwrap_or(Err(TransferError::Thread))?;
    match there {
        Ok(there) if (there.size, there.root) == (size, root) => Ok(Verdict::Same(size, root)),
        Ok(there) => Ok(Verdict::Differs(Some((root, there.root)))),
        Err(error) if error.status() == Some(Status::NotFound) => {
            Ok(Verdict::MissingThere(a_kind(EntryKind::File)))
        }
        Err(error) => Err(error),
    }
}

/// What the listings decide alone, in order of the paths, and the files that must be read.
fn beside(here: Vec<TreeEntry>, there: Vec<TreeEntry>) -> (Vec<Compared>, Vec<FileStep>) {
    let mut pairs: BTreeMap<RemotePath, [Option<TreeEntry>; 2]> = BTreeMap::new();
    for (side, entries) in [here, there].into_iter().enumerate() {
        for entry in entries {
            let pair = pairs.entry(entry.path.clone()).or_default();
            if let Some(place) = pair.get_mut(side) {
                *place = Some(entry);
            }
        }
    }
    let (mut decided, mut files, mut closed) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (path, pair) in pairs {
        if path.parent().is_some_and(|parent| closed.contains(&parent)) {
            closed.insert(path);
            continue;
        }
        let verdict = match pair {
            [Some(here), Some(there)] => match (here.kind, there.kind) {
                // A size of 0 may only mean that the system here does not know it.
                (EntryKind::File, EntryKind::File) if here.size == there.size || here.size == 0 => {
                    files.push(FileStep { path, size: here.size, compare: true });
                    continue;
                }
                (EntryKind::File, EntryKind::File) => Verdict::Differs(None),
                (one, other) if one == other => continue,
                (one, other) => Verdict::OtherKind(a_kind(one), a_kind(other)),
            },
            [Some(here), None] => Verdict::MissingThere(a_kind(here.kind)),
            [None, Some(there)] => Verdict::MissingHere(a_kind(there.kind)),
            [None, None] => continue,
        };
        if !matches!(verdict, Verdict::Differs(_)) {
            closed.insert(path.clone());
        }
        decided.push(Compared::new(&path, Ok(verdict)));
    }
    (decided, files)
}

/// Compares a file that both have; both ends read at the same time.
async fn compare(ends: &Arc<Ends>, file: &FileStep) -> Result<Verdict, TreeError> {
    let path = ends.remote(&file.path)?;
    let (here, there) = tokio::join!(ends.root_here(file), ends.client.digest(&path));
    let ((size, here), there) = (here?, there?);
    if (there.size, there.root) == (size, here) {
        return Ok(Verdict::Same(size, here));
    }
    Ok(Verdict::Differs(Some((here, there.root))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(list: &[(&str, EntryKind, u64)]) -> Vec<TreeEntry> {
        let entry = |&(path, kind, size): &(&str, EntryKind, u64)| {
            let path = RemotePath::parse(path).unwrap();
            TreeEntry { path, kind, size, modified: 0, mode: 0o644 }
        };
        list.iter().map(entry).collect()
    }

    #[test]
    fn listings_decide_all_but_files_of_one_size() {
        use EntryKind::{Directory, File, Symlink};
        let here = [
            ("a", File, 1),
            ("b", File, 1),
            ("d", Directory, 0),
            ("d/x", File, 1),
            ("k", Symlink, 0),
            ("l", Symlink, 0),
        ];
        let there = [
            ("a", File, 1),
            ("b", File, 2),
            ("e", Directory, 0),
            ("e/x", File, 1),
            ("k", File, 0),
            ("l", Symlink, 0),
        ];
        let (decided, files) = beside(entries(&here), entries(&there));
        assert_eq!(files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["a"]);
        let verdicts: Vec<_> =
            decided.iter().map(|one| (one.path.as_str(), *one.result.as_ref().unwrap())).collect();
        let expected = [
            ("b", Verdict::Differs(None)),
            ("d", Verdict::MissingThere("a directory")),
            ("e", Verdict::MissingHere("a directory")),
            ("k", Verdict::OtherKind("a symbolic link", "a file")),
        ];
        assert_eq!(verdicts, expected);
    }
}
