//! The server's half of sealane/1, over any byte stream.
//!
//! A session begins as a greeting that accepts `HELLO` and `LOGIN` only; handlers of every other
//! request live on `Authenticated` sessions, which only a successful login makes. A connection that
//! joins a session (`joining`) moves chunks and nothing else. Each verb is one file in `verbs`.
//!
//! It knows neither sockets nor TLS below, neither OS paths nor checksums. What a peer is
//! told is chosen in `refusal`; what the log says is more.

mod context;
mod greeting;
mod joining;
mod refusal;
mod requests;
mod session;
mod settings;
mod small_files;
mod tokens;
mod turned_away;
mod verbs;

use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use sealane_base::types::text::REPEATED;
use sealane_protocol::join;
use sealane_tls::{self as tls, TlsStream};
use tokio::net::TcpStream;
use tracing::info;

use crate::door::{Accepted, Door, Serving};

pub use session::serve;
pub use settings::{Ended, Limits, Sealane, Terms};
pub use tokens::TokenTable;

impl Door for Sealane {
    fn name(&self) -> &'static str {
        "sealane"
    }

    fn tls(&self, sealane: &Arc<ServerConfig>) -> Arc<ServerConfig> {
        Arc::clone(sealane)
    }

    fn turn_away(self: Arc<Self>, stream: TlsStream<TcpStream>, wait: Duration) -> Serving {
        Box::pin(turned_away::tell(stream, wait))
    }

    fn serve(self: Arc<Self>, accepted: Accepted) -> Serving {
        Box::pin(async move {
            let Accepted { stream, connection, deadline, drain, keys, .. } = accepted;
            let terms = Terms {
                deadline,
                drain,
                keys: keys.announce(&stream),
                signer: Some(keys.signer()),
                client_key: tls::peer_pin(&stream),
                exporter: tls::exporter(&stream, join::EXPORTER).ok(),
            };
            match serve(stream, &self, &connection, terms).await {
                Ok(ended @ Ended::NotLoggedIn) => info!(name: REPEATED, ?ended, "session ended"),
                Ok(ended) => info!(?ended, "session ended"),
                Err(error) => info!(name: REPEATED, %error, "session ended"),
            }
        })
    }
}
