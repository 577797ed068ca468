//! Whole trees from here to a server or back: both ends are listed, compared, and one is made what
//! the other is.

use std::path::Path;
use std::sync::Arc;

use super::collide::{has_collisions, keep_first};
use super::ends::{Ends, Event};
use super::exclude::Exclude;
use super::plan::{Plan, Preserve, Rules};
use super::remote::{Listing, list_remote, walk};
use super::run::{download_tree, upload_tree};
use crate::client::Client;
use crate::digest_cache::DigestCache;
use crate::session::SessionError;
use sealane_base::files::{self, EntryKind, StorageError, Tree, TreeEntry};
use sealane_base::types::RemotePath;
use sealane_protocol::Status;
use sealane_protocol::message::Entry;
use sealane_protocol::transfer::Meter;

/// How trees are brought over.
#[derive(Debug)]
pub struct Copy {
    /// The client.
    pub client: Client,
    /// Counts bytes.
    pub meter: Arc<Meter>,
    /// What counts as unchanged, and whether the rest is deleted; `preserve` in it is not looked
    /// at.
    pub rules: Rules,
    /// What is left out at both ends.
    pub exclude: Exclude,
    /// Keep times and modes.
    pub preserve: bool,
    /// Only plan.
    pub dry_run: bool,
    /// Roots of this machine's files.
    pub cache: Option<Arc<DigestCache>>,
}

/// What happens while a tree is brought over.
#[derive(Debug)]
pub enum CopyEvent<'a> {
    /// This is to be done, and is all that happens in a dry run, or if `go_on` is set to false.
    Planned {
        /// What is to be done.
        plan: &'a Plan,
        /// Whether it is done.
        go_on: &'a mut bool,
    },
    /// A step of it has ended.
    Step(Event),
}

/// What was found where a directory is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Nothing: it was made now, so that nothing can be in it.
    New,
    /// A directory.
    Directory,
    /// Something else, or nothing in a dry run.
    Other,
}

impl Copy {
    /// What is at `path` on the server; if nothing is, a directory is made there, unless this is a
    /// dry run.
    ///
    /// Cancel safety: the directory may have been made.
    pub async fn destination(&self, path: &RemotePath) -> Destination {
        let make = async { !self.dry_run && self.client.make_new(path).await.unwrap_or(false) };
        match tokio::join!(make, self.client.stat(path)) {
            (true, _) => Destination::New,
            (false, Ok(entry)) if entry.kind == 1 => Destination::Directory,
            _ => Destination::Other,
        }
    }

    /// Brings a tree of this machine to the directory `base`, which is made if it is missing.
    /// `is_new` says that it was made just now: then it is not listed.
    ///
    /// Cancel safety: dropping the future interrupts what is under way; the same again continues.
    ///
    /// # Errors
    /// [`SessionError`] if `base` cannot be listed or made, and once nothing more can succeed. A
    /// step that fails alone is told to `on`.
    pub async fn upload(
        &self,
        tree: Tree,
        base: &RemotePath,
        is_new: bool,
        mut on: impl FnMut(CopyEvent<'_>),
    ) -> Result<(), SessionError> {
        let tree = Arc::new(tree);
        let source = walk(&tree, &self.exclude).await?;
        let (listed, top) = match is_new {
            true => (Ok(Listing::default()), None),
            false => self.list(base).await,
        };
        let target = match listed {
            Err(error) if error.status() == Some(Status::NotFound) => {
                if !self.dry_run {
                    self.client.make_directory(base, false).await?;
                }
                Listing::default()
            }
            listed => Listing { top, ..listed? },
        };
        let preserve = if self.preserve { Preserve::There } else { Preserve::ModesThere };
        let plan = Plan::new(source, target, Rules { preserve, ..self.rules });
        let mut go_on = !self.dry_run;
        on(CopyEvent::Planned { plan: &plan, go_on: &mut go_on });
        if self.dry_run || !go_on {
            return Ok(());
        }
        upload_tree(&self.ends(tree, base), plan, |event| on(CopyEvent::Step(event))).await
    }

    /// Brings the directory `base` of the server to the directory `to` of this machine, or to the
    /// one called `inside` in it: a link of that name is refused, because it is the server's. It is
    /// made unless this is a dry run.
    ///
    /// Nothing is written outside of it, whatever the server says and whatever links lie there.
    /// Cancel safety: as for [`Copy::upload`].
    ///
    /// # Errors
    /// As [`Copy::upload`]; [`SessionError::Transfer`] if the directory here cannot be made or
    /// opened.
    pub async fn download(
        &self,
        base: &RemotePath,
        to: &Path,
        inside: Option<&str>,
        mut on: impl FnMut(CopyEvent<'_>),
    ) -> Result<(), SessionError> {
        let (listed, top) = self.list(base).await;
        let mut source = Listing { top, ..listed? };
        let mode = source.top.as_ref().map_or(0o777, |top| top.mode);
        let tree = self.open(to, inside, mode)?.map(Arc::new);
        if let Some(tree) = tree.as_ref().filter(|_| !self.dry_run && has_collisions(&source)) {
            let tree = tree.clone();
            let folds = tokio::task::spawn_blocking(move || tree.folds_names()).await;
            if folds.is_ok_and(|folds| folds.unwrap_or(false)) {
                keep_first(&mut source);
            }
        }
        let target = match &tree {
            Some(tree) => walk(tree, &self.exclude).await?,
            None => Listing::default(),
        };
        let preserve = if self.preserve { Preserve::Here } else { Preserve::No };
        let plan = Plan::new(source, target, Rules { preserve, ..self.rules });
        let mut go_on = !self.dry_run;
        on(CopyEvent::Planned { plan: &plan, go_on: &mut go_on });
        let Some(tree) = tree.filter(|_| !self.dry_run && go_on) else { return Ok(()) };
        download_tree(&self.ends(tree, base), plan, |event| on(CopyEvent::Step(event))).await
    }

    /// Opens a directory of this machine, or makes it with `mode`; `None` if a dry run misses it.
    fn open(
        &self,
        to: &Path,
        inside: Option<&str>,
        mode: u32,
    ) -> Result<Option<Tree>, StorageError> {
        let make = !self.dry_run;
        let tree = match inside {
            Some(name) => {
                let above = Tree::open(to)?;
                if make && let Ok(inside) = RemotePath::default().join(name) {
                    above.make_directory(&inside, mode)?;
                }
                above.child(name)
            }
            None => {
                if make {
                    files::make_directory(to, mode)?;
                }
                Tree::open(to)
            }
        };
        match tree {
            Err(StorageError::NotFound) if !make => Ok(None),
            tree => tree.map(Some),
        }
    }

    /// What is below `base` on the server, and `base` itself.
    async fn list(&self, base: &RemotePath) -> (Result<Listing, SessionError>, Option<TreeEntry>) {
        tokio::join!(list_remote(&self.client, base, &self.exclude), self.remote_top(base))
    }

    /// The directory `base` itself, if it has a time and mode of its own.
    async fn remote_top(&self, base: &RemotePath) -> Option<TreeEntry> {
        if base.is_root() {
            return None;
        }
        let Entry { size, modified, mode, .. } = self.client.stat(base).await.ok()?;
        let path = RemotePath::default();
        Some(TreeEntry { path, kind: EntryKind::Directory, size, modified, mode })
    }

    fn ends(&self, tree: Arc<Tree>, base: &RemotePath) -> Arc<Ends> {
        let (client, meter) = (self.client.clone(), self.meter.clone());
        let (preserve, cache) = (self.preserve, self.cache.clone());
        Arc::new(Ends { client, tree, base: base.clone(), preserve, cache, meter })
    }
}
