//! `put -r`, `get -r` and `sync`: what is printed while a tree is brought over.

use std::collections::HashSet;

use super::report::Report;
use crate::cli::{Exit, Failure, errors};
use sealane_client::session::SessionError;
use sealane_client::tree::{CopyEvent, Done, Event, Plan, Problem, TreeError, a_kind};

/// What people call the two ends of a tree, and where it is reported.
pub(super) struct Names<'a> {
    pub(super) from: &'a str,
    pub(super) to: &'a str,
    pub(super) report: &'a mut Report,
}

impl Names<'_> {
    pub(super) fn tell(&mut self, event: CopyEvent<'_>) {
        match event {
            CopyEvent::Planned(plan) => self.planned(plan),
            CopyEvent::Step(event) => self.step(event),
        }
    }

    fn to(&self, path: &impl std::fmt::Display) -> String {
        below(self.to, path)
    }

    /// Says what the plan cannot do or leaves out; in a dry run all that it would do.
    fn planned(&mut self, plan: &Plan) {
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
            Err(error) => self.report.failed(failure(&named(&from, &to, &from, &error), &error)),
        }
    }

    fn dry_run(&mut self, plan: &Plan) {
        for removal in &plan.obstacles {
            self.report.step("delete", &self.to(&removal.path));
        }
        for path in &plan.missing {
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
