//! `sealaned`: reads the configuration, listens, says so, serves until told to stop.

use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::confine::{self, Confined};
use super::logging::Log;
use super::{Exit, Failure, signals, ui};
use crate::config::{self, Settings};
use sealane_base::fsio::FsError;
use sealane_base::workers::Workers;
use sealane_core::accounts::{AccountStore, Authenticator, DirectoryStore};
use sealane_core::storage::EmbeddedStore;
use sealane_server as server;
use sealane_server::door::Door;
use sealane_server::https::{CertificateError, Certificates, Https};
use sealane_server::{KeyError, KeyFiles, Keys};

/// How long a login waits for other writers of records.
const UPGRADE_LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// Serve homes over pinned TLS 1.3.
///
/// Says "listening on ADDR:PORT" on stderr when it is ready, once for each place, and
/// "https on ADDR:PORT" for each place of an HTTPS door. SIGTERM and
/// SIGINT let transfers under way end, for at most `limits.drain_seconds`; a second one ends at
/// once. SIGHUP reads `login.legacy_deadline`, certificate and key again and opens the log file
/// anew, SIGUSR1 the log file alone; everything else in the configuration is read at the start.
///
/// Example: `sealaned --config /srv/sealane/config.toml`
#[derive(Debug, Parser)]
#[command(name = "sealaned", version, verbatim_doc_comment)]
struct Arguments {
    /// The configuration file, as `sealane-admin init` writes it
    #[arg(long, value_name = "FILE", default_value = "config.toml", env = "SEALANE_CONFIG")]
    config: PathBuf,
}

/// Runs the server with the arguments of the process.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match ui::parse::<Arguments>(std::env::args_os()) {
        Ok((arguments, _)) => arguments,
        Err(exit) => return exit.into(),
    };
    let log = Log::default();
    let exit = match run(&log, &arguments.config) {
        Ok(()) => Exit::Success,
        Err(failure) => {
            failure.lines().iter().for_each(|line| log.line(line));
            failure.exit
        }
    };
    log.finish();
    exit.into()
}

/// Threads that block, besides those for the work of homes. No client can keep them busy.
const BESIDES: usize = 8;

fn run(log: &Log, path: &Path) -> Result<(), Failure> {
    log.start("info")?;
    let settings = config::load(path).map_err(|error| {
        let failure = Failure::new(Exit::Usage, error.to_string());
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    })?;
    let confined = confine::confine(&settings, path, log)?;
    // The runtime's threads inherit the walls, and could no longer look up how many there should
    // be.
    let workers = settings.workers.unwrap_or(Workers::count_for(confined.processors));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(confined.processors)
        // Besides the work of homes: records, the control socket, and what runs once in a while.
        .max_blocking_threads(2 * workers + BESIDES)
        // With a thread goes the memory that others have freed for it.
        .thread_keep_alive(Duration::from_secs(1))
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Other, format!("cannot start: {error}")))?;
    let served = runtime.block_on(serve(log, path, settings, confined, Workers::new(workers)));
    runtime.shutdown_background();
    served
}

async fn serve(
    log: &Log,
    path: &Path,
    settings: Settings,
    confined: Confined,
    workers: Workers,
) -> Result<(), Failure> {
    let Confined { listeners, doors, control, store, manager, .. } = confined;
    let doors = open_doors(&settings, doors)?;
    let mut server = prepare(settings, store, control, workers)?;
    signals::outlast_large_files()?;
    let again = Again {
        log: log.clone(),
        config: path.to_owned(),
        logins: server.authenticator.clone(),
        keys: server.keys.clone(),
    };
    again.at_signals()?;
    let broken = |error| Failure::new(Exit::Other, format!("cannot listen: {error}"));
    let listeners = listeners.into_iter().map(TcpListener::from_std);
    let listeners = listeners.collect::<Result<Vec<_>, _>>().map_err(broken)?;
    let stop = stop_signal()?;
    // Before the lines that scripts wait for.
    for (listener, door) in &doors {
        let local = listener.local_addr().map_err(broken)?;
        log.line(&format!("{} on {local}", door.name()));
    }
    for listener in &listeners {
        let local = listener.local_addr().map_err(broken)?;
        log.line(&format!("listening on {local}"));
    }
    server.doors = doors;
    manager.tell("READY=1");
    let stop = async {
        stop.await;
        manager.tell("STOPPING=1");
    };
    server::run(listeners, server, stop)
        .await
        .map_err(|error| Failure::new(Exit::Other, error.to_string()))
}

type OpenDoor = (TcpListener, Arc<dyn Door>);

/// What is served beside sealane/1. Each block of the settings is a door with its own certificate.
fn open_doors(
    settings: &Settings,
    listeners: Vec<Vec<std::net::TcpListener>>,
) -> Result<Vec<OpenDoor>, Failure> {
    let broken = |error| Failure::new(Exit::Other, format!("cannot listen: {error}"));
    let mut doors = Vec::new();
    for (door, listeners) in settings.doors.iter().zip(listeners) {
        let files = door.files.clone().map(Certificates::load).transpose();
        let certificates = files.map_err(|error| match &error {
            CertificateError::File(error) => key_file(error),
            error => Failure::new(Exit::Usage, error.to_string()),
        })?;
        let memory = settings.transfer_memory;
        let door = Https::new(settings.limits, certificates, memory)
            .map_err(|error| Failure::new(Exit::Other, format!("no randomness: {error}")))?;
        let door: Arc<dyn Door> = Arc::new(door);
        for listener in listeners {
            let listener = TcpListener::from_std(listener).map_err(broken)?;
            doors.push((listener, Arc::clone(&door)));
        }
    }
    Ok(doors)
}

/// From settings to a server: reads keys, opens records.
fn prepare(
    settings: Settings,
    store: Arc<EmbeddedStore>,
    control: UnixListener,
    workers: Workers,
) -> Result<server::Settings, Failure> {
    let files = &settings.certificates;
    let files = KeyFiles { certificate: files.certificate.clone(), key: files.key.clone() };
    let keys = Keys::load(files).map_err(|error| match &error {
        KeyError::File(error) => key_file(error),
        error => Failure::new(Exit::Usage, error.to_string()),
    })?;
    let wrong = |error: String| Failure::new(Exit::Usage, error);
    let records =
        DirectoryStore::open(&settings.accounts).map_err(|error| wrong(error.to_string()))?;
    // A login is not held up by whoever holds the lock; its upgrade is tried again at the next one.
    let records: Arc<dyn AccountStore> = Arc::new(records.with_lock_timeout(UPGRADE_LOCK_TIMEOUT));
    let authenticator =
        Authenticator::new(records, settings.login).map_err(|error| wrong(error.to_string()))?;
    if let Err(error) = authenticator.keep_in(&settings.data.join(config::FAILURES)) {
        tracing::warn!(%error, "failed logins before this start are forgotten");
    }
    let control = tokio::net::UnixListener::from_std(control)
        .map_err(|error| Failure::new(Exit::Other, format!("control socket: {error}")))?;
    Ok(server::Settings {
        keys,
        doors: Vec::new(),
        control: Some(control),
        authenticator,
        store,
        sessions: settings.sessions,
        limits: settings.limits,
        login_deadline: settings.login_deadline,
        connections: settings.connections,
        transfer_memory: settings.transfer_memory,
        answer_memory: settings.answer_memory,
        workers,
        congestion: settings.congestion,
        strangers: settings.strangers,
        drain: settings.drain,
        recheck: settings.recheck,
        partial_expiry: settings.partial_expiry,
    })
}

fn key_file(error: &FsError) -> Failure {
    let failure = Failure::new(Exit::Usage, error.to_string());
    match error.hint() {
        Some(hint) => failure.hint(hint),
        None if error.is_not_found() => failure
            .hint("'sealane-admin init DIR' makes a server with keys, scripts/gen-certs keys for a checkout"),
        None => failure,
    }
}

fn watch(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind)
        .map_err(|error| Failure::new(Exit::Other, format!("cannot watch signals: {error}")))
}

/// What is read or opened again while the server runs: none of it may end a transfer.
struct Again {
    log: Log,
    config: PathBuf,
    logins: Authenticator,
    keys: Keys,
}

impl Again {
    /// All of it at each SIGHUP, the log file alone at each SIGUSR1.
    fn at_signals(self) -> Result<(), Failure> {
        let (mut hangup, mut user) =
            (watch(SignalKind::hangup())?, watch(SignalKind::user_defined1())?);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    Some(()) = hangup.recv() => {
                        self.log.reopen();
                        self.keys.reload();
                        self.log.line(&self.configuration());
                    }
                    Some(()) = user.recv() => self.log.reopen(),
                    else => return,
                }
            }
        });
        Ok(())
    }

    fn configuration(&self) -> String {
        let last = match config::load(&self.config) {
            Ok(settings) => settings.login.legacy_deadline,
            Err(error) => return format!("configuration not read again: {error}"),
        };
        let what = last.map_or_else(|| "none".to_owned(), |day| day.to_string());
        self.logins.set_legacy_deadline(last);
        format!("configuration read again: legacy_deadline is {what}")
    }
}

/// Completes at the first SIGTERM or SIGINT; the second one ends the process at once.
fn stop_signal() -> Result<impl Future<Output = ()>, Failure> {
    let (mut terminate, mut interrupt) =
        (watch(SignalKind::terminate())?, watch(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        tokio::spawn(async move {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            std::process::exit(i32::from(Exit::Interrupted as u8));
        });
    })
}
