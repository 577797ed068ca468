//! `sealaned`: reads the configuration, listens, says so, serves until told to stop.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::confine::{self, Confined};
use super::{Exit, Failure, Ui, logging, signals};
use crate::config::{self, Settings};
use sealane_base::fsio::FsError;
use sealane_core::accounts::{AccountStore, Authenticator, DirectoryStore};
use sealane_core::storage::EmbeddedStore;
use sealane_server as server;
use sealane_server::{KeyError, KeyFiles, Keys};

/// How long a login waits for other writers of records.
const UPGRADE_PATIENCE: Duration = Duration::from_secs(1);

/// Serve homes over pinned TLS 1.3.
///
/// Says "listening on ADDR:PORT" on stderr when it is ready. SIGTERM and SIGINT let transfers under
/// way end, for at most `limits.drain_seconds`; a second one ends at once. SIGHUP reads
/// `login.legacy_deadline` again; everything else in the configuration is read at the start.
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
    let arguments = Arguments::parse();
    let ui = Ui::default();
    match run(ui, &arguments.config) {
        Ok(()) => Exit::Success.into(),
        Err(failure) => {
            ui.failure(&failure);
            failure.exit.into()
        }
    }
}

fn run(ui: Ui, path: &Path) -> Result<(), Failure> {
    logging::start("info")?;
    let settings = config::load(path).map_err(|error| {
        let failure = Failure::new(Exit::Usage, error.to_string());
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    })?;
    let confined = confine::confine(&settings, path)?;
    // The runtime's threads inherit the walls, and could no longer look up how many there should be.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(confined.processors)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Other, format!("cannot start: {error}")))?;
    let served = runtime.block_on(serve(ui, path, settings, confined));
    runtime.shutdown_background();
    served
}

async fn serve(ui: Ui, path: &Path, settings: Settings, confined: Confined) -> Result<(), Failure> {
    let Confined { listener, store, manager, .. } = confined;
    let server = prepare(settings, store)?;
    signals::outlast_large_files()?;
    reload_at_hangup(ui, path.to_owned(), server.authenticator.clone())?;
    let broken = |error| Failure::new(Exit::Other, format!("cannot listen: {error}"));
    let listener = TcpListener::from_std(listener).map_err(broken)?;
    let stop = stop_signal()?;
    let local = listener.local_addr().map_err(broken)?;
    ui.status(&format!("listening on {local}"));
    manager.tell("READY=1");
    let stop = async {
        stop.await;
        manager.tell("STOPPING=1");
    };
    server::run(listener, server, stop)
        .await
        .map_err(|error| Failure::new(Exit::Other, error.to_string()))
}

/// From settings to a server: reads keys, opens records.
fn prepare(settings: Settings, store: Arc<EmbeddedStore>) -> Result<server::Settings, Failure> {
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
    let records: Arc<dyn AccountStore> = Arc::new(records.with_patience(UPGRADE_PATIENCE));
    let authenticator =
        Authenticator::new(records, settings.login).map_err(|error| wrong(error.to_string()))?;
    let socket = settings.data.join(config::CONTROL_SOCKET);
    let control = server::bind_control(&socket).map_err(|error| {
        Failure::new(Exit::Usage, format!("control socket '{}': {error}", socket.display()))
    })?;
    Ok(server::Settings {
        keys,
        control: Some(control),
        authenticator,
        store,
        sessions: settings.sessions,
        limits: settings.limits,
        login_deadline: settings.login_deadline,
        connections: settings.connections,
        transfer_memory: settings.transfer_memory,
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

/// Takes a changed deadline for old records up at each SIGHUP: moving it must not end a transfer.
fn reload_at_hangup(ui: Ui, path: PathBuf, logins: Authenticator) -> Result<(), Failure> {
    let mut hangup = watch(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            ui.status(&reload(&path, &logins));
        }
    });
    Ok(())
}

fn reload(path: &Path, logins: &Authenticator) -> String {
    let last = match config::load(path) {
        Ok(settings) => settings.login.legacy_deadline,
        Err(error) => return format!("configuration not read again: {error}"),
    };
    let what = last.map_or_else(|| "none".to_owned(), |day| day.to_string());
    logins.set_legacy_deadline(last);
    format!("configuration read again: legacy_deadline is {what}")
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
