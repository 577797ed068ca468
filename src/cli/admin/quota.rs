//! `quota check`: what accounts have on the disk, held against the ledger of the running server.

use std::time::Duration;

use serde_json::{Value, json};

use super::account;
use super::running::{ask_within, odd};
use super::words::aligned;
use crate::cli::{Exit, Failure, Ui};
use crate::config::Settings;
use sealane_base::files::StorageError;
use sealane_base::types::{Username, size};
use sealane_core::accounts::Summary;
use sealane_core::storage::audit_on_disk;
use sealane_server::{Answer, Question, QuotaStatus};

/// For the count of one home, however many files are in it.
const PATIENCE: Duration = Duration::from_secs(600);

/// One account, counted.
enum Counted {
    /// By the server that has its home open.
    Held(QuotaStatus),
    /// By us, in bytes: nobody has it open, so there is no ledger that could be wrong.
    Free(u64),
}

/// What was found in all of them.
#[derive(Default)]
struct Found {
    rows: Vec<[String; 6]>,
    drifted: usize,
    failed: usize,
    is_running: bool,
}

pub(super) fn check(
    ui: Ui,
    settings: &Settings,
    names: &[Username],
    repair: bool,
) -> Result<(), Failure> {
    let mut found = Found::default();
    for summary in summaries(settings, names)? {
        match count(settings, &summary, repair, &mut found.is_running) {
            Ok(counted) => {
                ui.object(&object(&summary, &counted, repair));
                found.take(&summary, &counted);
            }
            Err(problem) => {
                ui.note(&format!("{}: not counted: {problem}", summary.name));
                ui.object(&json!({ "type": "account", "name": summary.name, "error": problem }));
                found.failed += 1;
            }
        }
    }
    found.conclude(ui, repair)
}

fn summaries(settings: &Settings, names: &[Username]) -> Result<Vec<Summary>, Failure> {
    let manager = account::open(settings)?;
    if names.is_empty() {
        return Ok(manager.list()?);
    }
    Ok(names.iter().map(|name| manager.show(name)).collect::<Result<_, _>>()?)
}

fn count(
    settings: &Settings,
    summary: &Summary,
    repair: bool,
    is_running: &mut bool,
) -> Result<Counted, String> {
    let question = Question::CheckQuota { name: summary.name.clone(), repair };
    match ask_within(settings, &question, PATIENCE).map_err(|failure| failure.message)? {
        Some(Answer::Quota(held)) => {
            *is_running = true;
            if let Some(status) = held {
                return Ok(Counted::Held(status));
            }
        }
        Some(_) => return Err(odd().message),
        None => {}
    }
    let home = summary.home.as_ref().map_err(Clone::clone)?;
    let owner = Username::parse(&summary.name).map_err(|error| error.to_string())?;
    match audit_on_disk(&settings.data, &owner, home.path()) {
        Ok(audit) => Ok(Counted::Free(audit.on_disk())),
        Err(StorageError::Changed) => Err("it changed while it was being counted".into()),
        Err(error) => Err(error.to_string()),
    }
}

impl Found {
    fn take(&mut self, summary: &Summary, counted: &Counted) {
        let none = || "-".to_owned();
        let quota = summary.quota.as_ref().map_or_else(|_| none(), |bytes| size::human(*bytes));
        let name = summary.name.clone();
        self.rows.push(match counted {
            Counted::Free(bytes) => [name, none(), none(), bytes.to_string(), none(), quota],
            Counted::Held(status) => {
                self.drifted += usize::from(status.drift != 0);
                let (used, reserved) = (status.used.to_string(), status.reserved.to_string());
                let drift = format!("{:+}", status.drift);
                [
                    name,
                    used,
                    reserved,
                    on_disk(status).to_string(),
                    drift,
                    size::human(status.limit),
                ]
            }
        });
    }

    fn conclude(self, ui: Ui, repair: bool) -> Result<(), Failure> {
        let titles = ["NAME", "USED", "RESERVED", "ON DISK", "DRIFT", "QUOTA"].map(str::to_owned);
        for line in aligned(&[vec![titles], self.rows].concat()) {
            ui.line(&line);
        }
        if !self.is_running {
            ui.note("no server is running: it counts each home afresh when it is opened");
        }
        let (drifted, failed) = (self.drifted, self.failed);
        if repair {
            ui.line(&format!("{drifted} ledgers set right"));
        }
        ui.object(&json!({
            "type": "result",
            "running": self.is_running,
            "drifted": drifted,
            "repaired": if repair { drifted } else { 0 },
            "failed": failed,
        }));
        if failed > 0 {
            return Err(Failure::new(Exit::Partial, format!("{failed} accounts were not counted")));
        }
        if drifted == 0 || repair {
            return Ok(());
        }
        let text = format!("{drifted} ledgers differ from the disk");
        let hint =
            "files came or went by hand? `sealane-admin quota check --repair` sets them right";
        Err(Failure::new(Exit::Other, text).hint(hint))
    }
}

fn on_disk(status: &QuotaStatus) -> u64 {
    status.files.saturating_add(status.partials).saturating_add(status.trash)
}

fn object(summary: &Summary, counted: &Counted, repair: bool) -> Value {
    match counted {
        Counted::Free(bytes) => json!({
            "type": "account",
            "name": summary.name,
            "limit": summary.quota.as_ref().ok(),
            "on_disk": bytes,
            "open": false,
        }),
        Counted::Held(status) => json!({
            "type": "account",
            "name": summary.name,
            "limit": status.limit,
            "used": status.used,
            "reserved": status.reserved,
            "files": status.files,
            "partials": status.partials,
            "trash": status.trash,
            "uploading": status.uploading,
            "on_disk": on_disk(status),
            "drift": status.drift,
            "repaired": repair && status.drift != 0,
            "open": true,
        }),
    }
}
