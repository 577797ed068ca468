//! `verify`: are the copies on the server what is here? Nothing but digests moves.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use super::args::Verify;
use super::clashes::inside;
use super::moving::Moving;
use super::remembered::Remembered;
use super::remote::{Access, Job};
use super::report::Report;
use super::trees::{self, below};
use crate::cli::{Exit, Failure, errors};
use sealane_base::files::Tree;
use sealane_base::types::{Address, Digest, RemotePath};
use sealane_client::session::SessionError;
use sealane_client::tree::{Compared, Ends, Exclude, Verdict, compare_file, compare_trees};

/// Compares files and, with `-r`, directories with their copies; each end reads its own disk.
pub(super) async fn verify(access: &Access, args: Verify) -> Result<(), Failure> {
    let exclude = Exclude::new(&args.excludes);
    let exclude = exclude.map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    let into_directory = args.sources.len() > 1 || args.address.is_directory;
    let mut moving = Moving::begin(access, &args.address, Job::Requests).await?;
    let cache = Remembered::open(access.ui, !args.no_cache, moving.client.logged_in());
    let (mut same, mut differ) = (0, 0);
    for source in &args.sources {
        let mut tally = Tally { same, differ, name: source.display().to_string() };
        let compared = match remote_path(source, &args.address, into_directory) {
            Ok(path) if args.recursive && source.is_dir() => {
                directory(&mut moving, source, path, &exclude, &cache, &mut tally).await
            }
            Ok(path) => file(&mut moving, source, &path, &cache, &mut tally).await,
            Err(failure) => Err(failure),
        };
        (same, differ) = (tally.same, tally.differ);
        if let Err(failure) = compared
            && !moving.failed(failure).await
        {
            break;
        }
    }
    drop(cache);
    moving.close(|report| finish(&report, args.sources.len(), same, differ)).await
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
    moving: &mut Moving,
    source: &Path,
    base: RemotePath,
    exclude: &Exclude,
    cache: &Remembered,
    tally: &mut Tally,
) -> Result<(), Failure> {
    let (from, to) = (tally.name.clone(), base.to_string());
    let tree = Tree::open(source).map_err(|error| errors::storage(&from, &error))?;
    let (client, meter) = (moving.client.clone(), moving.meter.clone());
    let (tree, cache) = (Arc::new(tree), cache.get());
    let ends = Arc::new(Ends { client, tree, base, preserve: false, meter, cache });
    let on = |Compared { path, is_remote, result }| {
        let name = below(if is_remote { &to } else { &from }, &path);
        match result {
            Ok(verdict) => tally.in_tree(&moving.report, &name, verdict),
            Err(error) => moving.report.failed(trees::failure(&name, &error)),
        }
    };
    let done = compare_trees(&ends, exclude, on).await;
    done.map_err(|error| errors::session(&to, &error))
}

async fn file(
    moving: &mut Moving,
    source: &Path,
    path: &RemotePath,
    cache: &Remembered,
    tally: &mut Tally,
) -> Result<(), Failure> {
    let name = tally.name.clone();
    let (here, cache) = (source.to_owned(), cache.get());
    let compared = compare_file(&moving.client, here, path, cache, &moving.meter).await;
    let verdict = compared.map_err(|error| match error {
        SessionError::Transfer(_) => errors::session(&name, &error),
        error => errors::session(&path.to_string(), &error),
    })?;
    let (word, roots, text) = match verdict {
        Verdict::Same(size, root) => {
            tally.same(&moving.report, &name, size, root, true);
            return Ok(());
        }
        Verdict::Differs(Some((here, there))) => {
            let text = format!("{name} differs from {path}: {here} here, {there} there");
            ("differs", Some((here, there)), text)
        }
        _ => ("missing there", None, format!("{name}: there is no {path} on the server")),
    };
    tally.object(&moving.report, &name, word, roots);
    // A file that was named: an error, as of any other command.
    let failure = Failure::new(Exit::Integrity, text)
        .hint("'sealane put' or 'sealane get' moves only the chunks that differ");
    let report = &moving.report;
    report.around(|| report.ui.failure(&failure));
    Ok(())
}

/// What was found so far, and the source that is being compared.
struct Tally {
    name: String,
    same: u64,
    differ: u64,
}

impl Tally {
    fn same(&mut self, report: &Report, name: &str, size: u64, root: Digest, shown: bool) {
        self.same += 1;
        let ui = report.ui;
        report.around(|| {
            ui.object(&json!({
                "type": "compared", "path": name, "verdict": "same", "size": size,
                "root": root.to_string(),
            }));
            if shown || ui.verbose {
                ui.line(&format!("{root}  {name}"));
            }
        });
    }

    fn object(
        &mut self,
        report: &Report,
        name: &str,
        verdict: &str,
        roots: Option<(Digest, Digest)>,
    ) {
        self.differ += 1;
        let (root, there) = roots.unzip();
        let (root, there) = (root.map(|it| it.to_string()), there.map(|it| it.to_string()));
        report.ui.object(&json!({
            "type": "compared", "path": name, "verdict": verdict, "root": root, "there": there,
        }));
    }

    /// A path of a tree: a line of the list that was asked for.
    fn in_tree(&mut self, report: &Report, name: &str, verdict: Verdict) {
        let (word, roots, text) = match verdict {
            Verdict::Same(size, root) => return self.same(report, name, size, root, false),
            Verdict::Differs(roots) => ("differs", roots, name.to_owned()),
            Verdict::MissingHere(kind) => ("missing here", None, format!("{name} ({kind})")),
            Verdict::MissingThere(kind) => ("missing there", None, format!("{name} ({kind})")),
            Verdict::OtherKind(here, there) => {
                ("other kind", None, format!("{name} ({here} here, {there} there)"))
            }
        };
        self.object(report, name, word, roots);
        report.around(|| report.ui.line(&format!("{word:<13}  {text}")));
    }
}

fn finish(report: &Report, jobs: usize, same: u64, differ: u64) -> Result<(), Failure> {
    let (ui, failed) = (report.ui, report.failures.len());
    ui.object(&json!({
        "type": "result", "ok": failed == 0 && differ == 0, "same": same, "differ": differ,
        "failed": failed,
    }));
    if !ui.quiet && !ui.json && (jobs > 1 || same + differ != 1) {
        ui.status(&format!("{same} the same, {differ} not, {failed} not compared"));
    }
    match report.failures.as_slice() {
        [] if differ > 0 => Err(Failure::told(Exit::Integrity)),
        [] => Ok(()),
        [only] if jobs == 1 && same + differ == 0 => Err(Failure::told(only.exit)),
        _ => Err(Failure::told(Exit::Partial)),
    }
}
