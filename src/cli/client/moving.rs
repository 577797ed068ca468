//! One command that moves files: its link to the server, its progress, its report.
//!
//! Begun once, ended once, so that `put`, `get` and `sync` treat a connection that is gone alike.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde_json::json;

use super::progress::Progress;
use super::receipts;
use super::remote::{Access, Remote};
use super::report::Report;
use crate::cli::Failure;
use sealane_base::types::{Address, Digest, RemotePath};
use sealane_client::Link;
use sealane_client::session::SessionError;
use sealane_protocol::transfer::Meter;

/// What a command that moves files has at hand.
#[derive(Debug)]
pub(super) struct Moving {
    pub(super) link: Arc<Link>,
    pub(super) meter: Arc<Meter>,
    pub(super) progress: Progress,
    pub(super) report: Report,
    remote: Remote,
    started: Instant,
}

impl Moving {
    /// Begins to log in at the server of `address`; what the command does meanwhile may count on it, and must print
    /// nothing before it is answered.
    pub(super) async fn begin(
        access: &Access,
        address: &Address,
        dry_run: bool,
    ) -> Result<Self, Failure> {
        let started = Instant::now();
        let start = json!({ "type": "start", "server": address.host_port() });
        let remote = access.link(address, Some(start)).await?;
        let meter = Arc::new(Meter::default());
        let progress = Progress::start(access, meter.clone(), remote.link.admitted());
        let report = Report::new(access.ui).planning(dry_run);
        Ok(Self { link: remote.link.clone(), meter, progress, report, remote, started })
    }

    /// Notes that a file or tree failed; false once nothing more can succeed, which is told at the end.
    pub(super) async fn failed(&mut self, failure: Failure) -> bool {
        self.link.admitted().await;
        let goes_on = self.link.over().is_none();
        if goes_on {
            self.report.failed(&self.progress, failure);
        }
        goes_on
    }

    /// Has the server sign what arrived, and writes that to `paper`.
    pub(super) async fn receipts(&mut self, paper: &Path) {
        let parse = |(path, root): (String, Digest)| Some((RemotePath::parse(&path).ok()?, root));
        let brought = self.report.brought().into_iter().filter_map(parse).collect();
        for failure in receipts::fetch(&self.remote, paper, brought).await {
            if !self.failed(failure).await {
                return;
            }
        }
    }

    /// Says what came of it all, and how the program ends; `jobs` is how many were asked for.
    pub(super) async fn finish(mut self, jobs: usize) -> Result<(), Failure> {
        let lost = self.remote.lost();
        if let Some(failure) = &lost {
            self.report.failed(&self.progress, failure.clone());
        }
        let Self { link, progress, report, remote, started, .. } = self;
        drop((progress, link));
        remote.close().await;
        let ended = report.finish(jobs, started.elapsed());
        // What can be done again at once counts for more than that some files failed.
        lost.map_or(ended, |failure| Err(Failure::told(failure.exit)))
    }
}

/// The connection is gone for good: told once, not for every file that was under way.
pub(super) fn is_lost(link: &Link, error: &SessionError) -> bool {
    link.over().is_some() && !matches!(error, SessionError::Transfer(_))
}
