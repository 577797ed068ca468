//! `put -r`, `get -r` and `sync`: what is printed while a tree is brought over.

use std::collections::HashSet;

use super::deletions::Deletions;
use super::report::Report;
use crate::cli::{Exit, Failure, errors};
use sealane_client::session::SessionError;
use sealane_client::tree::{CopyEvent, Done, Event, Plan, Problem, TreeError, a_kind};
use sealane_protocol::Status;

/// What people call the two ends of a tree, and where it is reported.
pub(super) struct Names<'a> {
    pub(super) from: &'a str,
    pub(super) to: &'a str,
    pub(super) report: &'a mut Report,
    /// What `sync --delete` may remove; everything else removes only what is in the way.
    pub(super) deletions: Deletions,
    /// Why nothing was done, if it would have removed more.
    pub(super) refused: Option<Failure>,
}

impl<'a> Names<'a> {
    pub(super) fn new(from: &'a str, to: &'a str, report: &'a mut Report) -> Self {
        Self { from, to, report, deletions: Deletions::default(), refused: None }
    }

    pub(super) fn tell(&mut self, event: CopyEvent<'_>) {
        match event {
            CopyEvent::Planned { plan, go_on } => {
                let allowed = self.deletions.check(plan, self.from, self.to);
                if let (Err(failure), false) = (&allowed, self.report.planning) {
                    *go_on = false;
                    self.refused = Some(failure.clone());
                    return;
                }
                self.planned(plan, allowed);
            }
            CopyEvent::Step(event) => self.step(event),
        }
    }

    fn to(&self, path: &impl std::fmt::Display) -> String {
        below(self.to, path)
    }

    /// What was listed at the source is not there any more.
    fn is_vanished(&self, error: &SessionError) -> bool {
        match self.report.down {
            true => error.status() == Some(Status::NotFound),
            false => error.is_gone_here(),
        }
    }

    /// Says what the plan cannot do or leaves out; in a dry run all that it would do.
    fn planned(&mut self, plan: &Plan, allowed: Result<(), Failure>) {
        for Problem { path, error } in &plan.problems {
            self.report.failed(failure(&below(self.from, path), error));
        }
        for entry in &plan.passed_over {
            self.report.skipped(&below(self.from, &entry.path), a_kind(entry.kind));
        }
        if plan.keeps_extras {
            self.report.note("nothing is deleted, because not everything could be listed");
        }
        self.report.unchanged(plan.unchanged);
        if self.report.planning {
            if let Err(failure) = allowed {
                self.report.note(&format!("this would be refused: {}", failure.message));
            }
            self.dry_run(plan);
        }
    }

    fn step(&mut self, event: Event) {
        let (from, to) = (below(self.from, &event.path), self.to(&event.path));
        match event.result {
            Ok(Done::File(outcome)) => self.report.done(&from, &to, &outcome, true),
            Ok(Done::Directory) => self.report.step("directory", &to),
            Ok(Done::Removed) => self.report.step("delete", &to),
            Ok(Done::Marked) => self.report.step("mode", &to),
            Err(TreeError::Session(error)) if self.is_vanished(&error) => {
                self.report.vanished(&from);
            }
            Err(error) => self.report.failed(failure(&named(&from, &to, &from, &error), &error)),
        }
    }

    fn dry_run(&mut self, plan: &Plan) {
        for removal in &plan.obstacles {
            self.report.step("delete", &self.to(&removal.path));
        }
        for (path, _) in &plan.missing {
            self.report.step("directory", &self.to(path));
        }
        for file in &plan.files {
            self.report.would_move(&self.to(&file.path), file.size);
        }
        let coming: HashSet<_> = plan.files.iter().map(|file| &file.path).collect();
        for entry in plan.marks.iter().filter(|entry| !coming.contains(&entry.path)) {
            self.report.step("mode", &self.to(&entry.path));
        }
        for removal in &plan.extras {
            self.report.step("delete", &self.to(&removal.path));
        }
    }
}

/// What an error is about: a local one about the `local` name, a refusal about both.
pub(super) fn named(from: &str, to: &str, local: &str, error: &TreeError) -> String {
    match error {
        TreeError::Session(SessionError::Refused(_)) if from != to => format!("{from} -> {to}"),
        _ => local.to_owned(),
    }
}

/// The path of something below `top`, as people know it.
pub(super) fn below(top: &str, path: &impl std::fmt::Display) -> String {
    let path = path.to_string();
    match (top.trim_end_matches('/'), path.trim_matches('/')) {
        ("", "") => "/".to_owned(),
        (top, "") => top.to_owned(),
        ("", path) => path.to_owned(),
        (top, path) => format!("{top}/{path}"),
    }
}

/// Why a path of a tree was not dealt with.
pub(super) fn failure(what: &str, error: &TreeError) -> Failure {
    let failure = || Failure::new(Exit::Other, format!("{what}: {error}"));
    match error {
        TreeError::Session(error) => errors::session(what, error),
        TreeError::InTheWay(_) => {
            failure().hint("move it away, or let 'sealane sync --delete' replace it")
        }
        TreeError::SameName(_) => failure().hint("give one of them another name on the server"),
        TreeError::Name(_) | TreeError::Hidden(_) => failure(),
    }
}
