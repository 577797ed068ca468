//! The client without its command line: connects to a pinned server, runs jobs of many files.
//!
//! It prints nothing and asks nobody: which server, which pins, which password is decided above.

mod jobs;
pub mod tree;

use std::io;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::session::{Client, ClientSettings, SessionError};
use crate::tls::{self, TlsError};
use crate::types::{Address, PinSet, Secret, Username};

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
    let config = tls::client_config(target.pins.clone())?;
    let address = (target.host.as_str(), target.port);
    let stream = match timeout(PATIENCE, TcpStream::connect(address)).await {
        Ok(stream) => stream.map_err(ConnectError::Network)?,
        Err(_) => return Err(ConnectError::Timeout(PATIENCE)),
    };
    stream.set_nodelay(true).map_err(ConnectError::Network)?;
    let stream = match timeout(PATIENCE, tls::connect(config, stream)).await {
        Ok(stream) => stream?,
        Err(_) => return Err(ConnectError::Timeout(PATIENCE)),
    };
    let settings = ClientSettings::default();
    Ok(Client::login(stream, settings, target.user.as_str(), password).await?)
}
