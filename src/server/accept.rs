//! The door: takes connections as long as there is room, secures each, hands it to a session.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug, info, info_span, warn};

use super::gate::Gate;
use super::keys::Current;
use super::live::Keys;
use crate::net::{self, Congestion};
use crate::protocol::join;
use crate::session::{self, Registry, Service, Terms, Visit};
use crate::tls;

/// Pause after a failed accept (no descriptors left, say), so that the failure is not a busy loop.
const PAUSE: Duration = Duration::from_millis(200);

pub(super) struct Door {
    pub(super) keys: Keys,
    pub(super) service: Arc<Service>,
    pub(super) registry: Registry,
    pub(super) login_deadline: Duration,
    pub(super) congestion: Congestion,
    pub(super) places: Arc<Semaphore>,
    pub(super) gate: Gate,
    pub(super) tasks: TaskTracker,
    pub(super) drain: CancellationToken,
}

impl Door {
    pub(super) async fn accept_forever(&mut self, listeners: &[TcpListener]) -> Infallible {
        let (serial, mut first) = (AtomicU64::new(1), 0);
        loop {
            let (stream, peer) = match accept_any(listeners, &mut first).await {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!(%error, "accept failed");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            // Nobody waits unheard: whoever finds no place is closed on, and may try again.
            let place = self.places.clone().try_acquire_owned().ok();
            let roll = getrandom::u32().unwrap_or(0);
            let stranger = self.gate.admit(peer.ip(), roll, std::time::Instant::now());
            let (Some(place), Some(stranger)) = (place, stranger) else {
                debug!(%peer, "turned away: too many connections");
                continue;
            };
            let id = serial.fetch_add(1, Ordering::Relaxed);
            let span = info_span!("connection", id, %peer, user = tracing::field::Empty);
            let visit = self.registry.enter(id, peer);
            let must_leave = stranger.must_leave();
            visit.at_login(move || stranger.leave_as_known());
            let guest = Guest {
                keys: self.keys.current(),
                service: self.service.clone(),
                congestion: self.congestion,
                deadline: Instant::now() + self.login_deadline,
                drain: self.drain.clone(),
            };
            let whole = async move {
                tokio::select! {
                    () = guest.serve(stream, &visit) => {}
                    () = visit.ended() => info!("session ended: killed, or its login is not good any more"),
                    () = must_leave.cancelled() => debug!("turned out: others wait, and it had not logged in"),
                }
                drop(place);
            };
            self.tasks.spawn(whole.instrument(span));
        }
    }
}

/// The next connection to any of `listeners`; who was asked first is asked last the next time.
async fn accept_any(
    listeners: &[TcpListener],
    first: &mut usize,
) -> std::io::Result<(TcpStream, SocketAddr)> {
    std::future::poll_fn(|context| {
        let (before, after) = listeners.split_at((*first).min(listeners.len()));
        for (place, listener) in after.iter().chain(before).enumerate() {
            if let Poll::Ready(accepted) = listener.poll_accept(context) {
                *first = (*first + place + 1) % listeners.len();
                return Poll::Ready(accepted);
            }
        }
        Poll::Pending
    })
    .await
}

struct Guest {
    keys: Arc<Current>,
    service: Arc<Service>,
    congestion: Congestion,
    deadline: Instant,
    drain: CancellationToken,
}

impl Guest {
    async fn serve(self, stream: TcpStream, visit: &Visit) {
        match net::prepare(&stream, self.congestion) {
            Ok(congestion) => debug!(congestion, "connected"),
            Err(error) => warn!(%error, "socket options"),
        }
        let secured =
            timeout_at(self.deadline, tls::accept(self.keys.config.clone(), stream)).await;
        let stream = match secured {
            Ok(Ok(stream)) => stream,
            // A probe, of a monitor say, which is not worth a line each time.
            Ok(Err(error)) if error.is_silence() => {
                return debug!("closed before it said anything");
            }
            Ok(Err(error)) => return info!(%error, "handshake failed"),
            Err(_) => return info!("no handshake in time"),
        };
        let (keys, client_key) = (self.keys.announce(&stream), tls::peer_pin(&stream));
        let terms = Terms {
            deadline: self.deadline,
            drain: self.drain,
            keys,
            client_key,
            notary: Some(self.keys.notary()),
            exporter: tls::exporter(&stream, join::EXPORTER).ok(),
        };
        match session::serve(stream, &self.service, visit, terms).await {
            Ok(ended) => info!(?ended, "session ended"),
            Err(error) => info!(%error, "session ended"),
        }
    }
}
