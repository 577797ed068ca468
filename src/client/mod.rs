//! The client without its command line: connects to a pinned server, runs jobs of many files.
//!
//! It prints nothing and asks nobody: which server, which pins, which password is decided above.

mod announced;
mod jobs;
mod lanes;
pub mod tree;

use std::io;
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::net::{self, Congestion};
use crate::protocol::join;
use crate::protocol::keys::EXPORTER;
use crate::session::{Client, ClientSettings, SessionError};
use crate::tls::{self, TlsError, TlsStream};
use crate::trust::Announced;
use crate::types::{Address, Pin, PinSet, Secret, Username};

pub use jobs::{Download, Finished, Upload, UploadSource, download_all, upload_all};

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
    Ok(secure(target).await?.login(&target.user, password).await?.0)
}

/// A connection whose server has proved a pinned key, and has not been told anything yet.
#[derive(Debug)]
pub struct Secured {
    stream: TlsStream<TcpStream>,
    pin: Pin,
    exporter: [u8; 32],
    join_exporter: [u8; 32],
    congestion: String,
    round_trip: Duration,
    target: Target,
}

/// Connects and checks the server's key.
///
/// Cancel safety: dropping the future closes the connection.
///
/// # Errors
/// [`ConnectError`], all but `Session`.
pub async fn secure(target: &Target) -> Result<Secured, ConnectError> {
    let config = tls::client_config(target.pins.clone())?;
    let begun = Instant::now();
    let (stream, congestion) = reach(&target.host, target.port).await?;
    let is_here = stream.peer_addr().is_ok_and(net::is_here);
    let round_trip = if is_here { Duration::ZERO } else { begun.elapsed() };
    // A server that changes its keys is asked for the one that is likeliest to be known.
    let wanted = target.pins.iter().next().copied().unwrap_or_else(|| Pin::of_public_key(b""));
    let handshake = async { Ok(tls::connect_wanting(config, &wanted, stream).await?) };
    let stream = in_time(handshake).await?;
    let pin = tls::peer_pin(&stream).ok_or(TlsError::BadProof)?;
    let exporter = tls::exporter(&stream, EXPORTER)?;
    let join_exporter = tls::exporter(&stream, join::EXPORTER)?;
    let target =
        Target { pins: PinSet::new(vec![pin]).unwrap_or(target.pins.clone()), ..target.clone() };
    Ok(Secured { stream, pin, exporter, join_exporter, congestion, round_trip, target })
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

    /// Logs in. With the session comes what the server announced of its keys, its signatures verified.
    ///
    /// Cancel safety: dropping the future closes the connection.
    ///
    /// # Errors
    /// [`ConnectError::Session`].
    pub async fn login(
        self,
        user: &Username,
        password: &Secret,
    ) -> Result<(Client, Option<Announced>), ConnectError> {
        let settings = ClientSettings::default();
        let client = Client::login(self.stream, settings, user.as_str(), password).await?;
        if let Some(control) = client.lanes() {
            let (target, session) = (self.target, self.join_exporter);
            let way = lanes::Way { target, session, round_trip: self.round_trip };
            client.accompany(|stop| tokio::spawn(lanes::adapt(control, way, stop)));
        }
        let announced = client.announced().map(|keys| announced::verify(keys, &self.exporter));
        Ok((client, announced))
    }
}

/// A connection, and the name of its congestion control.
async fn reach(host: &str, port: u16) -> Result<(TcpStream, String), ConnectError> {
    let connect = async { TcpStream::connect((host, port)).await.map_err(ConnectError::Network) };
    let stream = in_time(connect).await?;
    let congestion = net::prepare(&stream, Congestion::Bbr).map_err(ConnectError::Network)?;
    Ok((stream, congestion))
}

async fn in_time<T>(
    step: impl Future<Output = Result<T, ConnectError>>,
) -> Result<T, ConnectError> {
    timeout(PATIENCE, step).await.unwrap_or(Err(ConnectError::Timeout(PATIENCE)))
}
