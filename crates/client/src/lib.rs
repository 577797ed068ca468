//! The client without its command line: connects to a pinned server, again when that is needed, and runs
//! jobs of many files.
//!
//! It prints nothing and asks nobody: which server, which pins, which password is decided above.

mod announced;
mod digest_cache;
mod entering;
mod jobs;
mod lanes;
mod link;
mod pace;
mod questions;
mod receipt;
mod retry;
pub mod session;
pub mod tree;

use std::io;
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::session::{Client, ClientSettings, SessionError};
use sealane_base::types::{Address, Pin, PinSet, Secret, Username};
use sealane_protocol::join;
use sealane_protocol::keys::EXPORTER;
use sealane_protocol::wire::WireError;
use sealane_tls as tls;
use sealane_tls::socket::{self, Congestion};
use sealane_tls::trust::Announced;
use sealane_tls::{Identity, TlsError, TlsStream};

pub use digest_cache::DigestCache;
pub use entering::Entering;
pub use jobs::{Arrived, Download, Finished, Upload, UploadSource, download_all, upload_all};
pub use link::{Dialling, Link, LinkEvent, Ways};
pub use pace::{Paced, RateLimit};
pub use receipt::{ReadReceipt, ReceiptError, SignedReceipt};
pub use retry::Retry;

/// Time to open the connection and to shake hands, each.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server and an account, with every key the server may have.
#[derive(Clone, Debug)]
pub struct Target {
    /// Host name or IP address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The account.
    pub user: Username,
    /// Keys that are accepted.
    pub pins: PinSet,
}

impl Target {
    /// The server of `address`.
    #[must_use]
    pub fn new(address: &Address, user: Username, pins: PinSet) -> Self {
        Self { host: address.host.clone(), port: address.port, user, pins }
    }
}

/// Why there is no session.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The connection could not be opened.
    #[error("cannot reach the server: {0}")]
    Network(#[source] io::Error),
    /// The connection or the handshake took too long.
    #[error("the server did not answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// The server could not prove that it is the one.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The login failed.
    #[error(transparent)]
    Session(#[from] SessionError),
}

/// Connects, checks the server's key, logs in. Nothing but a handshake is sent before the server
/// has proved that it owns a pinned key.
///
/// Cancel safety: dropping the future closes the connection.
///
/// # Errors
/// [`ConnectError`], by what the caller can do about it.
pub async fn connect(target: &Target, password: &Secret) -> Result<Client, ConnectError> {
    Ok(secure(target, None).await?.login(&target.user, Some(password)).await?.0)
}

/// As [`connect`], with a key instead of a password.
///
/// Cancel safety: as for [`connect`].
///
/// # Errors
/// As [`connect`].
pub async fn connect_with_key(target: &Target, key: &Identity) -> Result<Client, ConnectError> {
    Ok(secure(target, Some(key)).await?.login(&target.user, None).await?.0)
}

/// A connection whose server has proved a pinned key, and has not been told anything yet.
#[derive(Debug)]
pub struct Secured {
    stream: TlsStream<Paced<TcpStream>>,
    pin: Pin,
    exporter: [u8; 32],
    congestion: String,
    way: lanes::Way,
}

/// Connects and checks the server's key, and then, if there is a `key`, shows and proves that one.
///
/// Cancel safety: dropping the future closes the connection.
///
/// # Errors
/// [`ConnectError`], all but `Session`.
pub async fn secure(target: &Target, key: Option<&Identity>) -> Result<Secured, ConnectError> {
    secure_paced(target, key, None).await
}

/// As [`secure`]; what goes over the connection, and over those that join its session, keeps to `limit`.
///
/// Cancel safety: dropping the future closes the connection.
///
/// # Errors
/// As [`secure`].
pub async fn secure_paced(
    target: &Target,
    key: Option<&Identity>,
    limit: Option<RateLimit>,
) -> Result<Secured, ConnectError> {
    let config = tls::client_config_with(target.pins.clone(), key)?;
    let begun = Instant::now();
    let (stream, congestion) = reach(&target.host, target.port).await?;
    let is_here = stream.peer_addr().is_ok_and(socket::is_here);
    let round_trip = if is_here { Duration::ZERO } else { begun.elapsed() };
    let stream = Paced::new(stream, limit.clone());
    // A server that changes its keys is asked for the one that is likeliest to be known.
    let wanted = target.pins.iter().next().copied().unwrap_or_else(|| Pin::of_public_key(b""));
    let handshake = async { Ok(tls::connect_wanting(config, &wanted, stream).await?) };
    let stream = in_time(handshake).await?;
    let pin = tls::peer_pin(&stream).ok_or(TlsError::BadProof)?;
    let exporter = tls::exporter(&stream, EXPORTER)?;
    let session = tls::exporter(&stream, join::EXPORTER)?;
    let target =
        Target { pins: PinSet::new(vec![pin]).unwrap_or(target.pins.clone()), ..target.clone() };
    let way = lanes::Way { target, session, round_trip, limit };
    Ok(Secured { stream, pin, exporter, congestion, way })
}

/// Which key the server at `host` and `port` shows. It is sent nothing but the beginning of a handshake, and
/// has proved nothing: a person may look at the key, a program must not trust it.
///
/// Cancel safety: dropping the future closes the connection.
///
/// # Errors
/// [`ConnectError`], all but `Session`.
pub async fn look(host: &str, port: u16) -> Result<Pin, ConnectError> {
    let (stream, _) = reach(host, port).await?;
    in_time(async { Ok(tls::look(stream).await?) }).await
}

impl Secured {
    /// The key the server has proved.
    #[must_use]
    pub fn pin(&self) -> Pin {
        self.pin
    }

    /// Name of the congestion control in force.
    #[must_use]
    pub fn congestion(&self) -> &str {
        &self.congestion
    }

    /// Logs in, with `password` or else with the key that this connection has proved. The session may be asked at
    /// once, and answers after [`Entering::let_in`].
    pub async fn enter(self, user: &Username, password: Option<&Secret>) -> (Client, Entering) {
        let settings = ClientSettings::default();
        let Self { stream, exporter, way, .. } = self;
        let (client, admission) = Client::begin(stream, settings, user.as_str(), password).await;
        (client, Entering { admission, exporter, way })
    }

    /// As [`Secured::enter`], and waits until the session is there. With it comes what the server announced of its
    /// keys, its signatures verified.
    ///
    /// Cancel safety: dropping the future closes the connection.
    ///
    /// # Errors
    /// As [`Entering::heard`].
    pub async fn login(
        self,
        user: &Username,
        password: Option<&Secret>,
    ) -> Result<(Client, Option<Announced>), ConnectError> {
        let (client, mut entering) = self.enter(user, password).await;
        let announced = entering.heard().await?;
        entering.let_in();
        Ok((client, announced))
    }
}

/// A connection, and the name of its congestion control.
async fn reach(host: &str, port: u16) -> Result<(TcpStream, String), ConnectError> {
    let connect = async { TcpStream::connect((host, port)).await.map_err(ConnectError::Network) };
    let stream = in_time(connect).await?;
    let congestion = socket::prepare(&stream, Congestion::Bbr).map_err(ConnectError::Network)?;
    Ok((stream, congestion))
}

async fn in_time<T>(
    step: impl Future<Output = Result<T, ConnectError>>,
) -> Result<T, ConnectError> {
    timeout(PATIENCE, step).await.unwrap_or(Err(ConnectError::Timeout(PATIENCE)))
}
