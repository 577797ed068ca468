//! `sealaned` without its command line: accepts connections, secures them, serves sessions, drains.
//!
//! The caller binds the listeners and decides when to stop, so that tests use any port and no
//! signal. Byte layouts and requests are for the rooms below; nothing is printed here.

mod accept;
mod control;
pub mod door;
mod gate;
pub mod https;
mod keys;
mod live;
mod questions;
pub mod sandbox;
pub mod sealane;
mod signer;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub use control::{bind_control, open_control};
pub use gate::StrangerLimits;
pub use keys::{KeyError, KeyFiles};
pub use live::Keys;
pub use questions::{
    AccountsStatus, Answer, KeysStatus, MOST_NAMED, Question, QuotaStatus, SessionStatus, Status,
};
pub use signer::Signer;
use thiserror::Error;
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use self::control::Control;
use crate::door::Door;
use crate::sealane::{Limits, Sealane, TokenTable};
use sealane_base::workers::Workers;
use sealane_core::accounts::{Authenticator, Exposure};
use sealane_core::service::Service;
use sealane_core::storage::Store;
use sealane_protocol::wire::Memory;
use sealane_tls::socket::{self, Congestion};

/// Everything a server needs, in the rooms' own types.
#[derive(Debug)]
pub struct Settings {
    /// The keys it proves itself with.
    pub keys: Keys,
    /// Checks logins.
    pub authenticator: Authenticator,
    /// Holds the homes, and is locked for this server.
    pub store: Arc<dyn Store>,
    /// Sessions of one account at the same time. At least 1.
    pub sessions: usize,
    /// Time limits of a session.
    pub limits: Limits,
    /// Time for everything from the first byte to a successful login.
    pub login_deadline: Duration,
    /// Connections at once; further ones are closed. At least 1.
    pub connections: usize,
    /// Bytes of files that all sessions together may hold on the way to the disk, and as much again
    /// from it; besides that, each connection one chunk and each session one small file that comes
    /// and one chunk that goes.
    pub transfer_memory: usize,
    /// Bytes of answers that wait until their peers read them; besides that, one for each session.
    pub answer_memory: usize,
    /// Threads for the work of homes, on which accounts take turns.
    pub workers: Workers,
    /// How connections find out how fast they may send.
    pub congestion: Congestion,
    /// Those of them that have not logged in.
    pub strangers: StrangerLimits,
    /// How long sessions may take to end once the server shuts down.
    pub drain: Duration,
    /// Doors beside sealane/1, each with a listener of its own.
    pub doors: Vec<(TcpListener, Arc<dyn Door>)>,
    /// The socket for the administrator's questions, if there is to be one.
    pub control: Option<UnixListener>,
    /// How often the records of everybody who is here are read again, so that what was revoked,
    /// disabled or removed by hand ends sessions too. Not zero.
    pub recheck: Duration,
    /// Age at which the partial of an interrupted upload is removed.
    pub partial_expiry: Duration,
}

/// Why a server could not run.
#[derive(Debug, Error)]
pub enum ServerError {
    /// There is none, or one has no address.
    #[error("the listening sockets failed: {0}")]
    Listener(#[from] std::io::Error),
}

/// How often expired partials are looked for.
const SWEEP: Duration = Duration::from_secs(3600);

/// How often new failed logins are written down: as much is forgotten if the process is killed.
const KEEP: Duration = Duration::from_secs(2);

/// Serves sealane/1 on `listeners` until `shutdown` completes and sessions have ended or `drain`
/// has passed.
///
/// Cancel safety: dropping the future stops accepting; sessions that run go on until they end.
///
/// # Errors
/// [`ServerError`] before the first connection is accepted, never later.
pub async fn run(
    listeners: Vec<TcpListener>,
    settings: Settings,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServerError> {
    let addresses = settings.doors.iter().map(|(listener, _)| listener).chain(&listeners);
    let addresses = addresses.map(TcpListener::local_addr).collect::<Result<Vec<_>, _>>()?;
    // One that other machines reach is enough: what is for this one alone is refused everywhere
    // then.
    let is_alone = addresses.iter().all(|local| local.ip().is_loopback());
    let exposure = if is_alone { Exposure::Loopback } else { Exposure::Network };
    let authenticator = settings.authenticator.clone();
    // Nothing waits for it: logins are checked one by one whatever it finds.
    tokio::task::spawn_blocking(move || report_accounts(&authenticator));
    let logins = settings.authenticator.clone();
    let service = Service::new(settings.authenticator, settings.store, exposure, settings.sessions)
        .with_workers(settings.workers);
    let control = Control { service: service.clone(), keys: settings.keys.clone() };
    let sealane: Arc<dyn Door> = Arc::new(Sealane {
        service: service.clone(),
        limits: settings.limits,
        // The rest is for sessions of their own.
        tokens: TokenTable::new(settings.connections / 2),
        memory: Memory::new(settings.transfer_memory),
        sending: Memory::new(settings.transfer_memory),
        answers: Memory::new(settings.answer_memory),
    });
    let listeners = listeners.into_iter().map(|listener| (listener, sealane.clone()));
    let listeners: Vec<_> = listeners.chain(settings.doors).collect();
    let (tasks, drain) = (TaskTracker::new(), CancellationToken::new());
    let mut acceptor = accept::Acceptor {
        keys: settings.keys.clone(),
        service: service.clone(),
        login_deadline: settings.login_deadline,
        congestion: settings.congestion,
        places: Arc::new(tokio::sync::Semaphore::new(settings.connections.max(1))),
        gate: gate::Gate::new(settings.strangers),
        turned_away: gate::Gate::new(accept::TURNED_AWAY),
        tasks: tasks.clone(),
        drain: drain.clone(),
    };
    let lacks_bbr = listeners.first().is_some_and(|(listener, _)| !socket::offers_bbr(listener));
    if settings.congestion == Congestion::Bbr && lacks_bbr {
        info!("this system offers no BBR: connections use its own congestion control");
    }
    for local in addresses {
        info!(%local, ?exposure, "serving");
    }
    tokio::select! {
        never = acceptor.accept_forever(&listeners) => match never {},
        never = settings.keys.watch_forever() => match never {},
        never = answer_forever(&control, settings.control) => match never {},
        never = recheck_forever(&service, settings.recheck) => match never {},
        never = keep_forever(&logins) => match never {},
        never = sweep_forever(service.clone(), settings.partial_expiry) => match never {},
        () = shutdown => {}
    }
    drop(listeners);
    tasks.close();
    drain.cancel();
    info!(sessions = tasks.len(), "draining");
    if tokio::time::timeout(settings.drain, tasks.wait()).await.is_err() {
        warn!(sessions = tasks.len(), "sessions cut off at the end of the drain time");
    }
    if let Err(error) = keep(&logins).await {
        warn!(%error, "failed logins are not remembered over the restart");
    }
    Ok(())
}

/// Says in the log what state the accounts are in, and which records are damaged.
fn report_accounts(authenticator: &Authenticator) {
    let survey = match authenticator.survey() {
        Ok(survey) => survey,
        Err(error) => return error!(%error, "the accounts cannot be listed"),
    };
    let counts = survey.counts;
    info!(
        argon2id = counts.argon2id,
        weak = counts.weak,
        wrapped = counts.wrapped,
        md5 = counts.md5,
        disabled = survey.disabled,
        damaged = survey.damaged.len(),
        "accounts"
    );
    for reason in survey.damaged.iter().take(MOST_NAMED) {
        error!(%reason, "damaged account record");
    }
}

async fn answer_forever(
    control: &Control,
    socket: Option<UnixListener>,
) -> std::convert::Infallible {
    match socket {
        Some(listener) => control.answer_forever(&listener).await,
        None => std::future::pending().await,
    }
}

async fn recheck_forever(service: &Service, every: Duration) -> std::convert::Infallible {
    loop {
        tokio::time::sleep(every).await;
        service.recheck().await;
    }
}

/// Writes new failed logins down. A disk that does not take them holds nobody up, and is told of
/// once.
async fn keep_forever(logins: &Authenticator) -> std::convert::Infallible {
    let mut is_told = false;
    loop {
        tokio::time::sleep(KEEP).await;
        match keep(logins).await {
            Err(error) if !is_told => {
                warn!(%error, "failed logins cannot be written down: a restart would forget them");
                is_told = true;
            }
            Err(_) => {}
            Ok(()) => is_told = false,
        }
    }
}

async fn keep(logins: &Authenticator) -> Result<(), String> {
    let logins = logins.clone();
    let kept =
        tokio::task::spawn_blocking(move || logins.keep().map_err(|error| error.to_string()));
    kept.await.map_err(|error| error.to_string())?
}

async fn sweep_forever(service: Service, expiry: Duration) -> std::convert::Infallible {
    let mut ticks = tokio::time::interval(SWEEP);
    loop {
        ticks.tick().await;
        let (service, now) = (service.clone(), SystemTime::now());
        let Some(oldest) = now.checked_sub(expiry) else { continue };
        match tokio::task::spawn_blocking(move || service.sweep_partials(oldest)).await {
            Ok(Ok(0)) => {}
            Ok(Ok(partials)) => info!(partials, "expired partials removed"),
            Ok(Err(error)) => warn!(%error, "expired partials could not be removed"),
            Err(error) => warn!(%error, "expired partials could not be removed"),
        }
    }
}
