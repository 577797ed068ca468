//! `sealaned`: reads the configuration, listens, says so, serves until told to stop.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::{Exit, Failure, Ui, logging};
use crate::accounts::{AccountStore, Authenticator, DirectoryStore};
use crate::config::{self, Settings};
use crate::fsio::FsError;
use crate::server::{self, KeyError, KeyFiles, Keys};
use crate::storage::{StorageError, Vault};

/// Serve homes over pinned TLS 1.3.
///
/// Says "listening on ADDR:PORT" on stderr when it is ready. SIGTERM and SIGINT let transfers under
/// way end, for at most `limits.drain_seconds`; a second one ends at once.
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
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| Failure::new(Exit::Other, format!("cannot start: {error}")))?;
    let served = runtime.block_on(serve(ui, settings));
    runtime.shutdown_background();
    served
}

async fn serve(ui: Ui, settings: Settings) -> Result<(), Failure> {
    let listen = settings.reach.listen;
    let server = prepare(settings)?;
    let listener = TcpListener::bind(listen).await.map_err(|error| {
        Failure::new(Exit::Usage, format!("cannot listen on {listen}: {error}"))
            .hint("is another server running there? 'listen' in the configuration names the port")
    })?;
    let stop = stop_signal()?;
    let local = listener
        .local_addr()
        .map_err(|error| Failure::new(Exit::Other, format!("cannot listen: {error}")))?;
    ui.status(&format!("listening on {local}"));
    server::run(listener, server, stop)
        .await
        .map_err(|error| Failure::new(Exit::Other, error.to_string()))
}

/// From settings to a server: reads keys, opens records and data.
fn prepare(settings: Settings) -> Result<server::Settings, Failure> {
    let files = &settings.certificates;
    let files = KeyFiles { certificate: files.certificate.clone(), key: files.key.clone() };
    let keys = Keys::load(files).map_err(|error| match &error {
        KeyError::File(error) => key_file(error),
        error => Failure::new(Exit::Usage, error.to_string()),
    })?;
    let wrong = |error: String| Failure::new(Exit::Usage, error);
    let store: Arc<dyn AccountStore> = Arc::new(
        DirectoryStore::open(&settings.accounts).map_err(|error| wrong(error.to_string()))?,
    );
    let authenticator =
        Authenticator::new(store, settings.login).map_err(|error| wrong(error.to_string()))?;
    let vault = Vault::open(&settings.data).map_err(|error| data(&settings.data, &error))?;
    let socket = settings.data.join(config::CONTROL_SOCKET);
    let control = server::bind_control(&socket).map_err(|error| {
        Failure::new(Exit::Usage, format!("control socket '{}': {error}", socket.display()))
    })?;
    Ok(server::Settings {
        keys,
        control: Some(control),
        authenticator,
        vault,
        limits: settings.limits,
        login_deadline: settings.login_deadline,
        connections: settings.connections,
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

fn data(path: &Path, error: &StorageError) -> Failure {
    match error {
        StorageError::DataDirectory { .. } => Failure::new(Exit::Usage, error.to_string()),
        _ => Failure::new(Exit::Usage, format!("data directory '{}': {error}", path.display())),
    }
}

/// Completes at the first SIGTERM or SIGINT; the second one ends the process at once.
fn stop_signal() -> Result<impl Future<Output = ()>, Failure> {
    let listen = |kind| {
        signal(kind)
            .map_err(|error| Failure::new(Exit::Other, format!("cannot watch signals: {error}")))
    };
    let (mut terminate, mut interrupt) =
        (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        tokio::spawn(async move {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            std::process::exit(i32::from(Exit::Interrupted as u8));
        });
    })
}
