//! The door: takes connections as long as there is room, secures each, hands it to a session.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, debug, info, info_span, warn};

use super::gate::Gate;
use super::keys::{Current, Keys};
use crate::sealane::{self, Door, Terms};
use sealane_core::service::Connection;
use sealane_protocol::join;
use sealane_tls as tls;
use sealane_tls::socket::{self, Congestion};

/// Pause after a failed accept (no descriptors left, say), so that the failure is not a busy loop.
const PAUSE: Duration = Duration::from_millis(200);

pub(super) struct Listening {
    pub(super) keys: Keys,
    pub(super) door: Arc<Door>,
    pub(super) login_deadline: Duration,
    pub(super) congestion: Congestion,
    pub(super) places: Arc<Semaphore>,
    pub(super) gate: Gate,
    pub(super) tasks: TaskTracker,
    pub(super) drain: CancellationToken,
}

impl Listening {
    pub(super) async fn accept_forever(&mut self, listener: &TcpListener) -> Infallible {
        loop {
            let (stream, peer) = match listener.accept().await {
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
            let connection = self.door.service.connect(peer, "sealane");
            let span = info_span!("connection", id = connection.id(), %peer);
            let must_leave = stranger.must_leave();
            connection.at_login(move |account| stranger.leave_as_known(account));
            let accepted = Accepted {
                keys: self.keys.current(),
                door: self.door.clone(),
                congestion: self.congestion,
                deadline: Instant::now() + self.login_deadline,
                drain: self.drain.clone(),
            };
            let whole = async move {
                tokio::select! {
                    () = accepted.serve(stream, &connection) => {}
                    () = connection.ended() => info!("session ended: killed, or its login is not good any more"),
                    () = must_leave.cancelled() => debug!("turned out: others wait, and it had not logged in"),
                }
                drop(place);
            };
            self.tasks.spawn(whole.instrument(span));
        }
    }
}

struct Accepted {
    keys: Arc<Current>,
    door: Arc<Door>,
    congestion: Congestion,
    deadline: Instant,
    drain: CancellationToken,
}

impl Accepted {
    async fn serve(self, stream: TcpStream, connection: &Connection) {
        let peer = connection.peer();
        match socket::prepare(&stream, self.congestion) {
            Ok(congestion) => debug!(congestion, "connected"),
            Err(error) => warn!(%error, "socket options"),
        }
        let secured =
            timeout_at(self.deadline, tls::accept(self.keys.config.clone(), stream)).await;
        let stream = match secured {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return info!(%peer, %error, "handshake failed"),
            Err(_) => return info!(%peer, "no handshake in time"),
        };
        let (keys, client_key) = (self.keys.announce(&stream), tls::peer_pin(&stream));
        let terms = Terms {
            deadline: self.deadline,
            drain: self.drain,
            keys,
            client_key,
            signer: Some(self.keys.signer()),
            exporter: tls::exporter(&stream, join::EXPORTER).ok(),
        };
        match sealane::serve(stream, &self.door, connection, terms).await {
            Ok(ended) => info!(?ended, "session ended"),
            Err(error) => info!(%error, "session ended"),
        }
    }
}
