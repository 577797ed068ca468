//! What became of the files of a job: a line each, a sum at the end, the exit code.

use std::time::Duration;

use serde_json::json;

use super::progress::Progress;
use crate::cli::{Exit, Failure, Ui};
use crate::transfer::Outcome;
use crate::types::size::human;

/// Counts outcomes as they come in.
#[derive(Debug)]
pub(super) struct Report {
    ui: Ui,
    files: u64,
    bytes: u64,
    moved: u64,
    reused: u64,
    failures: Vec<Failure>,
}

impl Report {
    pub(super) fn new(ui: Ui) -> Self {
        Self { ui, files: 0, bytes: 0, moved: 0, reused: 0, failures: Vec::new() }
    }

    /// One file arrived: `from` and `to` are how people know it.
    pub(super) fn done(&mut self, progress: &Progress, from: &str, to: &str, outcome: &Outcome) {
        self.files += 1;
        self.bytes += outcome.size;
        self.moved += outcome.moved;
        self.reused += outcome.reused;
        let ui = self.ui;
        progress.around(|| {
            ui.object(&json!({
                "type": "file", "from": from, "to": to, "size": outcome.size,
                "root": outcome.root.to_string(), "sent": outcome.moved, "held": outcome.reused,
            }));
            if !ui.quiet && !ui.json {
                ui.status(&format!("{from} -> {to}: {}, root {}", amounts(outcome), outcome.root));
            }
        });
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
        self.ui.object(&json!({
            "type": "result", "ok": self.failures.is_empty(), "files": self.files,
            "failed": self.failures.len(), "bytes": self.bytes, "sent": self.moved,
            "held": self.reused, "seconds": elapsed.as_secs_f64(),
        }));
        if jobs > 1 && !self.ui.quiet && !self.ui.json {
            let seconds = elapsed.as_secs_f64();
            self.ui.status(&format!(
                "{} of {jobs} files, {}, in {seconds:.1} s",
                self.files,
                human(self.bytes)
            ));
        }
        match self.failures.len() {
            0 => Ok(()),
            // It was told already: only its code matters now.
            1 if jobs == 1 => {
                Err(Failure::told(self.failures.first().map_or(Exit::Other, |one| one.exit)))
            }
            _ => Err(Failure::told(Exit::Partial)),
        }
    }
}

fn amounts(outcome: &Outcome) -> String {
    let size = human(outcome.size);
    match (outcome.moved, outcome.reused) {
        (_, 0) => size,
        (moved, reused) => {
            format!("{size} ({} sent, {} held already)", human(moved), human(reused))
        }
    }
}
