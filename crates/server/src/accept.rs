//! Accepts connections as long as there is room for them, does the TLS handshake, and hands each to
//! its door.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::field::Empty;
use tracing::{Instrument, debug, info, info_span, warn};

use super::door::{Accepted, Door};
use super::gate::{Gate, StrangerLimits};
use super::keys::Current;
use super::live::Keys;
use sealane_base::types::text::REPEATED;
use sealane_core::service::{Connection, Service};
use sealane_tls as tls;
use sealane_tls::socket::{self, Congestion};

/// How many are told at the same time that there is no room; others are closed without a word.
pub(super) const TURNED_AWAY: StrangerLimits = StrangerLimits { all: 32, per_source: 16 };
/// How long that may take, and when they are told to come again.
const FAREWELL: Duration = Duration::from_secs(3);
const COME_AGAIN: Duration = Duration::from_secs(1);

/// Pause after a failed accept (no descriptors left, say), so that the failure is not a busy loop.
const PAUSE: Duration = Duration::from_millis(200);

/// A listening socket and the door behind it.
pub(super) type Listening = (TcpListener, Arc<dyn Door>);

/// What all listeners of a server share.
pub(super) struct Acceptor {
    pub(super) keys: Keys,
    pub(super) service: Service,
    pub(super) login_deadline: Duration,
    pub(super) congestion: Congestion,
    pub(super) places: Arc<Semaphore>,
    pub(super) gate: Gate,
    /// Those who are told that there is no room.
    pub(super) turned_away: Gate,
    pub(super) tasks: TaskTracker,
    pub(super) drain: CancellationToken,
}

impl Acceptor {
    pub(super) async fn accept_forever(&mut self, listeners: &[Listening]) -> Infallible {
        let mut first = 0;
        loop {
            match accept_any(listeners, &mut first).await {
                Ok((door, stream, peer)) => self.admit(door, stream, peer),
                Err(error) => {
                    warn!(%error, "accept failed");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Connections over a limit are told so, if there is room for that, and closed; they are not
    /// queued.
    fn admit(&mut self, door: Arc<dyn Door>, stream: TcpStream, peer: SocketAddr) {
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            return self.turn_away(door, stream, peer, &"too many connections");
        };
        let roll = getrandom::u32().unwrap_or(0);
        let stranger = match self.gate.admit(peer.ip(), roll, std::time::Instant::now()) {
            Ok(stranger) => stranger,
            Err(full) => return self.turn_away(door, stream, peer, &full),
        };
        let connection = Arc::new(self.service.connect(peer, door.name()));
        let span = info_span!("connection", id = connection.id(), %peer, user = Empty);
        let must_leave = stranger.must_leave();
        connection.at_login(move |account| stranger.leave_as_known(account));
        let opening = Opening {
            keys: self.keys.current(),
            door,
            service: self.service.clone(),
            congestion: self.congestion,
            deadline: Instant::now() + self.login_deadline,
            drain: self.drain.clone(),
        };
        let whole = async move {
            tokio::select! {
                () = opening.serve(stream, connection.clone()) => {}
                () = connection.ended() => info!("session ended: killed, or its login is not good any more"),
                () = must_leave.cancelled() => debug!("turned out: others wait, and it had not logged in"),
            }
            drop(place);
        };
        self.tasks.spawn(whole.instrument(span));
    }
}

impl Acceptor {
    fn turn_away(
        &self,
        door: Arc<dyn Door>,
        stream: TcpStream,
        peer: SocketAddr,
        why: &dyn std::fmt::Display,
    ) {
        warn!(name: REPEATED, peer = %peer.ip(), %why, "turned away");
        let roll = getrandom::u32().unwrap_or(0);
        let Ok(place) = self.turned_away.admit(peer.ip(), roll, std::time::Instant::now()) else {
            return;
        };
        let (leave, drain) = (place.must_leave(), self.drain.clone());
        let config = door.tls(&self.keys.current().config);
        let telling = async move {
            if let Ok(stream) = tls::accept(config, stream).await {
                door.turn_away(stream, COME_AGAIN).await;
            }
        };
        self.tasks.spawn(async move {
            tokio::select! {
                _ = timeout(FAREWELL, telling) => {}
                () = leave.cancelled() => {}
                () = drain.cancelled() => {}
            }
            drop(place);
        });
    }
}

/// The next connection to any of `listeners`; the one that was asked first is asked last the next
/// time.
async fn accept_any(
    listeners: &[Listening],
    first: &mut usize,
) -> std::io::Result<(Arc<dyn Door>, TcpStream, SocketAddr)> {
    std::future::poll_fn(|context| {
        let (before, after) = listeners.split_at((*first).min(listeners.len()));
        for (place, (listener, door)) in after.iter().chain(before).enumerate() {
            if let Poll::Ready(accepted) = listener.poll_accept(context) {
                *first = (*first + place + 1) % listeners.len();
                return Poll::Ready(accepted.map(|(stream, peer)| (door.clone(), stream, peer)));
            }
        }
        Poll::Pending
    })
    .await
}

/// A connection whose handshake is still to come.
struct Opening {
    keys: Arc<Current>,
    door: Arc<dyn Door>,
    service: Service,
    congestion: Congestion,
    deadline: Instant,
    drain: CancellationToken,
}

impl Opening {
    async fn serve(self, stream: TcpStream, connection: Arc<Connection>) {
        match socket::prepare(&stream, self.congestion) {
            Ok(congestion) => debug!(congestion, "connected"),
            Err(error) => warn!(%error, "socket options"),
        }
        let config = self.door.tls(&self.keys.config);
        let handshake = async {
            match self.door.needs_alpn() {
                true => tls::accept(config, stream).await,
                false => tls::accept_unnamed(config, stream).await,
            }
        };
        let stream = match timeout_at(self.deadline, handshake).await {
            Ok(Ok(stream)) => stream,
            // A probe, of a monitor say, which is not worth a line each time.
            Ok(Err(error)) if error.is_silence() => {
                return debug!("closed before it said anything");
            }
            Ok(Err(error)) => return info!(name: REPEATED, %error, "handshake failed"),
            Err(_) => return info!(name: REPEATED, "no handshake in time"),
        };
        let Self { keys, door, service, deadline, drain, .. } = self;
        door.serve(Accepted { stream, connection, service, deadline, drain, keys }).await;
    }
}
