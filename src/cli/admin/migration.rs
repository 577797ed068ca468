//! `account import` and `account report`: the old folder in, and how far the way out of MD5 is.

use std::collections::HashSet;
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::report_page;
use super::words::{aligned, findings, state_word};
use crate::admin::{self, WrapReport};
use crate::cli::{Exit, Failure, Ui};
use crate::config::Settings;
use sealane_base::fsio;
use sealane_core::accounts::{
    AccountManager, Encoding, HashState, ImportEntry, ImportVerdict, MigrationReport, Remains,
};

const PAGE_MODE: u32 = 0o600;

/// What `account import` was asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Import<'a> {
    pub(super) folder: &'a Path,
    pub(super) dry_run: bool,
    pub(super) allow_shared: bool,
}

#[derive(Default)]
struct Tally {
    imported: u64,
    present: u64,
    refused: u64,
}

pub(super) fn import(
    ui: Ui,
    settings: &Settings,
    manager: &AccountManager,
    asked: Import<'_>,
) -> Result<(), Failure> {
    let mut tally = Tally::default();
    let mut stopped = None;
    for entry in manager.plan_import(asked.folder, asked.allow_shared)? {
        let brought = match &entry.verdict {
            ImportVerdict::Ready { .. } if !asked.dry_run => manager.bring_in(&entry),
            verdict => Ok(matches!(verdict, ImportVerdict::Ready { .. })),
        };
        let is_new = match brought {
            Ok(is_new) => is_new,
            Err(error) => {
                stopped = Some(error);
                break;
            }
        };
        let outcome = match (&entry.verdict, is_new) {
            (ImportVerdict::Refused(_), _) => &mut tally.refused,
            (_, true) => &mut tally.imported,
            (_, false) => &mut tally.present,
        };
        *outcome += 1;
        tell(ui, &entry, is_new);
    }
    if !asked.dry_run {
        note(ui, settings, manager);
    }
    let Tally { imported, present, refused } = tally;
    let verb = if asked.dry_run { "would be brought in" } else { "brought in" };
    ui.line(&format!("{imported} {verb}, {present} there already, {refused} refused"));
    ui.object(&json!({
        "type": "result",
        "dry_run": asked.dry_run,
        "imported": imported,
        "present": present,
        "refused": refused,
    }));
    if let Some(error) = stopped {
        return Err(error.into());
    }
    if refused == 0 {
        return Ok(());
    }
    Err(Failure::new(Exit::Partial, format!("{refused} records were refused"))
        .hint("repair them where they are and run the same command again"))
}

fn tell(ui: Ui, entry: &ImportEntry, is_new: bool) {
    let file = &entry.file;
    let (outcome, reason, home) = match &entry.verdict {
        ImportVerdict::Refused(reason) => {
            ui.line(&format!("{file}: refused: {reason}"));
            ("refused", Some(reason.clone()), None)
        }
        ImportVerdict::Ready { encoding, home, shares_with } if is_new => {
            if let Some(other) = shares_with {
                ui.line(&format!(
                    "{file}: shares its home with '{other}': one of them can be logged in at a time"
                ));
            }
            if *encoding == Encoding::Gbk {
                ui.line(&format!("{file}: its text is GBK; stored as UTF-8"));
            }
            ("imported", None, Some(home.to_string()))
        }
        _ => ("present", None, None),
    };
    ui.object(&json!({
        "type": "record",
        "file": file,
        "name": entry.name.as_ref().map(ToString::to_string),
        "outcome": outcome,
        "reason": reason,
        "home": home,
    }));
}

pub(super) fn wrap(ui: Ui, settings: &Settings, manager: &AccountManager) -> Result<(), Failure> {
    let bar = if ui.draws() { ProgressBar::new(0) } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template("{bar:32} {pos} of {len} accounts  {eta} left")
    {
        bar.set_style(style);
    }
    let draw = |done: usize, total: usize| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    };
    let (directory, now) = (&settings.migration, OffsetDateTime::now_utc());
    let wrapped = admin::wrap(manager, directory, settings.login.workers, now, &draw);
    bar.finish_and_clear();
    note(ui, settings, manager);
    let report = wrapped?;
    ui.line(&format!("{} wrapped, {} changed meanwhile", report.changed, report.superseded));
    for path in &report.backups {
        ui.note(&format!(
            "the originals are in '{}': whoever reads it can guess the passwords fast; delete it, and \
             every copy of the old records, once all is well",
            path.display()
        ));
    }
    let remains = remains(settings)?;
    conclude(ui, "wrapped", &report, &remains)
}

/// What is left of MD5 in the accounts' directory, whether it is a record or not.
fn remains(settings: &Settings) -> Result<Vec<Remains>, Failure> {
    AccountManager::md5_remains(&settings.accounts)
        .map_err(|error| Failure::new(Exit::Other, error.to_string()))
}

fn line_of(remains: &Remains) -> String {
    format!("{}: {}", remains.file, remains.why)
}

fn object_of(remains: &Remains) -> Value {
    json!({ "file": remains.file, "why": remains.why })
}

pub(super) fn undo(
    ui: Ui,
    settings: &Settings,
    manager: &AccountManager,
    backup: Option<&Path>,
) -> Result<(), Failure> {
    let report = admin::undo_wrap(manager, &settings.migration, backup)?;
    if report.backups.is_empty() {
        let place = settings.migration.display();
        return Err(Failure::new(Exit::NotFound, format!("there is no backup in '{place}'"))
            .hint("`sealane-admin account wrap` makes one; name its FILE if it was moved"));
    }
    note(ui, settings, manager);
    let (restored, left) = (report.changed, report.superseded);
    ui.line(&format!("{restored} put back, {left} left alone because they changed since"));
    conclude(ui, "restored", &report, &[])
}

fn conclude(ui: Ui, verb: &str, report: &WrapReport, remains: &[Remains]) -> Result<(), Failure> {
    let failed = admin::failures(report);
    for line in failed.iter().cloned().chain(remains.iter().map(line_of)) {
        ui.line(&line);
    }
    ui.object(&json!({
        "type": "result",
        verb: report.changed,
        "changed_meanwhile": report.superseded,
        "failed": failed,
        "backups": report.backups,
        "md5_remains": remains.iter().map(object_of).collect::<Vec<_>>(),
    }));
    let mut why = Vec::new();
    if !failed.is_empty() {
        why.push(format!("{} records could not be changed", failed.len()));
    }
    if !remains.is_empty() {
        why.push(format!("MD5 is left in {} files of the accounts' directory", remains.len()));
    }
    if why.is_empty() {
        return Ok(());
    }
    Err(Failure::new(Exit::Partial, why.join("; ")).hint(
        "set new passwords for such records, delete other files and copies, and run this again",
    ))
}

pub(super) fn report(
    ui: Ui,
    settings: &Settings,
    manager: &AccountManager,
    folder: Option<&Path>,
    page: Option<&Path>,
) -> Result<(), Failure> {
    let mut report = manager.report(folder)?;
    if folder.is_none() {
        note_counts(ui, settings, &report);
        report.md5_elsewhere = elsewhere(&report, remains(settings)?);
    }
    table(ui, &report);
    let now = OffsetDateTime::now_utc();
    if let Some(path) = page {
        let points = admin::history(&settings.migration)?;
        let html = report_page::page(&report, &points, now);
        fsio::write_atomic(path, html.as_bytes(), PAGE_MODE)
            .map_err(|error| Failure::new(Exit::Other, error.to_string()))?;
        ui.note(&format!("the page is '{}'", path.display()));
    }
    objects(ui, &report);
    Ok(())
}

/// What remains besides the records that the report counts as MD5.
fn elsewhere(report: &MigrationReport, remains: Vec<Remains>) -> Vec<Remains> {
    let counted = report.accounts.iter().filter(|account| account.state == HashState::Md5);
    let counted: HashSet<String> = counted.map(|account| format!("{}.db", account.name)).collect();
    remains.into_iter().filter(|one| !counted.contains(&one.file)).collect()
}

/// Notes today's counts for the plot; that it cannot is no reason to stop.
pub(super) fn note(ui: Ui, settings: &Settings, manager: &AccountManager) {
    match manager.report(None) {
        Ok(report) => note_counts(ui, settings, &report),
        Err(error) => ui.note(&format!("the history was not continued: {error}")),
    }
}

fn note_counts(ui: Ui, settings: &Settings, report: &MigrationReport) {
    let now = OffsetDateTime::now_utc();
    if let Err(error) = admin::note_history(&settings.migration, now, report.counts()) {
        ui.note(&format!("the history was not continued: {error}"));
    }
}

fn table(ui: Ui, report: &MigrationReport) {
    let counts = report.counts();
    ui.line(&format!("{} records", counts.total()));
    for (state, count) in [
        (HashState::Argon2id, counts.argon2id),
        (HashState::Weak, counts.weak),
        (HashState::Wrapped, counts.wrapped),
        (HashState::Md5, counts.md5),
        (HashState::Unusable, counts.unusable),
    ] {
        ui.line(&format!("  {count:>6}  {}", state_word(state)));
    }
    for (title, names) in findings(report) {
        if !names.is_empty() {
            ui.line(&format!("{title}:"));
        }
        for name in names {
            ui.line(&format!("  {name}"));
        }
    }
    ui.line("");
    let titles = ["NAME", "PASSWORD", "LAST LOGIN", ""].map(str::to_owned);
    let rows = report.accounts.iter().map(|account| {
        let mut remarks = account.problems.clone();
        if account.disabled {
            remarks.push("disabled".into());
        }
        let last = account.last_login.clone().unwrap_or_else(|| "-".into());
        [account.name.clone(), state_word(account.state).into(), last, remarks.join("; ")]
    });
    let rows: Vec<[String; 4]> = std::iter::once(titles).chain(rows).collect();
    for line in aligned(&rows) {
        ui.line(&line);
    }
}

fn objects(ui: Ui, report: &MigrationReport) {
    for account in &report.accounts {
        ui.object(&json!({
            "type": "account",
            "name": account.name,
            "state": key(account.state),
            "last_login": account.last_login,
            "disabled": account.disabled,
            "problems": account.problems,
        }));
    }
    ui.object(&result(report));
}

fn result(report: &MigrationReport) -> Value {
    let counts = report.counts();
    json!({
        "type": "result",
        "total": counts.total(),
        "argon2id": counts.argon2id,
        "weak": counts.weak,
        "wrapped": counts.wrapped,
        "md5": counts.md5,
        "unusable": counts.unusable,
        "same_password": report.same_password,
        "empty_password": report.empty_password,
        "name_as_password": report.name_as_password,
        "common_password": report.common_password,
        "case_collisions": report.case_collisions,
        "quota_oddities": report.quota_oddities.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        "shared_homes": report.shared_homes,
        "md5_elsewhere": report.md5_elsewhere.iter().map(object_of).collect::<Vec<_>>(),
    })
}

fn key(state: HashState) -> &'static str {
    match state {
        HashState::Argon2id => "argon2id",
        HashState::Weak => "weak",
        HashState::Wrapped => "wrapped",
        HashState::Md5 => "md5",
        HashState::Unusable => "unusable",
    }
}
