//! The real client with further connections to its session, opened by hand: to a server on the same
//! machine it opens none by itself.

use std::net::SocketAddr;
use std::sync::Arc;

use sealane_base::types::{Address, PinSet, Secret};
use sealane_client::session::{JoinedConnection, Joiner, Session, SessionSettings};
use sealane_client::{Client, Paced, RateLimit};
use sealane_protocol::join::{self, Exporter};
use sealane_tls as tls;
use sealane_tls::{Identity, TlsStream};
use tokio::net::TcpStream;

use super::Stage;
use super::site::PASSWORD;

/// Ann's session by way of a stage's relay, where its own connection is the last one so far.
pub struct Several {
    pub client: Arc<Client>,
    control: Joiner,
    own: Exporter,
    way: Way,
}

struct Way {
    relay: SocketAddr,
    pins: PinSet,
    limit: Option<RateLimit>,
}

impl Several {
    /// Logs in with the key if there is one, else with the password; all connections keep to
    /// `limit`.
    pub async fn log_in(stage: &Stage, key: Option<&Identity>, limit: Option<RateLimit>) -> Self {
        let pins = PinSet::new(Address::parse(&stage.at("")).unwrap().pins).unwrap();
        let way = Way { relay: stage.proxy.address, pins, limit };
        let (stream, own) = way.secured(key).await;
        let settings = SessionSettings::default();
        let password = key.is_none().then(|| Secret::new(PASSWORD.to_owned()));
        let session = Session::log_in(stream, settings, "ann", password.as_ref()).await.unwrap();
        let control = session.joiner();
        let client = Client::new(session, None);
        Self { client: Arc::new(client), control, own, way }
    }

    /// So many further connections, one after the other.
    pub async fn join(&self, count: u8) -> Vec<JoinedConnection> {
        let mut lanes = Vec::new();
        for token in self.control.tokens(count).await.unwrap() {
            let (stream, exporter) = self.way.secured(None).await;
            lanes.push(self.control.join(stream, &token, (&self.own, &exporter)).await.unwrap());
        }
        lanes
    }
}

impl Way {
    /// A connection that is past TLS, and what TLS names it by.
    async fn secured(&self, key: Option<&Identity>) -> (TlsStream<Paced<TcpStream>>, Exporter) {
        let stream = TcpStream::connect(self.relay).await.unwrap();
        let config = tls::client_config_with(self.pins.clone(), key).unwrap();
        let stream = Paced::new(stream, self.limit.clone());
        let stream = tls::connect(config, stream).await.unwrap();
        let exporter = tls::exporter(&stream, join::EXPORTER).unwrap();
        (stream, exporter)
    }
}
