//! From a host name to a connection whose server has proved a pinned key, and has been told nothing
//! yet.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::pace::{Paced, RateLimit};
use crate::session::SessionError;
use sealane_base::types::{Address, Pin, PinSet, Username};
use sealane_protocol::join;
use sealane_protocol::keys::EXPORTER;
use sealane_protocol::wire::WireError;
use sealane_tls as tls;
use sealane_tls::socket::{self, Congestion};
use sealane_tls::trust::TrustError;
use sealane_tls::{Identity, TlsError, TlsStream};

/// Deadline of opening a connection, and of its handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// How long an address may keep the next one waiting (RFC 8305 §5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

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

/// Why [`Prompts`](crate::Prompts) gave no password; handed on as it is.
pub type PromptError = Box<dyn std::error::Error + Send + Sync>;

/// Why there is no session.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The connection could not be opened.
    #[error("cannot reach the server: {0}")]
    Network(#[source] io::Error),
    /// The connection or the handshake took too long.
    #[error("the server did not answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// The server could not prove that it is the one, or refused the key's certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The login failed.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The address names no account.
    #[error("the address names no account")]
    NoUser,
    /// The server is not known, no pin was given, and there is nobody to ask.
    #[error("the server is not known and no pin was given")]
    Unknown,
    /// This was typed, and is not the beginning of the unknown server's key.
    #[error("the key of the server was not confirmed")]
    NotConfirmed(String),
    /// Every key given is retired or revoked.
    #[error("every key given for the server was retired or revoked")]
    Revoked,
    /// The known servers could not be read or written.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// [`Prompts`](crate::Prompts) gave no password.
    #[error(transparent)]
    Prompt(PromptError),
}

impl ConnectError {
    /// What a login that failed with `error` says: a server looks at a client's certificate when
    /// the client's handshake is over already.
    pub(crate) fn of_login(error: SessionError) -> Self {
        if let SessionError::Connection(wire) = &error
            && let WireError::Io(io) = wire.as_ref()
            && let Some(alert) = TlsError::late_alert(io)
        {
            return Self::Tls(alert);
        }
        Self::Session(error)
    }
}

/// A connection whose server has proved a pinned key.
pub(crate) struct Secured {
    pub(crate) stream: TlsStream<Paced<TcpStream>>,
    /// The server, with the one key that it has proved.
    pub(crate) target: Target,
    pub(crate) pin: Pin,
    /// By which announcements of keys name the connection.
    pub(crate) exporter: [u8; 32],
    /// By which further connections name it.
    pub(crate) join: join::Exporter,
    /// Name of the congestion control in force.
    pub(crate) congestion: String,
    /// What opening the connection took; nothing on this machine.
    pub(crate) round_trip: Duration,
}

/// Connects and checks the server's key, and then, if there is a `key`, shows and proves that one.
/// What goes over the connection keeps to `limit`. Nothing but a handshake is sent.
///
/// Cancel safety: dropping the future closes the connection.
pub(crate) async fn secure(
    target: &Target,
    key: Option<&Identity>,
    limit: Option<RateLimit>,
) -> Result<Secured, ConnectError> {
    let config = tls::client_config_with(target.pins.clone(), key)?;
    let begun = Instant::now();
    let (stream, congestion) = reach(&target.host, target.port).await?;
    let is_here = stream.peer_addr().is_ok_and(socket::is_here);
    let round_trip = if is_here { Duration::ZERO } else { begun.elapsed() };
    let stream = Paced::new(stream, limit);
    // A server that changes its keys is asked for the one that is likeliest to be known.
    let wanted = target.pins.iter().next().copied().unwrap_or_else(|| Pin::of_public_key(b""));
    let handshake = async { Ok(tls::connect_wanting(config, &wanted, stream).await?) };
    let stream = in_time(handshake).await?;
    let pin = tls::peer_pin(&stream).ok_or(TlsError::BadProof)?;
    let exporter = tls::exporter(&stream, EXPORTER)?;
    let join = tls::exporter(&stream, join::EXPORTER)?;
    let pins = PinSet::new(vec![pin]).unwrap_or(target.pins.clone());
    let target = Target { pins, ..target.clone() };
    Ok(Secured { stream, target, pin, exporter, join, congestion, round_trip })
}

/// Which key the server at `host` and `port` shows. It is sent nothing but the beginning of a
/// handshake, and has proved nothing: a person may look at the key, a program must not trust it.
pub(crate) async fn look(host: &str, port: u16) -> Result<Pin, ConnectError> {
    let (stream, _) = reach(host, port).await?;
    in_time(async { Ok(tls::look(stream).await?) }).await
}

/// A connection, and the name of its congestion control.
async fn reach(host: &str, port: u16) -> Result<(TcpStream, String), ConnectError> {
    let connecting = async {
        let addresses = lookup_host((host, port)).await.map_err(ConnectError::Network)?;
        race(in_turn(addresses.collect())).await.map_err(ConnectError::Network)
    };
    let stream = in_time(connecting).await?;
    let congestion = socket::prepare(&stream, Congestion::Bbr).map_err(ConnectError::Network)?;
    Ok((stream, congestion))
}

/// Connects to the first of a host's addresses that answers. The next one is tried when one fails,
/// or has not answered for [`ATTEMPT_DELAY`]; none is given up meanwhile (RFC 8305), and all
/// together have [`CONNECT_TIMEOUT`].
async fn race(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut waiting = addresses.into_iter();
    let mut attempts = JoinSet::new();
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    loop {
        let next = waiting.next();
        let is_last = next.is_none();
        if let Some(address) = next {
            attempts.spawn(TcpStream::connect(address));
        }
        tokio::select! {
            done = attempts.join_next() => match done {
                Some(Ok(Ok(stream))) => return Ok(stream),
                Some(Ok(Err(error))) => failure = error,
                Some(Err(error)) => failure = io::Error::other(error),
                None => return Err(failure),
            },
            () = sleep(ATTEMPT_DELAY), if !is_last => {}
        }
    }
}

/// The families in turn, the one that the system puts first beginning.
fn in_turn(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, other): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let (mut first, mut other) = (first.into_iter(), other.into_iter());
    let mut mixed = Vec::new();
    loop {
        let pair = [first.next(), other.next()];
        if pair.iter().all(Option::is_none) {
            return mixed;
        }
        mixed.extend(pair.into_iter().flatten());
    }
}

async fn in_time<T>(
    step: impl Future<Output = Result<T, ConnectError>>,
) -> Result<T, ConnectError> {
    let timed_out = Err(ConnectError::Timeout(CONNECT_TIMEOUT));
    timeout(CONNECT_TIMEOUT, step).await.unwrap_or(timed_out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[test]
    fn families_take_turns() {
        let of = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let given: Vec<SocketAddr> = of(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1"]);
        let wanted: Vec<SocketAddr> = of(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"]);
        assert_eq!(in_turn(given), wanted);
        assert!(in_turn(Vec::new()).is_empty());
    }

    #[tokio::test]
    async fn an_address_that_refuses_makes_room_for_the_next() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        // Where `localhost` is ::1 as well, there is no listener on that.
        let (stream, _) = reach("localhost", port).await.unwrap();
        assert!(stream.peer_addr().unwrap().ip().is_loopback());
        drop(listener);
        assert!(reach("localhost", port).await.is_err());
        assert!(race(Vec::new()).await.is_err());
    }

    /// An address that answers nothing, not even with a refusal: its queue of connections is full.
    async fn dead() -> (SocketAddr, TcpListener, Vec<TcpStream>) {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut held = Vec::new();
        while let Ok(Ok(stream)) = timeout(ATTEMPT_DELAY, TcpStream::connect(address)).await {
            held.push(stream);
        }
        (address, listener, held)
    }

    #[tokio::test]
    async fn addresses_that_are_dead_cost_a_moment_each_and_no_more() {
        let (silent, _listener, _held) = dead().await;
        let live = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let there = live.local_addr().unwrap();
        let since = Instant::now();
        let stream = race(vec![silent, silent, silent, there]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), there);
        let took = since.elapsed();
        assert!(took >= 3 * ATTEMPT_DELAY && took < CONNECT_TIMEOUT / 2, "{took:?}");
    }
}
