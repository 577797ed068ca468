//! From the file to the rooms' settings: paths made whole, keys held against one another.

use std::path::Path;
use std::time::Duration;

use super::error::Problem;
use super::file::{self, File, HomeRule, Login};
use super::settings::{Door, Settings};
use crate::admin::{CertificateFiles, Reach};
use sealane_core::accounts::{DEFAULT_HOMES, HashCost, Hasher, HomeMap, LoginSettings};
use sealane_core::storage::Caps;
use sealane_server::sealane;
use sealane_server::{KeyFiles, StrangerLimits};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// The settings of `file`, whose relative paths start at `base`.
pub(super) fn resolve(file: File, base: &Path) -> Result<Settings, Problem> {
    let login = login(&file.login, &file.home_map)?;
    let login_deadline = file.limits.login_seconds.seconds();
    if login.queue_deadline >= login_deadline {
        return Err(problem(
            &["login.queue_seconds", "limits.login_seconds"],
            "queue_seconds must be less than limits.login_seconds, or nobody hears that the server is busy",
        ));
    }
    let settings = Settings {
        reach: Reach { listen: file.listen, public: file.public_address },
        doors: doors(file.door, base)?,
        certificates: CertificateFiles {
            certificate: base.join(file.tls.certificate),
            key: base.join(file.tls.key),
            backup_pin: file.tls.backup_pin,
        },
        accounts: base.join(file.accounts.directory),
        migration: base.join(file.accounts.migration),
        data: base.join(file.storage.data),
        log_file: file.log.file.map(|path| base.join(path)),
        partial_expiry: DAY.saturating_mul(file.storage.partial_expiry_days.0),
        login,
        login_deadline,
        sessions: file.limits.sessions_per_account.count(),
        limits: sealane::Limits {
            idle: file.limits.idle_seconds.seconds(),
            stall: file.limits.stall_seconds.seconds(),
            slowest: file.limits.slowest_bytes_per_second.0,
            transfer_stall: file.limits.transfer_stall_seconds.seconds(),
        },
        workers: file.limits.workers.map(|count| count.count()),
        connections: file.limits.connections.count(),
        caps: Caps {
            files: file.limits.files_per_account.0.into(),
            partials: file.limits.partials_per_account.0.into(),
        },
        transfer_memory: file.limits.transfer_memory_mib.count() << 20,
        answer_memory: file.limits.answer_memory_mib.count() << 20,
        congestion: file.congestion,
        strangers: StrangerLimits {
            all: file.limits.strangers.count(),
            per_source: file.limits.strangers_per_source.count(),
        },
        recheck: file.limits.recheck_seconds.seconds(),
        drain: file.limits.drain_seconds.seconds(),
        user: file.process.user,
        sandbox: file.process.sandbox,
    };
    if settings.strangers.all >= settings.connections {
        return Err(problem(
            &["limits.strangers", "limits.connections"],
            "strangers must be less than limits.connections, or they could keep everybody out",
        ));
    }
    keep_apart(&settings)?;
    Ok(settings)
}

fn doors(doors: Vec<file::Door>, base: &Path) -> Result<Vec<Door>, Problem> {
    let resolved = doors.into_iter().map(|door| {
        let file::DoorKind::Https = door.kind;
        let files = match (door.certificate, door.key) {
            (None, None) => None,
            (Some(certificate), Some(key)) => {
                let (certificate, key) = (base.join(certificate), base.join(key));
                Some(KeyFiles { certificate, key })
            }
            _ => {
                let text = "a door has both certificate and key, or neither";
                return Err(problem(&["door"], text));
            }
        };
        Ok(Door { listen: door.listen, files })
    });
    resolved.collect()
}

fn login(login: &Login, rules: &[HomeRule]) -> Result<LoginSettings, Problem> {
    let cost = HashCost {
        memory_kib: login.argon2_memory_kib.0,
        iterations: login.argon2_iterations.0,
        parallelism: login.argon2_parallelism.0,
    };
    // The bounds are the hasher's; making one costs nothing.
    Hasher::new(cost).map_err(|error| {
        let keys =
            &["login.argon2_memory_kib", "login.argon2_iterations", "login.argon2_parallelism"];
        problem(keys, error.to_string())
    })?;
    Ok(LoginSettings {
        cost,
        workers: login.workers.count(),
        queue: login.queue.count(),
        queue_deadline: login.queue_seconds.seconds(),
        homes: homes(rules)?,
        legacy_encodings: login.legacy_password_encodings.clone(),
        enroll: login.enroll,
        legacy_deadline: login.legacy_deadline,
        ..LoginSettings::default()
    })
}

fn homes(rules: &[HomeRule]) -> Result<HomeMap, Problem> {
    let pairs = rules.iter().map(|rule| (rule.from.as_str(), rule.to.as_str()));
    let homes = HomeMap::new(pairs).map_err(|error| problem(&["home_map"], error.to_string()))?;
    // The store keeps homes nowhere else: better said now than at somebody's login.
    match rules.iter().find(|rule| rule.to.split('/').next() != Some(DEFAULT_HOMES)) {
        Some(rule) => Err(problem(
            &["home_map"],
            format!("to = '{}' must be '{DEFAULT_HOMES}' or a directory in it", rule.to),
        )),
        None => Ok(homes),
    }
}

/// Homes are served to others; nothing that only the server may read can lie among them.
fn keep_apart(settings: &Settings) -> Result<(), Problem> {
    let secret: [(&'static [&'static str; 2], &Path); 3] = [
        (&["accounts.migration", "storage.data"], &settings.migration),
        (&["accounts.directory", "storage.data"], &settings.accounts),
        (&["tls.key", "storage.data"], &settings.certificates.key),
    ];
    let homes = settings.data.join(DEFAULT_HOMES);
    for (keys, path) in secret {
        if path.starts_with(&homes) {
            let [what, place] = keys;
            return Err(problem(keys, format!("{what} must not lie among the homes in {place}")));
        }
    }
    let keys = settings.doors.iter().filter_map(|door| door.files.as_ref());
    if keys.clone().any(|files| files.key.starts_with(&homes)) {
        return Err(problem(
            &["door", "storage.data"],
            "the key of a door must not lie among the homes in storage.data",
        ));
    }
    let log = settings.log_file.as_deref();
    if log.is_some_and(|log| log.starts_with(&homes)) {
        return Err(problem(
            &["log.file", "storage.data"],
            "log.file must not lie among the homes in storage.data",
        ));
    }
    // What was replaced must not lie on among what replaced it.
    if settings.migration.starts_with(&settings.accounts) {
        return Err(problem(
            &["accounts.migration", "accounts.directory"],
            "accounts.migration must not lie in accounts.directory",
        ));
    }
    if settings.certificates.key == settings.certificates.certificate {
        return Err(problem(
            &["tls.key", "tls.certificate"],
            "tls.key and tls.certificate must be two files",
        ));
    }
    Ok(())
}

fn problem(keys: &'static [&'static str], text: impl Into<String>) -> Problem {
    Problem { keys, text: text.into() }
}
