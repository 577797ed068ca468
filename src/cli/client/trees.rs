//! `put -r`, `get -r` and `sync`: whole trees, one after another over one session.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use super::deletions::Deletions;
use super::moving::Moving;
use super::progress::Progress;
use super::report::Report;
use crate::cli::{Exit, Failure, errors};
use sealane_base::files::{EntryKind, StorageError, Tree, TreeEntry};
use sealane_base::types::RemotePath;
use sealane_client::session::SessionError;
use sealane_client::tree::{
    Compare, Done, Ends, Event, Exclude, Listing, Plan, Preserve, Problem, Rules, TreeError,
    a_kind, download_tree, has_collisions, keep_first, list_remote, upload_tree,
};
use sealane_client::{DigestCache, Link};
use sealane_protocol::Status;
use sealane_protocol::message::Entry;
use sealane_protocol::transfer::Meter;

/// How the trees of one command are brought over.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) client: Arc<Link>,
    pub(super) meter: Arc<Meter>,
    pub(super) rules: Rules,
    pub(super) exclude: Exclude,
    pub(super) deletions: Deletions,
    /// Keep times and modes.
    pub(super) preserve: bool,
    /// Only say what would be done.
    pub(super) dry_run: bool,
    /// Roots of this machine's files.
    pub(super) cache: Option<Arc<DigestCache>>,
}

impl Job {
    /// As `put -r` and `get -r` compare: by content, or with `-p` by time.
    pub(super) fn copying(moving: &Moving, preserve: bool, dry_run: bool) -> Self {
        let compare = if preserve { Compare::Time } else { Compare::Content };
        let rules = Rules { compare, delete: false, preserve: Preserve::No };
        let (client, meter) = (moving.link.clone(), moving.meter.clone());
        let (exclude, deletions) = (Exclude::default(), Deletions::default());
        Self { client, meter, rules, exclude, deletions, preserve, dry_run, cache: None }
    }

    /// Brings the directory `from` of this machine to `base`, which is made if it is missing. `is_new`
    /// says that it was made just now: then there is nothing in it.
    pub(super) async fn upload(
        &self,
        tree: Tree,
        from: &str,
        base: &RemotePath,
        is_new: bool,
        report: &mut Report,
        progress: &Progress,
    ) -> Result<(), Failure> {
        let tree = Arc::new(tree);
        let source = walk(&tree, &self.exclude).await?;
        let (listed, top) = match is_new {
            true => (Ok(Listing::default()), None),
            false => self.list(base).await,
        };
        let target = match listed {
            Err(error) if error.status() == Some(Status::NotFound) => {
                self.make_base(base).await?;
                Listing::default()
            }
            listed => {
                let listed = listed.map_err(|error| errors::session(&base.to_string(), &error))?;
                Listing { top, ..listed }
            }
        };
        let names = Names { from: from.to_owned(), to: base.to_string(), up: true };
        let preserve = if self.preserve { Preserve::There } else { Preserve::ModesThere };
        let mut plan = Plan::new(source, target, Rules { preserve, ..self.rules });
        let allowed = self.deletions.check(&plan, &names.from, &names.to);
        if !self.dry_run {
            allowed.clone()?;
        }
        names.tell(&mut plan, report, progress);
        if self.dry_run {
            names.dry_run(&plan, allowed, report, progress);
            return Ok(());
        }
        let ends = self.ends(tree, base);
        let on = |event| names.tell_event(event, report, progress);
        let done = upload_tree(&ends, plan, on).await;
        done.map_err(|error| errors::session(from, &error))
    }

    async fn make_base(&self, base: &RemotePath) -> Result<(), Failure> {
        if self.dry_run {
            return Ok(());
        }
        let made = self.client.make_directory(base, false).await;
        made.map_err(|error| errors::session(&base.to_string(), &error))
    }

    /// Brings the directory `base` of the server to the tree that `open` opens, or makes with the mode that it is
    /// given unless this is a dry run; `to` is what people call it.
    pub(super) async fn download(
        &self,
        base: &RemotePath,
        open: impl FnOnce(Option<u32>) -> Result<Option<Tree>, StorageError>,
        to: &str,
        report: &mut Report,
        progress: &Progress,
    ) -> Result<(), Failure> {
        let (listed, top) = self.list(base).await;
        let source = listed.map_err(|error| errors::session(&base.to_string(), &error))?;
        let mut source = Listing { top, ..source };
        let mode = source.top.as_ref().map_or(0o777, |top| top.mode);
        let tree = open((!self.dry_run).then_some(mode));
        let tree = tree.map_err(|error| errors::storage(to, &error))?.map(Arc::new);
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
        let names = Names { from: base.to_string(), to: to.to_owned(), up: false };
        let preserve = if self.preserve { Preserve::Here } else { Preserve::No };
        let mut plan = Plan::new(source, target, Rules { preserve, ..self.rules });
        let allowed = self.deletions.check(&plan, &names.from, &names.to);
        if !self.dry_run {
            allowed.clone()?;
        }
        names.tell(&mut plan, report, progress);
        let Some(tree) = tree.filter(|_| !self.dry_run) else {
            names.dry_run(&plan, allowed, report, progress);
            return Ok(());
        };
        let ends = self.ends(tree, base);
        let on = |event| names.tell_event(event, report, progress);
        let done = download_tree(&ends, plan, on).await;
        done.map_err(|error| errors::session(&base.to_string(), &error))
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
        let entry = self.client.stat(base).await.ok()?;
        let Entry { size, modified, mode, .. } = entry;
        let path = RemotePath::default();
        Some(TreeEntry { path, kind: EntryKind::Directory, size, modified, mode })
    }

    fn ends(&self, tree: Arc<Tree>, base: &RemotePath) -> Arc<Ends> {
        let (client, meter) = (self.client.clone(), self.meter.clone());
        let (preserve, cache) = (self.preserve, self.cache.clone());
        Arc::new(Ends { client, tree, base: base.clone(), preserve, cache, meter })
    }
}

/// What is in a tree of this machine, without what is excluded.
pub(super) async fn walk(tree: &Arc<Tree>, exclude: &Exclude) -> Result<Listing, Failure> {
    let (tree, exclude) = (tree.clone(), exclude.clone());
    let walk = move || {
        let walked = tree.walk(&|path, is_directory| exclude.matches_text(path, is_directory));
        Listing { top: tree.top().ok(), ..walked.into() }
    };
    match tokio::task::spawn_blocking(walk).await {
        Ok(listing) => Ok(listing),
        Err(_) => Err(Failure::new(Exit::Other, "a thread that read a directory died")),
    }
}

/// What people call the two ends of a tree.
struct Names {
    from: String,
    to: String,
    up: bool,
}

impl Names {
    fn pair(&self, path: &impl std::fmt::Display) -> (String, String) {
        (below(&self.from, path), below(&self.to, path))
    }

    /// What was listed at the source is not there any more.
    fn is_vanished(&self, error: &SessionError) -> bool {
        match self.up {
            true => error.is_gone_here(),
            false => error.status() == Some(Status::NotFound),
        }
    }

    /// Says what the plan cannot do or leaves out.
    fn tell(&self, plan: &mut Plan, report: &mut Report, progress: &Progress) {
        for Problem { path, error } in plan.problems.drain(..) {
            report.failed(progress, failure(&below(&self.from, &path), &error));
        }
        for entry in &plan.passed_over {
            let (from, _) = self.pair(&entry.path);
            report.skipped(progress, &from, a_kind(entry.kind));
        }
        if plan.keeps_extras {
            report.note(progress, "nothing is deleted, because not everything could be listed");
        }
        report.unchanged(plan.unchanged);
    }

    fn tell_event(&self, event: Event, report: &mut Report, progress: &Progress) {
        let (from, to) = self.pair(&event.path);
        match event.result {
            Ok(Done::File(outcome)) => report.done_in_tree(progress, &from, &to, &outcome),
            Ok(Done::Directory) => report.step(progress, "directory", &to),
            Ok(Done::Removed) => report.step(progress, "delete", &to),
            Ok(Done::Marked) => report.step(progress, "mode", &to),
            Err(TreeError::Session(error)) if self.is_vanished(&error) => {
                report.vanished(progress, &from);
            }
            Err(error) => {
                // A local error is about the local name, a refusal about the remote one.
                let refused = matches!(error, TreeError::Session(SessionError::Refused(_)));
                let what = if refused { format!("{from} -> {to}") } else { from };
                report.failed(progress, failure(&what, &error));
            }
        }
    }

    fn dry_run(
        &self,
        plan: &Plan,
        allowed: Result<(), Failure>,
        report: &mut Report,
        progress: &Progress,
    ) {
        if let Err(failure) = allowed {
            report.note(progress, &format!("this would be refused: {}", failure.message));
        }
        for removal in &plan.obstacles {
            report.step(progress, "delete", &self.pair(&removal.path).1);
        }
        for (path, _) in &plan.missing {
            report.step(progress, "directory", &self.pair(path).1);
        }
        for file in &plan.files {
            report.would_move(progress, &self.pair(&file.path).1, file.size);
        }
        let coming: HashSet<_> = plan.files.iter().map(|file| &file.path).collect();
        for entry in plan.marks.iter().filter(|entry| !coming.contains(&entry.path)) {
            report.step(progress, "mode", &self.pair(&entry.path).1);
        }
        for removal in &plan.extras {
            report.step(progress, "delete", &self.pair(&removal.path).1);
        }
    }
}

/// The path of something below `top`, as people know it.
pub(super) fn below(top: &str, path: &impl std::fmt::Display) -> String {
    let path = path.to_string();
    let path = path.trim_matches('/');
    match (top.trim_end_matches('/'), path) {
        (top, "") => {
            if top.is_empty() {
                "/".to_owned()
            } else {
                top.to_owned()
            }
        }
        ("", path) => path.to_owned(),
        (top, path) => format!("{top}/{path}"),
    }
}

/// Why a path of a tree was not dealt with.
pub(super) fn failure(what: &str, error: &TreeError) -> Failure {
    match error {
        TreeError::Session(error) => errors::session(what, error),
        TreeError::InTheWay(_) => Failure::new(Exit::Other, format!("{what}: {error}"))
            .hint("move it away, or let 'sealane sync --delete' replace it"),
        TreeError::SameName(_) => Failure::new(Exit::Other, format!("{what}: {error}"))
            .hint("give one of them another name on the server"),
        TreeError::Name(_) | TreeError::Hidden(_) => {
            Failure::new(Exit::Other, format!("{what}: {error}"))
        }
    }
}

/// Opens the directory `path` for a download, or makes it with the mode `make`.
pub(super) fn open_or_make(path: &Path, make: Option<u32>) -> Result<Option<Tree>, StorageError> {
    if let Some(mode) = make {
        sealane_base::files::make_directory(path, mode)?;
    }
    match Tree::open(path) {
        Err(StorageError::NotFound) if make.is_none() => Ok(None),
        tree => tree.map(Some),
    }
}

/// Opens the directory `name` in `path`, or makes it: a link of this name is refused, because `name`
/// is the server's.
pub(super) fn open_or_make_in(
    path: &Path,
    name: &str,
    make: Option<u32>,
) -> Result<Option<Tree>, StorageError> {
    let above = Tree::open(path)?;
    if let (Some(mode), Ok(inside)) = (make, RemotePath::default().join(name)) {
        above.make_directory(&inside, mode)?;
    }
    match above.child(name) {
        Err(StorageError::NotFound) if make.is_none() => Ok(None),
        tree => tree.map(Some),
    }
}
