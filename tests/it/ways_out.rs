//! Ways out of the sandbox through sockets that are open already, as an intruder in the server has
//! them.
//!
//! Each half is tried alone, beginning with a connection that was accepted before or after it held.

use std::io::{IoSlice, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;

use rustix::net::{
    SendAncillaryBuffer, SendFlags, SocketAddrUnix, connect, connect_unspec, listen, sendmsg_addr,
    sendto,
};
use sealane_server::sandbox::{self, Mode, Plan};

use crate::sandbox::{Half, again, denied, inside, kernel_landlock};
use crate::support::{ok, stdout};

/// A client's connection, as the server has it and as the client has it.
fn accepted(listener: &TcpListener) -> (TcpStream, TcpStream) {
    let far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (listener.accept().unwrap().0, far)
}

/// Somebody the server must not reach: connections, and what came over them.
struct Outside {
    tcp: TcpListener,
    address: SocketAddr,
    stream: UnixListener,
    datagrams: UnixDatagram,
    directory: tempfile::TempDir,
}

impl Outside {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp.local_addr().unwrap();
        tcp.set_nonblocking(true).unwrap();
        let stream = UnixListener::bind(directory.path().join("stream")).unwrap();
        stream.set_nonblocking(true).unwrap();
        let datagrams = UnixDatagram::bind(directory.path().join("datagrams")).unwrap();
        datagrams.set_nonblocking(true).unwrap();
        Self { tcp, address, stream, datagrams, directory }
    }

    fn unix(&self, name: &str) -> SocketAddrUnix {
        SocketAddrUnix::new(self.directory.path().join(name)).unwrap()
    }

    fn heard_nothing(&self) {
        assert!(self.tcp.accept().is_err(), "a TCP connection came");
        assert!(self.stream.accept().is_err(), "a Unix connection came");
        assert!(self.datagrams.recv(&mut [0; 8]).is_err(), "a datagram came");
    }
}

/// The flag of TCP Fast Open, for which rustix has no name.
fn fast_open() -> SendFlags {
    SendFlags::from_bits_retain(0x2000_0000)
}

fn refused<T: std::fmt::Debug>(outcome: rustix::io::Result<T>) {
    denied(outcome.unwrap_err().into());
}

/// Dissolves a connection; where that is forbidden, it must be so.
fn sends_nowhere(socket: impl AsFd, to: &SocketAddr) {
    let message = [IoSlice::new(b"secret")];
    let mut nothing = SendAncillaryBuffer::default();
    refused(connect_unspec(&socket));
    refused(connect(&socket, to));
    refused(sendto(&socket, b"secret", fast_open(), to));
    refused(sendto(&socket, b"secret", SendFlags::empty(), to));
    refused(sendmsg_addr(&socket, to, &message, &mut nothing, fast_open()));
    refused(listen(&socket, 1));
}

#[test]
fn from_an_accepted_socket_the_filter_alone_leaves_no_way_to_anybody_else() {
    let Some(_) = inside() else {
        let name =
            "ways_out::from_an_accepted_socket_the_filter_alone_leaves_no_way_to_anybody_else";
        assert!(stdout(&ok(again(name, Path::new("/")))).contains("no way out"));
        return;
    };
    let (listener, outside) = (TcpListener::bind("127.0.0.1:0").unwrap(), Outside::new());
    let (mut before, mut client) = accepted(&listener);
    let late = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let manager = UnixDatagram::unbound().unwrap();
    sandbox::enter(Mode::BestEffort, &Plan::default(), &Half::Seccomp).unwrap();

    // What a server does all the time goes on.
    let (after, _) = listener.accept().unwrap();
    before.write_all(b"hello").unwrap();
    let mut heard = [0; 5];
    client.read_exact(&mut heard).unwrap();
    let (near, far) = UnixDatagram::pair().unwrap();
    near.send(b"wake").unwrap();
    assert_eq!(far.recv(&mut heard).unwrap(), 4);

    for socket in [&before, &after] {
        sends_nowhere(socket, &outside.address);
    }
    // Unix sockets: nothing is in the plan, and no half of a pair, nor one that was open, reaches
    // another.
    let (stream, datagrams) = (outside.unix("stream"), outside.unix("datagrams"));
    refused(connect(&manager, &datagrams));
    for socket in [&near, &manager] {
        refused(sendto(socket, b"secret", SendFlags::empty(), &datagrams));
        let mut nothing = SendAncillaryBuffer::default();
        let message = [IoSlice::new(b"secret")];
        let flags = SendFlags::empty();
        refused(sendmsg_addr(socket, &datagrams, &message, &mut nothing, flags));
    }
    denied(
        std::os::unix::net::UnixStream::connect(stream.path().unwrap().to_str().unwrap())
            .unwrap_err(),
    );
    denied(UnixDatagram::unbound().unwrap_err());
    denied(UnixListener::bind(outside.directory.path().join("new")).unwrap_err());
    drop(late);
    outside.heard_nothing();
    println!("no way out");
}

#[test]
fn from_an_accepted_socket_landlock_alone_connects_to_nobody_else() {
    let Some(_) = inside() else {
        let name = "ways_out::from_an_accepted_socket_landlock_alone_connects_to_nobody_else";
        let text = stdout(&ok(again(name, Path::new("/"))));
        match kernel_landlock() {
            Some(4..) => assert!(text.contains("no way out"), "{text}"),
            _ => println!("skipped: this kernel has no Landlock of version 4"),
        }
        return;
    };
    let (listener, outside) = (TcpListener::bind("127.0.0.1:0").unwrap(), Outside::new());
    let (socket, _client) = accepted(&listener);
    let state = sandbox::enter(Mode::BestEffort, &Plan::default(), &Half::Landlock).unwrap();
    if state.landlock.is_none_or(|version| version < 4) {
        return;
    }
    // Dissolving is no access to anything; what follows is.
    connect_unspec(&socket).unwrap();
    refused(connect(&socket, &outside.address));
    refused(connect(&listener, &outside.address));
    refused(rustix::net::bind(&socket, &"127.0.0.1:0".parse::<SocketAddr>().unwrap()));
    outside.heard_nothing();
    println!("no way out");
}
