//! What a protocol must bring to be served beside sealane/1, and what it gets for each connection.
//!
//! Doors share the way up to here: listeners, limits on connections without a login, TLS,
//! deadlines. A door turns bytes of its protocol into calls on a `Home`, and it gets one from the
//! service alone.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::keys::Current;
use sealane_core::service::{Connection, Service};
use sealane_tls::TlsStream;

/// A protocol that is served on listeners of its own.
pub trait Door: Debug + Send + Sync {
    /// Its name in logs and in `status`.
    fn name(&self) -> &'static str;

    /// The TLS configuration for the next connection, made from the one of sealane/1 with the keys
    /// in use. It must name the door's own application protocols (ALPN); a connection without one
    /// of them is closed.
    fn tls(&self, sealane: &Arc<ServerConfig>) -> Arc<ServerConfig>;

    /// Says in the door's own protocol that there is no room now, and that it may be worth trying
    /// again after `wait`, to a connection whose handshake is done and which gets nothing else.
    /// The caller drops the future after a few seconds. A door that has no words for it closes.
    fn turn_away(self: Arc<Self>, stream: TlsStream<TcpStream>, wait: Duration) -> Serving {
        let _ = wait;
        Box::pin(async move { drop(stream) })
    }

    /// Whether a client must name one of those protocols. One that names others alone is refused in
    /// any case.
    fn needs_alpn(&self) -> bool {
        true
    }

    /// Serves one connection until it ends. The caller drops the future when an administrator ends
    /// the session, or when the connection has not logged in and others wait.
    fn serve(self: Arc<Self>, accepted: Accepted) -> Serving;
}

/// A connection being served.
pub type Serving = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A connection whose TLS handshake is done.
#[derive(Debug)]
pub struct Accepted {
    /// What the peer says, and is told.
    pub stream: TlsStream<TcpStream>,
    /// Its place in the server's table; logs in through [`Accepted::service`].
    pub connection: Arc<Connection>,
    /// Accounts and homes.
    pub service: Service,
    /// Everything up to the login must happen before.
    pub deadline: Instant,
    /// Once cancelled, no new work begins and the connection ends when its work has.
    pub drain: CancellationToken,
    /// The server's keys at the moment of the handshake.
    pub(crate) keys: Arc<Current>,
}
