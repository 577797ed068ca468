//! What became of the files of a job: a line each, a sum at the end, the exit code.

use std::time::Duration;

use serde_json::json;

use super::progress::Progress;
use crate::cli::{Exit, Failure, Ui};
use sealane_base::types::Digest;
use sealane_base::types::size::human;
use sealane_protocol::transfer::Outcome;

/// Counts outcomes as they come in.
#[derive(Debug)]
pub(super) struct Report {
    ui: Ui,
    files: u64,
    bytes: u64,
    moved: u64,
    reused: u64,
    deleted: u64,
    trees: bool,
    /// Nothing is done, so what would be is shown.
    planning: bool,
    failures: Vec<Failure>,
    /// Files of trees that went away before they could be read.
    vanished: u64,
    /// Files come from the server.
    down: bool,
    /// What arrived where, if anybody wants to know afterwards.
    brought: Option<Vec<(String, Digest)>>,
}

impl Report {
    pub(super) fn new(ui: Ui) -> Self {
        let failures = Vec::new();
        let (files, bytes, moved, reused, deleted) = (0, 0, 0, 0, 0);
        let (trees, planning) = (false, false);
        let brought = None;
        Self {
            ui,
            files,
            bytes,
            moved,
            reused,
            deleted,
            trees,
            planning,
            failures,
            vanished: 0,
            down: false,
            brought,
        }
    }

    /// For a dry run.
    pub(super) fn planning(self, planning: bool) -> Self {
        Self { planning, ..self }
    }

    /// Files come from the server: they are received, not sent.
    pub(super) fn is_download(&mut self) {
        self.down = true;
    }

    fn moved(&self) -> &'static str {
        if self.down { "received" } else { "sent" }
    }

    /// Keeps what arrives where from now on, for [`Report::brought`].
    pub(super) fn keep_brought(&mut self) {
        self.brought = Some(Vec::new());
    }

    /// What has arrived where.
    pub(super) fn brought(&mut self) -> Vec<(String, Digest)> {
        self.brought.take().unwrap_or_default()
    }

    /// One file arrived: `from` and `to` are how people know it.
    pub(super) fn done(&mut self, progress: &Progress, from: &str, to: &str, outcome: &Outcome) {
        self.file(progress, from, to, outcome, !self.ui.quiet);
    }

    /// One file of a tree arrived; nobody wants to read thousands of lines unless they ask.
    pub(super) fn done_in_tree(
        &mut self,
        progress: &Progress,
        from: &str,
        to: &str,
        outcome: &Outcome,
    ) {
        self.trees = true;
        self.file(progress, from, to, outcome, self.ui.verbose);
    }

    fn file(&mut self, progress: &Progress, from: &str, to: &str, outcome: &Outcome, shown: bool) {
        self.files += 1;
        self.bytes += outcome.size;
        self.moved += outcome.moved;
        self.reused += outcome.reused;
        progress.landed(outcome.size);
        if outcome.grew {
            self.note(
                progress,
                &format!("{from}: it was written to: stored as it was when it was opened"),
            );
        }
        if let Some(brought) = &mut self.brought {
            brought.push((to.to_owned(), outcome.root));
        }
        let (ui, moved) = (self.ui, self.moved());
        if !ui.json && !shown {
            return;
        }
        progress.around(|| {
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
    pub(super) fn step(&mut self, progress: &Progress, what: &str, path: &str) {
        self.deleted += u64::from(what == "delete");
        self.plan_line(progress, what, path, None);
    }

    /// A file that a dry run would move.
    pub(super) fn would_move(&mut self, progress: &Progress, path: &str, size: u64) {
        self.files += 1;
        self.bytes += size;
        self.plan_line(progress, "file", path, Some(size));
    }

    fn plan_line(&self, progress: &Progress, what: &str, path: &str, size: Option<u64>) {
        let (ui, planning) = (self.ui, self.planning);
        if !ui.json && !ui.verbose && !planning {
            return;
        }
        progress.around(|| {
            ui.object(&json!({ "type": "step", "step": what, "path": path, "size": size }));
            if planning {
                ui.line(&format!("{what:<9}  {path}"));
            } else if !ui.json {
                ui.status(&format!("{what:<9}  {path}"));
            }
        });
    }

    /// A link or special file of a tree, which stays behind.
    pub(super) fn skipped(&mut self, progress: &Progress, path: &str, kind: &str) {
        let ui = self.ui;
        progress.around(|| {
            ui.object(&json!({ "type": "skipped", "path": path, "why": kind }));
            ui.note(&format!("{path}: skipped: it is {kind}"));
        });
    }

    /// A file of a tree went away before it could be read.
    pub(super) fn vanished(&mut self, progress: &Progress, path: &str) {
        self.vanished += 1;
        let ui = self.ui;
        progress.around(|| {
            ui.object(&json!({ "type": "skipped", "path": path, "why": "it vanished" }));
            ui.note(&format!("{path}: skipped: it vanished before it could be read"));
        });
    }

    /// A remark.
    pub(super) fn note(&self, progress: &Progress, text: &str) {
        progress.around(|| self.ui.note(text));
    }

    /// One file failed.
    pub(super) fn failed(&mut self, progress: &Progress, failure: Failure) {
        let ui = self.ui;
        progress.around(|| ui.failure(&failure));
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
            let (moved, held, verb) = (human(self.moved), human(self.reused), self.moved());
            let told = |count: u64, what: &str| match count {
                0 => String::new(),
                count => format!(", {count} {what}"),
            };
            let (deleted, vanished) =
                (told(self.deleted, "deleted"), told(self.vanished, "vanished"));
            self.ui.status(&format!(
                "{count}, {bytes} ({moved} {verb}, {held} held already){deleted}{vanished}{failed}, \
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
            format!("{size} ({} {verb}, {} held already)", human(moved), human(reused))
        }
    }
}
