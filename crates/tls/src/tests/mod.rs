//! Handshakes between our two halves and with others; here what the tests share.

mod clients;
mod handshake;
mod strangers;
mod stream;

use std::sync::Arc;

use rustls::{ClientConfig, ServerConfig};
use time::OffsetDateTime;
use tokio::io::{DuplexStream, duplex};

use super::generate::key_pair;
use super::*;
use sealane_base::types::{Pin, PinSet};

fn identity() -> Identity {
    identity_made_at(OffsetDateTime::from_unix_timestamp(1_750_000_000).unwrap())
}

fn identity_made_at(now: OffsetDateTime) -> Identity {
    let made = key_pair(now).unwrap();
    Identity::from_pem(made.certificate_pem.as_bytes(), made.key_pem.expose().as_bytes()).unwrap()
}

fn pins(pins: &[Pin]) -> PinSet {
    PinSet::new(pins.to_vec()).unwrap()
}

fn server(identity: &Identity) -> Arc<ServerConfig> {
    server_config(identity.clone(), Vec::new()).unwrap()
}

fn client(pin: Pin) -> Arc<ClientConfig> {
    client_config(pins(&[pin])).unwrap()
}

type Met = (Result<TlsStream<DuplexStream>, TlsError>, Result<TlsStream<DuplexStream>, TlsError>);

/// The outcome of one handshake: the client's, the server's.
async fn meet(client: Arc<ClientConfig>, server: impl Into<Arc<ServerConfig>>) -> Met {
    let (near, far) = duplex(64 << 10);
    tokio::join!(connect(client, near), accept(server.into(), far))
}
