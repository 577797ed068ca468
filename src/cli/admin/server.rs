//! `init`, `address` and `cert`.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use time::OffsetDateTime;

use super::arguments::{BackupKey, CertCommand, RotateCommand};
use super::running;
use crate::admin::{self, Pins, Reach};
use crate::cli::{Exit, Failure, Ui};
use crate::config::{self, Settings};
use sealane_base::types::{Address, ListenAddress, Pin, Username, size};
use sealane_core::accounts::HashCost;
use sealane_server::KeysStatus;

pub(super) fn init(ui: Ui, directory: &Path, listen: SocketAddr) -> Result<(), Failure> {
    let reach = Reach { listen: vec![ListenAddress::Ip(listen)], public: None };
    let config = |backup: &Pin| config::template(listen, backup);
    let made = admin::init(directory, &reach, OffsetDateTime::now_utc(), config)?;
    let file = directory.join("config.toml");
    ui.line(&made.address.to_string());
    remark_on_host(ui, &reach);
    remark_on_backup(ui, &made.keys.backup_key);
    ui.note(&format!(
        "next: sealane-admin --config '{file}' account add NAME, then sealaned --config '{file}'",
        file = file.display()
    ));
    ui.object(&json!({
        "type": "result",
        "directory": directory,
        "config": file,
        "address": made.address.to_string(),
        "server_pin": made.keys.server.to_string(),
        "backup_pin": made.keys.backup.to_string(),
        "backup_key": made.keys.backup_key,
    }));
    Ok(())
}

pub(super) fn address(ui: Ui, settings: &Settings, user: Option<Username>) -> Result<(), Failure> {
    let pins = admin::pins(&settings.certificates).map_err(missing_certificate)?;
    let (pins, live) = with_live(pins, running::keys(settings));
    if let Some(user) = &user
        && let Ok(manager) = admin::open_accounts(&settings.accounts, &settings.login)
        && manager.show(user).is_err()
    {
        ui.note(&format!("nobody can log in with it: there is no usable account '{user}'"));
    }
    let address = admin::address(&settings.reach, &pins, user)?;
    ui.line(&address.to_string());
    remark_on_host(ui, &settings.reach);
    remark_on_keys(ui, settings, live.as_ref())?;
    if pins.backup.is_none() {
        ui.note("there is no backup pin: if the server's key is lost, every client must be told");
    }
    ui.object(&address_object(&address));
    Ok(())
}

/// The pins that clients need now: where a server is running, the key that it uses comes first,
/// whatever the files say meanwhile, and theirs is the next one.
fn with_live(pins: Pins, live: Option<KeysStatus>) -> (Pins, Option<KeysStatus>) {
    let used = live.as_ref().and_then(|live| Pin::parse(&live.pin).ok());
    match used.filter(|used| *used != pins.server) {
        Some(server) => (Pins { server, next: Some(pins.server), ..pins }, live),
        None => (pins, live),
    }
}

/// Says so if the files cannot be used as they are, and what a running server uses instead.
fn remark_on_keys(ui: Ui, settings: &Settings, live: Option<&KeysStatus>) -> Result<(), Failure> {
    match live {
        Some(KeysStatus { pin, problem: Some(problem) }) => {
            ui.note(&format!("the server still uses {pin}: {problem}"));
        }
        Some(_) => {}
        None => {
            let report = admin::show(&settings.certificates).map_err(missing_certificate)?;
            if let Some(problem) = report.key_problem {
                ui.note(&format!("no server can use the files as they are: {problem}"));
            }
        }
    }
    Ok(())
}

pub(super) fn calibrate(ui: Ui, settings: &Settings, target_ms: u64) -> Result<(), Failure> {
    let made = admin::calibrate(Duration::from_millis(target_ms))?;
    let HashCost { memory_kib, iterations, parallelism } = made.cost;
    let (workers, takes) = (settings.login.workers, made.takes.as_millis());
    ui.line("[login]");
    ui.line(&format!("argon2_memory_kib = {memory_kib}"));
    ui.line(&format!("argon2_iterations = {iterations}"));
    ui.line(&format!("argon2_parallelism = {parallelism}"));
    let memory = u64::from(memory_kib) * 1024 * workers as u64;
    ui.note(&format!(
        "one check takes {takes} ms here; with login.workers = {workers} they use {}",
        size::human(memory)
    ));
    ui.object(&json!({
        "type": "result",
        "argon2_memory_kib": memory_kib,
        "argon2_iterations": iterations,
        "argon2_parallelism": parallelism,
        "milliseconds": takes,
        "memory": memory,
    }));
    Ok(())
}

pub(super) fn certificates(
    ui: Ui,
    settings: &dyn Fn() -> Result<Settings, Failure>,
    command: CertCommand,
) -> Result<(), Failure> {
    match command {
        CertCommand::Show => show(ui, &settings()?),
        CertCommand::Generate { directory } => generate(ui, &directory),
        CertCommand::Rotate(command) => rotate(ui, &settings()?, &command),
    }
}

fn show(ui: Ui, settings: &Settings) -> Result<(), Failure> {
    let files = &settings.certificates;
    let report = admin::show(files).map_err(missing_certificate)?;
    print_pins(ui, &report.pins);
    ui.line(&format!("certificate  {}", files.certificate.display()));
    ui.line(&format!("key          {}", files.key.display()));
    let live = running::keys(settings);
    if let Some(KeysStatus { pin, problem }) = &live {
        let why = problem.as_ref().map(|problem| format!(", because {problem}"));
        ui.line(&format!("in use       {pin} by the running server{}", why.unwrap_or_default()));
    }
    if let Some(key) = &report.backup_key {
        remark_on_backup(ui, key);
    }
    ui.object(&json!({
        "type": if report.key_problem.is_none() { "result" } else { "certificates" },
        "server_pin": report.pins.server.to_string(),
        "next_pin": report.pins.next.map(|pin| pin.to_string()),
        "backup_pin": report.pins.backup.map(|pin| pin.to_string()),
        "certificate": files.certificate,
        "key": files.key,
        "backup_key": report.backup_key,
        "live_pin": live.as_ref().map(|live| &live.pin),
        "live_problem": live.as_ref().and_then(|live| live.problem.as_ref()),
    }));
    report.key_problem.map_or(Ok(()), |problem| Err(problem.into()))
}

fn rotate(ui: Ui, settings: &Settings, command: &RotateCommand) -> Result<(), Failure> {
    let (files, now) = (&settings.certificates, OffsetDateTime::now_utc());
    let (done, rotated) = match command {
        RotateCommand::Prepare(with) => ("next", admin::prepare(files, with.path(), now)?),
        RotateCommand::Activate(with) => ("in use", admin::activate(files, with.path(), now)?),
        RotateCommand::Retire(with) => ("retired", admin::retire(files, with.path(), now)?),
        RotateCommand::Revoke { pin, backup } => {
            let rotated = admin::revoke(files, pin, backup.path(), now)?;
            (if rotated.new_backup.is_some() { "in use" } else { "revoked" }, rotated)
        }
        RotateCommand::Recover(with) => ("in use", admin::recover(files, with.path(), now)?),
    };
    ui.line(&format!("{done:<9} {}", rotated.pin));
    if let Some(key) = &rotated.new_backup {
        remark_on_backup(ui, key);
    }
    if !rotated.is_signed {
        ui.note("the backup key was not at hand to sign: clients that do not know it yet will not learn it");
    }
    ui.object(&json!({
        "type": "result", "ok": true, "pin": rotated.pin.to_string(), "state": done,
        "new_backup_key": rotated.new_backup, "signed": rotated.is_signed,
    }));
    Ok(())
}

impl BackupKey {
    fn path(&self) -> Option<&Path> {
        self.backup_key.as_deref()
    }
}

fn generate(ui: Ui, directory: &Path) -> Result<(), Failure> {
    let made = admin::generate(directory, OffsetDateTime::now_utc())?;
    print_pins(ui, &Pins { server: made.server, next: None, backup: Some(made.backup) });
    remark_on_backup(ui, &made.backup_key);
    ui.object(&json!({
        "type": "result",
        "directory": directory,
        "server_pin": made.server.to_string(),
        "backup_pin": made.backup.to_string(),
        "backup_key": made.backup_key,
    }));
    Ok(())
}

/// Both forms: the one that curl takes, and the one in an address.
fn print_pins(ui: Ui, pins: &Pins) {
    let print = |title: &str, pin: &Pin| {
        ui.line(&format!("{title:<13}{pin}"));
        ui.line(&format!("{:<13}{}", "", pin.to_address_form()));
    };
    print("server", &pins.server);
    if let Some(next) = &pins.next {
        print("next", next);
    }
    match &pins.backup {
        Some(pin) => print("backup", pin),
        None => ui.line("backup       none"),
    }
}

fn address_object(address: &Address) -> serde_json::Value {
    let pins: Vec<_> = address.pins.iter().map(ToString::to_string).collect();
    json!({
        "type": "result",
        "address": address.to_string(),
        "host": address.host,
        "port": address.port,
        "pins": pins,
    })
}

fn remark_on_host(ui: Ui, reach: &Reach) {
    if reach.public.is_some() {
        return;
    }
    let Some(first) = reach.listen.first() else { return };
    if matches!(first, ListenAddress::Ip(address) if address.ip().is_unspecified()) {
        ui.note(
            "the host is this machine's own name: set public_address if clients know another one",
        );
    }
    if first.port() == 0 {
        ui.note("port 0 stands for the one that sealaned says when it starts");
    }
}

fn remark_on_backup(ui: Ui, key: &Path) {
    ui.note(&format!(
        "'{}' is for the day the server's key is lost: move it to a safe place, offline",
        key.display()
    ));
}

fn missing_certificate(error: admin::AdminError) -> Failure {
    let failure = Failure::from(error);
    match failure.exit {
        Exit::NotFound => failure.hint("`sealane-admin cert generate DIR` makes the keys"),
        _ => failure,
    }
}
