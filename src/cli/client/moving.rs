//! One command that moves or compares files: its client, its progress, its report.
//!
//! Begun once, ended once, so that `put`, `get`, `sync` and `verify` treat a connection that is
//! gone alike.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::progress::Progress;
use super::receipts;
use super::remote::{Access, Job, Remote};
use super::report::Report;
use crate::cli::{Failure, errors};
use sealane_base::types::{Address, Digest, RemotePath};
use sealane_client::Client;
use sealane_client::session::SessionError;
use sealane_protocol::transfer::Meter;

/// What a command that moves files has at hand.
#[derive(Debug)]
pub(super) struct Moving {
    pub(super) client: Client,
    pub(super) meter: Arc<Meter>,
    pub(super) report: Report,
    remote: Remote,
    started: Instant,
}

impl Moving {
    /// Begins to log in at the server of `address`; what the command does meanwhile may count on
    /// it, and must print nothing before it is answered.
    pub(super) async fn begin(
        access: &Access,
        address: &Address,
        job: Job,
    ) -> Result<Self, Failure> {
        let started = Instant::now();
        let remote = access.connect(address, job).await?;
        let (client, meter) = (remote.client.clone(), Arc::new(Meter::default()));
        let progress = Progress::start(access, meter.clone(), client.logged_in());
        Ok(Self { client, meter, report: Report::new(access.ui, progress), remote, started })
    }

    /// Notes that a file or tree failed; false once nothing more can succeed, which is told at the
    /// end.
    pub(super) async fn failed(&mut self, failure: Failure) -> bool {
        // What fails here is not told if the login fails.
        let _ = self.client.logged_in().await;
        let goes_on = self.client.failure().is_none();
        if goes_on {
            self.report.failed(failure);
        }
        goes_on
    }

    /// As [`Moving::failed`], of a job between these two that ended so.
    pub(super) async fn ended(
        &mut self,
        local: &str,
        remote: &str,
        ended: Result<(), SessionError>,
    ) -> bool {
        let Err(error) = ended else { return true };
        let what = if matches!(error, SessionError::Transfer(_)) { local } else { remote };
        self.failed(errors::session(what, &error)).await
    }

    /// Whether a directory is at `path` on the server.
    pub(super) async fn is_directory(&self, path: &RemotePath) -> Result<bool, Failure> {
        match self.client.stat(path).await {
            Ok(entry) => Ok(entry.kind == 1),
            Err(error) => Err(self.remote.failure(path, &error)),
        }
    }

    /// Has the server sign what arrived, and writes that to `paper`.
    pub(super) async fn receipts(&mut self, paper: &Path) {
        if self.client.logged_in().await.is_err() {
            return;
        }
        let parse = |(path, root): (String, Digest)| Some((RemotePath::parse(&path).ok()?, root));
        let brought = self.report.brought.take().unwrap_or_default();
        let brought = brought.into_iter().filter_map(parse).collect();
        for failure in receipts::fetch(&self.remote, paper, brought).await {
            if !self.failed(failure).await {
                return;
            }
        }
    }

    /// Closes the session; says what came of it all with `finish`, and how the program ends.
    pub(super) async fn close(
        mut self,
        finish: impl FnOnce(Report) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let login = self.client.logged_in().await;
        let lost = self.remote.lost();
        if login.is_err() {
            // All there is to say.
            return lost.map_or(Ok(()), Err);
        }
        if let Some(failure) = &lost {
            self.report.failed(failure.clone());
        }
        let Self { client, mut report, remote, .. } = self;
        drop(client);
        report.progress = None;
        remote.close().await;
        let ended = finish(report);
        // What can be done again at once counts for more than that some files failed.
        lost.map_or(ended, |failure| Err(Failure::told(failure.exit)))
    }

    /// As [`Moving::close`], with the sum of the report; `jobs` is how many were asked for.
    pub(super) async fn finish(self, jobs: usize) -> Result<(), Failure> {
        let elapsed = self.started.elapsed();
        self.close(|report| report.finish(jobs, elapsed)).await
    }
}
