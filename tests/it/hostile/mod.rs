//! A malicious client and a malicious server that speak raw frames over real TLS. Each test is
//! named after the row of the attack table in `docs/SECURITY.md` that it plays.

mod corpus;
mod frames;
mod greeting;
mod house;
mod joining;
mod names;
mod quota;
mod siege;
mod strangers;

use std::future::Future;
use std::net::SocketAddr;

use sealane_base::types::{Address, Digest, PinSet};
use sealane_protocol::message::{Entries, Entry, File, LoggedIn, Refused};
use sealane_protocol::{ClientMessage, Kind, ServerMessage, Side, Status};
use sealane_tls as tls;
use sealane_tls::Identity;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, copy_bidirectional, duplex};
use tokio::net::{TcpListener, TcpStream};

use crate::support::Service;
use crate::support::pair::USER;
use crate::support::peer::{Peer, hello, login, welcome};
use crate::support::site::PASSWORD;

const MIB: usize = 1 << 20;
/// Bytes that may wait between a test and its TLS.
const PIPE: usize = 64 * 1024;

/// Passes everything on between `stream` and the pipe that is returned.
fn piped<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(mut stream: S) -> DuplexStream {
    let (near, mut far) = duplex(PIPE);
    tokio::spawn(async move {
        let _ = copy_bidirectional(&mut stream, &mut far).await;
    });
    near
}

/// A client that is past TLS and has said nothing yet.
async fn stranger(address: SocketAddr, pins: &PinSet) -> Peer {
    let stream = TcpStream::connect(address).await.unwrap();
    let config = tls::client_config(pins.clone()).unwrap();
    let stream = tls::connect(config, stream).await.unwrap();
    Peer::new(piped(stream), Side::Server, None)
}

/// A client that has logged in as [`USER`]; its next request has id 3.
async fn insider(service: &Service) -> Peer {
    insider_at(service.address, &service.pins).await
}

async fn insider_at(address: SocketAddr, pins: &PinSet) -> Peer {
    let mut peer = stranger(address, pins).await;
    peer.send(&[hello(1), login(2, PASSWORD)].concat()).await;
    assert!(matches!(peer.answer_to(1).await, ServerMessage::Welcome(_)));
    assert!(matches!(peer.answer_to(2).await, ServerMessage::LoggedIn(_)));
    peer
}

/// A server with one account, [`USER`], whose home holds `keep`.
async fn service() -> Service {
    let service = Service::start().await;
    service.account(USER, 1 << 30);
    drop(insider(&service).await);
    std::fs::write(service.home(USER).join("keep"), b"kept").unwrap();
    service
}

/// Asserts that the other end closes without another word but what belongs to transfers.
async fn assert_closed(mut peer: Peer, what: &str) {
    while let Some((header, _)) = peer.next().await {
        let kind = header.kind;
        assert!(kind.sender().is_none(), "{what}: still says {kind:?}");
    }
}

/// A server that owns the key it shows and is otherwise up to no good.
struct FalseServer {
    address: SocketAddr,
    pins: PinSet,
}

impl FalseServer {
    /// Does `work` with every client that comes.
    async fn start<F, W>(work: F) -> Self
    where
        F: Fn(Peer) -> W + Send + 'static,
        W: Future<Output = ()> + Send + 'static,
    {
        let key = tls::generate::key_pair(time::OffsetDateTime::now_utc()).unwrap();
        let identity =
            Identity::from_pem(key.certificate_pem.as_bytes(), key.key_pem.expose().as_bytes());
        let config = tls::server_config(identity.unwrap(), Vec::new()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(stream) = tls::accept(config.clone(), stream).await else { continue };
                tokio::spawn(work(Peer::new(piped(stream), Side::Client, None)));
            }
        });
        Self { address, pins: PinSet::new(vec![key.pin]).unwrap() }
    }

    /// As [`FalseServer::start`], letting everybody in and answering each request by `answer`.
    async fn answering(answer: fn(ClientMessage) -> ServerMessage) -> Self {
        Self::start(move |peer| answer_all(peer, answer)).await
    }

    fn url(&self, path: &str) -> String {
        let pin = self.pins.iter().next().unwrap().to_address_form();
        format!("sealane://{USER}@{}/{path}?pin={pin}", self.address)
    }
}

async fn answer_all(mut peer: Peer, answer: fn(ClientMessage) -> ServerMessage) {
    while let Some((header, body)) = peer.next().await {
        match header.kind {
            Kind::Hello => {
                peer.say(header.id, ServerMessage::Welcome(welcome())).await;
            }
            Kind::Login => {
                let user = USER.to_owned();
                peer.say(header.id, ServerMessage::LoggedIn(LoggedIn { user })).await;
            }
            kind if kind.sender() == Some(Side::Client) && kind != Kind::Cancel => {
                let message = ClientMessage::decode(kind, &body).unwrap();
                peer.say(header.id, answer(message)).await;
            }
            _ => {}
        }
    }
}

fn entry(name: &str, kind: u8, mode: u32) -> Entry {
    Entry { name: name.to_owned(), kind, size: 4, modified: 0, mode }
}

fn entries(entries: Vec<Entry>) -> ServerMessage {
    ServerMessage::Entries(Entries { entries, more: false, hidden: 0, follows: None, unfit: None })
}

/// Four bytes that nobody wants to find outside the directory they were asked for.
fn evil() -> ServerMessage {
    let digest = Digest::of_bytes(b"evil");
    ServerMessage::File(File { digest, modified: None, mode: Some(0o777) }, b"evil".to_vec())
}

fn refused(status: Status) -> ServerMessage {
    ServerMessage::Refused(Refused::new(status))
}

/// The keys in an address.
fn pins_of(address: &str) -> PinSet {
    PinSet::new(Address::parse(address).unwrap().pins).unwrap()
}

/// Runs something that blocks while the servers of the test go on.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}
