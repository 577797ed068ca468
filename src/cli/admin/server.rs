//! `init`, `address` and `cert`.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use time::OffsetDateTime;

use super::arguments::CertCommand;
use crate::accounts::HashCost;
use crate::admin::{self, Pins, Reach};
use crate::cli::{Exit, Failure, Ui};
use crate::config::{self, Settings};
use crate::types::{Address, Pin, Username, size};

pub(super) fn init(ui: Ui, directory: &Path, listen: SocketAddr) -> Result<(), Failure> {
    let reach = Reach { listen, public: None };
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
    let address = admin::address(&settings.reach, &pins, user)?;
    ui.line(&address.to_string());
    remark_on_host(ui, &settings.reach);
    if pins.backup.is_none() {
        ui.note("there is no backup pin: if the server's key is lost, every client must be told");
    }
    ui.object(&address_object(&address));
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
    }
}

fn show(ui: Ui, settings: &Settings) -> Result<(), Failure> {
    let files = &settings.certificates;
    let report = admin::show(files).map_err(missing_certificate)?;
    print_pins(ui, &report.pins);
    ui.line(&format!("certificate  {}", files.certificate.display()));
    ui.line(&format!("key          {}", files.key.display()));
    if let Some(key) = &report.backup_key {
        remark_on_backup(ui, key);
    }
    ui.object(&json!({
        "type": if report.key_problem.is_none() { "result" } else { "certificates" },
        "server_pin": report.pins.server.to_string(),
        "backup_pin": report.pins.backup.map(|pin| pin.to_string()),
        "certificate": files.certificate,
        "key": files.key,
        "backup_key": report.backup_key,
    }));
    report.key_problem.map_or(Ok(()), |problem| Err(problem.into()))
}

fn generate(ui: Ui, directory: &Path) -> Result<(), Failure> {
    let made = admin::generate(directory, OffsetDateTime::now_utc())?;
    print_pins(ui, &Pins { server: made.server, backup: Some(made.backup) });
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
    if reach.listen.ip().is_unspecified() {
        ui.note(
            "the host is this machine's own name: set public_address if clients know another one",
        );
    }
    if reach.listen.port() == 0 {
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
