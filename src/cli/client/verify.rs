//! `verify`: are the copies on the server what is here? Nothing but digests moves.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use super::args::Verify;
use super::move_files::inside;
use super::moving::is_lost;
use super::progress::Progress;
use super::remembered::Remembered;
use super::remote::Access;
use super::trees::{self, below};
use crate::cli::{Exit, Failure, Ui, errors};
use sealane_base::files::{FileSource, Source, Tree};
use sealane_base::types::{Address, RemotePath};
use sealane_client::session::SessionError;
use sealane_client::tree::{
    Compared, Ends, Exclude, Listing, Problem, Verdict, cached_root, compare_trees, list_remote,
};
use sealane_client::{DigestCache, Link};
use sealane_protocol::Status;
use sealane_protocol::transfer::{Meter, TransferError};

/// Compares files and, with `-r`, directories with their copies; each end reads its own disk.
pub(super) async fn verify(ui: Ui, access: &Access, args: Verify) -> Result<(), Failure> {
    let exclude = Exclude::new(&args.excludes);
    let exclude = exclude.map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    let into_directory = args.sources.len() > 1 || args.address.is_directory;
    let remote = access.link(&args.address, None).await?;
    let cache = Remembered::open(ui, !args.no_cache, remote.link.admitted());
    let meter = Arc::new(Meter::default());
    let progress = Progress::start(access, meter.clone(), remote.link.admitted());
    let mut tally = Tally { ui, progress, same: 0, differ: 0, failures: Vec::new() };
    for source in &args.sources {
        let compared = match remote_path(source, &args.address, into_directory) {
            Ok(path) if args.recursive && source.is_dir() => {
                directory(&remote.link, source, path, &exclude, &meter, &cache, &mut tally).await
            }
            Ok(path) => file(&remote.link, source, &path, cache.get(), &meter, &mut tally).await,
            Err(failure) => Err(failure),
        };
        if let Err(failure) = compared {
            remote.link.admitted().await;
            if remote.link.over().is_some() {
                break;
            }
            tally.failed(failure);
        }
    }
    let lost = remote.lost();
    if let Some(failure) = &lost {
        tally.failed(failure.clone());
    }
    remote.close().await;
    let ended = tally.finish(args.sources.len());
    lost.map_or(ended, |failure| Err(Failure::told(failure.exit)))
}

fn remote_path(
    source: &Path,
    address: &Address,
    into_directory: bool,
) -> Result<RemotePath, Failure> {
    if !into_directory || source.file_name().is_none() {
        return Ok(address.path.clone());
    }
    inside(source, address)
        .map_err(|error| Failure::new(Exit::Usage, format!("'{}': {error}", source.display())))
}

async fn directory(
    link: &Arc<Link>,
    source: &Path,
    base: RemotePath,
    exclude: &Exclude,
    meter: &Arc<Meter>,
    cache: &Remembered,
    tally: &mut Tally,
) -> Result<(), Failure> {
    let from = source.display().to_string();
    let tree = Tree::open(source).map_err(|error| errors::storage(&from, &error))?;
    let tree = Arc::new(tree);
    let here = trees::walk(&tree, exclude).await?;
    let there = list_remote(link, &base, exclude).await;
    let there = there.map_err(|error| errors::session(&base.to_string(), &error))?;
    let Listing { entries, problems, .. } = here;
    let (here, there_problems) = (Listing { entries, ..Listing::default() }, &there.problems);
    for (top, Problem { path, error }) in problems
        .iter()
        .map(|problem| (from.clone(), problem))
        .chain(there_problems.iter().map(|problem| (base.to_string(), problem)))
    {
        tally.failed(trees::failure(&below(&top, path), error));
    }
    let (client, meter) = (link.clone(), meter.clone());
    let ends = Arc::new(Ends { client, tree, base, preserve: false, meter, cache: cache.get() });
    let on = |Compared { path, result }| {
        let name = below(&from, &path);
        match result {
            Ok(verdict) => tally.tree(&name, verdict),
            Err(error) => tally.failed(trees::failure(&name, &error)),
        }
    };
    let done = compare_trees(&ends, here, there, on).await;
    done.map_err(|error| errors::session(&from, &error))
}

async fn file(
    link: &Link,
    source: &Path,
    path: &RemotePath,
    cache: Option<Arc<DigestCache>>,
    meter: &Arc<Meter>,
    tally: &mut Tally,
) -> Result<(), Failure> {
    let name = source.display().to_string();
    let (local, meter) = (source.to_owned(), meter.clone());
    let here = tokio::task::spawn_blocking(move || -> Result<_, TransferError> {
        let source = FileSource::open(&local)?;
        meter.expect(source.size());
        let root = cached_root(cache.as_deref(), &source, &meter)?;
        Ok((source.size(), root))
    });
    // Both ends read at the same time.
    let (here, there) = tokio::join!(here, link.digest(path));
    let here = here.unwrap_or(Err(TransferError::Thread)).map_err(SessionError::from);
    let (size, root) = here.map_err(|error| errors::session(&name, &error))?;
    let there = match there {
        Err(error) if error.status() == Some(Status::NotFound) => {
            tally.differs(&name, "missing there", None, || {
                format!("{name}: there is no {path} on the server")
            });
            return Ok(());
        }
        Err(error) if is_lost(link, &error) => {
            return Err(errors::session(&path.to_string(), &error));
        }
        there => there.map_err(|error| errors::session(&path.to_string(), &error))?,
    };
    if (there.size, there.root) == (size, root) {
        tally.same(&name, size, root, true);
    } else {
        tally.differs(&name, "differs", Some((root, there.root)), || {
            format!("{name} differs from {path}: {root} here, {} there", there.root)
        });
    }
    Ok(())
}

/// What was found so far.
struct Tally {
    ui: Ui,
    progress: Progress,
    same: u64,
    differ: u64,
    failures: Vec<Exit>,
}

type Roots = Option<(sealane_base::types::Digest, sealane_base::types::Digest)>;

impl Tally {
    fn same(&mut self, name: &str, size: u64, root: sealane_base::types::Digest, shown: bool) {
        self.same += 1;
        let ui = self.ui;
        self.progress.around(|| {
            ui.object(&json!({
                "type": "compared", "path": name, "verdict": "same", "size": size,
                "root": root.to_string(),
            }));
            if shown || ui.verbose {
                ui.line(&format!("{root}  {name}"));
            }
        });
    }

    fn object(&mut self, name: &str, verdict: &str, roots: Roots) {
        self.differ += 1;
        let (root, there) = roots.unzip();
        let (root, there) = (root.map(|it| it.to_string()), there.map(|it| it.to_string()));
        self.ui.object(&json!({
            "type": "compared", "path": name, "verdict": verdict, "root": root, "there": there,
        }));
    }

    /// A file that was named: an error, as of any other command.
    fn differs(&mut self, name: &str, verdict: &str, roots: Roots, say: impl Fn() -> String) {
        self.object(name, verdict, roots);
        let failure = Failure::new(Exit::Integrity, say())
            .hint("'sealane put' or 'sealane get' moves only the chunks that differ");
        let ui = self.ui;
        self.progress.around(|| ui.failure(&failure));
    }

    /// A path of a tree: a line of the list that was asked for.
    fn tree(&mut self, name: &str, verdict: Verdict) {
        let (word, roots, text) = match verdict {
            Verdict::Same(size, root) => return self.same(name, size, root, false),
            Verdict::Differs(roots) => ("differs", roots, name.to_owned()),
            Verdict::MissingHere(kind) => ("missing here", None, format!("{name} ({kind})")),
            Verdict::MissingThere(kind) => ("missing there", None, format!("{name} ({kind})")),
            Verdict::OtherKind(here, there) => {
                ("other kind", None, format!("{name} ({here} here, {there} there)"))
            }
        };
        self.object(name, word, roots);
        let ui = self.ui;
        self.progress.around(|| ui.line(&format!("{word:<13}  {text}")));
    }

    fn failed(&mut self, failure: Failure) {
        let ui = self.ui;
        self.progress.around(|| ui.failure(&failure));
        self.failures.push(failure.exit);
    }

    fn finish(self, jobs: usize) -> Result<(), Failure> {
        let Self { ui, progress, same, differ, failures } = self;
        drop(progress);
        let failed = failures.len();
        ui.object(&json!({
            "type": "result", "ok": failed == 0 && differ == 0, "same": same, "differ": differ,
            "failed": failed,
        }));
        if !ui.quiet && !ui.json && (jobs > 1 || same + differ != 1) {
            ui.status(&format!("{same} the same, {differ} not, {failed} not compared"));
        }
        match failures.as_slice() {
            [] if differ > 0 => Err(Failure::told(Exit::Integrity)),
            [] => Ok(()),
            [only] if jobs == 1 && same + differ == 0 => Err(Failure::told(*only)),
            _ => Err(Failure::told(Exit::Partial)),
        }
    }
}
