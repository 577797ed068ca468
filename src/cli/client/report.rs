//! What became of the files of a job: a line each, a sum at the end, the exit code.

use std::time::Duration;

use serde_json::json;

use super::progress::Progress;
use crate::cli::{Exit, Failure, Ui};
use sealane_base::types::Digest;
use sealane_base::types::size::human;
use sealane_protocol::transfer::Outcome;

/// Counts outcomes as they come in.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) ui: Ui,
    /// Until the job has ended.
    pub(super) progress: Option<Progress>,
    files: u64,
    bytes: u64,
    moved: u64,
    reused: u64,
    deleted: u64,
    trees: bool,
    /// Nothing is done, so what would be is shown.
    pub(super) planning: bool,
    pub(super) failures: Vec<Failure>,
    /// Files of trees that went away before they could be read.
    vanished: u64,
    /// Files come from the server: they are received, not sent.
    pub(super) down: bool,
    /// What arrived where, if it is wanted afterwards.
    pub(super) brought: Option<Vec<(String, Digest)>>,
}

impl Report {
    pub(super) fn new(ui: Ui, progress: Progress) -> Self {
        Self { ui, progress: Some(progress), ..Self::default() }
    }

    fn moved(&self) -> &'static str {
        if self.down { "received" } else { "sent" }
    }

    /// Runs `print` with the bar out of the way.
    pub(super) fn around(&self, print: impl FnOnce()) {
        match &self.progress {
            Some(progress) => progress.around(print),
            None => print(),
        }
    }

    /// One file arrived: `from` and `to` are how people know it. Those of a tree are shown on
    /// request only: they may be thousands.
    pub(super) fn done(&mut self, from: &str, to: &str, outcome: &Outcome, in_tree: bool) {
        let shown = if in_tree { self.ui.verbose } else { !self.ui.quiet };
        self.trees |= in_tree;
        self.files += 1;
        self.bytes += outcome.size;
        self.moved += outcome.moved;
        self.reused += outcome.reused;
        if let Some(progress) = &self.progress {
            progress.landed(outcome.size);
        }
        if outcome.grew {
            self.note(&format!("{from}: it was written to: stored as it was when it was opened"));
        }
        if let Some(brought) = &mut self.brought {
            brought.push((to.to_owned(), outcome.root));
        }
        let (ui, moved) = (self.ui, self.moved());
        if !ui.json && !shown {
            return;
        }
        self.around(|| {
            ui.object(&json!({
                "type": "file", "from": from, "to": to, "size": outcome.size,
                "root": outcome.root.to_string(), "sent": outcome.moved, "held": outcome.reused,
            }));
            if shown && !ui.json {
                ui.status(&format!(
                    "{from} -> {to}: {}, root {}",
                    amounts(outcome, moved),
                    outcome.root
                ));
            }
        });
    }

    /// Files of a tree that needed nothing: how many, and their bytes.
    pub(super) fn unchanged(&mut self, (files, bytes): (u64, u64)) {
        self.trees = true;
        self.files += files;
        self.bytes += bytes;
        self.reused += bytes;
    }

    /// A directory that was made or a name that was deleted, or would be.
    pub(super) fn step(&mut self, what: &str, path: &str) {
        self.deleted += u64::from(what == "delete");
        self.plan_line(what, path, None);
    }

    /// A file that a dry run would move.
    pub(super) fn would_move(&mut self, path: &str, size: u64) {
        self.files += 1;
        self.bytes += size;
        self.plan_line("file", path, Some(size));
    }

    fn plan_line(&self, what: &str, path: &str, size: Option<u64>) {
        let (ui, planning) = (self.ui, self.planning);
        if !ui.json && !ui.verbose && !planning {
            return;
        }
        self.around(|| {
            ui.object(&json!({ "type": "step", "step": what, "path": path, "size": size }));
            if planning {
                ui.line(&format!("{what:<9}  {path}"));
            } else if !ui.json {
                ui.status(&format!("{what:<9}  {path}"));
            }
        });
    }

    /// A link or special file of a tree, which stays behind.
    pub(super) fn skipped(&mut self, path: &str, kind: &str) {
        let ui = self.ui;
        self.around(|| {
            ui.object(&json!({ "type": "skipped", "path": path, "why": kind }));
            ui.note(&format!("{path}: skipped: it is {kind}"));
        });
    }

    /// A file of a tree went away before it could be read.
    pub(super) fn vanished(&mut self, path: &str) {
        self.vanished += 1;
        let ui = self.ui;
        self.around(|| {
            ui.object(&json!({ "type": "skipped", "path": path, "why": "it vanished" }));
            ui.note(&format!("{path}: skipped: it vanished before it could be read"));
        });
    }

    /// A remark.
    pub(super) fn note(&self, text: &str) {
        self.around(|| self.ui.note(text));
    }

    /// One file failed.
    pub(super) fn failed(&mut self, failure: Failure) {
        let ui = self.ui;
        self.around(|| ui.failure(&failure));
        self.failures.push(failure);
    }

    /// The sum, and how the program ends: with the one failure's code, or `Partial` if some of
    /// several files failed.
    pub(super) fn finish(self, jobs: usize, elapsed: Duration) -> Result<(), Failure> {
        let seconds = elapsed.as_secs_f64();
        self.ui.object(&json!({
            "type": "result", "ok": self.failures.is_empty(), "files": self.files,
            "failed": self.failures.len(), "bytes": self.bytes, "sent": self.moved,
            "held": self.reused, "deleted": self.deleted, "vanished": self.vanished,
            "seconds": seconds,
        }));
        if !self.ui.quiet && !self.ui.json {
            self.sum(jobs, seconds);
        }
        match self.failures.len() {
            0 if self.vanished > 0 => Err(Failure::told(Exit::Vanished)),
            0 => Ok(()),
            // It was told already: only its code matters now.
            1 if jobs == 1 && !self.trees => {
                Err(Failure::told(self.failures.first().map_or(Exit::Other, |one| one.exit)))
            }
            _ => Err(Failure::told(Exit::Partial)),
        }
    }

    fn sum(&self, jobs: usize, seconds: f64) {
        let (count, bytes, failed) = (files(self.files), human(self.bytes), self.failures.len());
        let failed = if failed > 0 { format!(", {failed} failed") } else { String::new() };
        if self.planning {
            let verb = self.moved();
            let deleted = self.deleted;
            self.ui
                .status(&format!("{count} of {bytes} would be {verb}, {deleted} deleted{failed}"));
        } else if self.trees {
            let (moved, same, verb) = (human(self.moved), human(self.reused), self.moved());
            let told = |count: u64, what: &str| match count {
                0 => String::new(),
                count => format!(", {count} {what}"),
            };
            let (deleted, vanished) =
                (told(self.deleted, "deleted"), told(self.vanished, "vanished"));
            self.ui.status(&format!(
                "{count}, {bytes} ({moved} {verb}, {same} unchanged){deleted}{vanished}{failed}, \
                 in {seconds:.1} s"
            ));
        } else if jobs > 1 {
            let done = self.files;
            let of = files(u64::try_from(jobs).unwrap_or(u64::MAX));
            self.ui.status(&format!("{done} of {of}, {bytes}{failed}, in {seconds:.1} s"));
        }
    }
}

/// A number of files as people write it.
fn files(count: u64) -> String {
    if count == 1 { "1 file".to_owned() } else { format!("{count} files") }
}

fn amounts(outcome: &Outcome, verb: &str) -> String {
    let size = human(outcome.size);
    match (outcome.moved, outcome.reused) {
        (_, 0) => size,
        (moved, reused) => {
            format!("{size} ({} {verb}, {} unchanged)", human(moved), human(reused))
        }
    }
}
