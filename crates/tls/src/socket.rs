//! Options of TCP connections, the same at both ends.
//!
//! It opens no connection and sends nothing. Nothing here is needed for a connection to work: what
//! the system refuses is left as it is, and [`prepare`] says what is in force. Sizes of socket
//! buffers are not touched: the system fits them to the link, and a size that is set ends that.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, Socket, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};

/// Silence after which the system asks whether the peer is still there, and how often it asks.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(20));

/// How a connection finds out how fast it may send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Congestion {
    /// BBR where the system offers it: it keeps its rate when packets are lost for other reasons
    /// than congestion, as on any long link.
    #[default]
    Bbr,
    /// Whatever the system uses.
    System,
}

/// Sets what suits a file transfer: no waiting for more bytes before sending, a peer that vanished
/// is noticed within minutes, and `congestion`, except to this same machine, where there is nothing
/// to find out and BBR only costs time. Gives the name of the congestion control in force.
///
/// # Errors
/// What the system says; the connection works all the same.
pub fn prepare(stream: &TcpStream, congestion: Congestion) -> io::Result<String> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE.0).with_interval(KEEPALIVE.1);
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&keepalive)?;
    let far = stream.peer_addr().is_ok_and(|peer| !is_here(peer));
    if congestion == Congestion::Bbr && far {
        // Not offered, or not to everybody: the system's serves too.
        let _ = use_bbr(&socket);
    }
    Ok(in_force(&socket))
}

/// Whether connections that come to `listener` may use BBR. It is asked itself, and left as it was:
/// a process that serves may be kept from making another socket.
#[must_use]
pub fn offers_bbr(listener: &TcpListener) -> bool {
    let socket = SockRef::from(listener);
    let before = in_force(&socket);
    let is_offered = use_bbr(&socket).is_ok();
    if is_offered {
        // What was in force a moment ago can be chosen again.
        let _ = socket.set_tcp_congestion(before.as_bytes());
    }
    is_offered
}

/// Whether `peer` is this same machine.
#[must_use]
pub fn is_here(peer: SocketAddr) -> bool {
    peer.ip().to_canonical().is_loopback()
}

#[cfg(target_os = "linux")]
fn use_bbr(socket: &Socket) -> io::Result<()> {
    socket.set_tcp_congestion(b"bbr")
}

#[cfg(target_os = "linux")]
fn in_force(socket: &Socket) -> String {
    let name = socket.tcp_congestion().unwrap_or_default();
    String::from_utf8_lossy(&name).trim_end_matches('\0').to_owned()
}

#[cfg(not(target_os = "linux"))]
fn use_bbr(_: &Socket) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "linux"))]
fn in_force(_: &Socket) -> String {
    "the system's".to_owned()
}

#[cfg(test)]
mod tests {
    use socket2::{Domain, Type};

    use super::*;

    #[tokio::test]
    async fn a_connection_is_prepared_and_keeps_the_systems_control_on_this_machine() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let before = in_force(&SockRef::from(&stream));
        assert_eq!(prepare(&stream, Congestion::Bbr).unwrap(), before);
        assert!(stream.nodelay().unwrap());
        assert!(SockRef::from(&stream).keepalive().unwrap());
    }

    #[tokio::test]
    async fn bbr_is_in_force_where_it_is_offered() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let offered = use_bbr(&socket).is_ok();
        assert_eq!(in_force(&socket) == "bbr", offered);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let before = in_force(&SockRef::from(&listener));
        assert_eq!(offers_bbr(&listener), offered);
        assert_eq!(in_force(&SockRef::from(&listener)), before);
    }

    #[test]
    fn this_machine_is_known_by_all_its_addresses() {
        for (address, here) in [
            ("127.0.0.1:1", true),
            ("127.8.0.1:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("10.77.0.2:1", false),
            ("[2001:db8::1]:1", false),
        ] {
            assert_eq!(is_here(address.parse().unwrap()), here, "{address}");
        }
    }
}
