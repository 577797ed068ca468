//! A network in memory between the real client and the real server, TLS included, that does what it
//! is told to at one place: cut, flip a bit, stand still, drop, double or swap records.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rustls::ServerConfig;
use sealane_base::types::PinSet;
use sealane_client::session::Session;
use sealane_client::{Client, ConnectError, Dial, Event, Reconnect, Retry};
use sealane_tls as tls;
use sealane_tls::Identity;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, duplex, split};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::Pair;
use super::peer::{Still, soon, still};

/// Bytes that may be on their way in each direction.
const PIPE: usize = 64 * 1024;
/// Time to shake hands, as the client has it.
const HANDSHAKE: Duration = Duration::from_secs(20);

/// What happens at one place of a connection; places are counted from 0.
#[derive(Clone, Copy, Debug)]
pub enum What {
    /// At a byte: both ends find the connection closed.
    Cut,
    /// At a byte: one of its bits is another.
    Flip,
    /// At a byte: nothing moves any more, and nobody is told.
    Stall,
    /// At a TLS record: it is lost.
    Lose,
    /// At a TLS record: it comes twice.
    Double,
    /// At a TLS record: the next one comes first.
    Swap,
}

/// One thing that goes wrong, on the way to the server (`up`) or to the client.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    pub up: bool,
    pub at: u64,
    pub what: What,
}

/// What passed in one direction.
#[derive(Debug, Default)]
pub struct Passed {
    pub bytes: AtomicU64,
    pub records: AtomicU64,
}

/// One connection, as the network sees it.
#[derive(Debug, Default)]
pub struct Line {
    pub up: Passed,
    pub down: Passed,
    /// The fault has happened.
    pub struck: AtomicBool,
    cut: CancellationToken,
    still: AtomicBool,
}

/// A server behind such a network. The clock stands still but when [`Network::run`] says otherwise.
pub struct Network {
    pub pair: Pair,
    server: Arc<ServerConfig>,
    pins: PinSet,
    /// Time is needed: the end that is waited for must find out by itself.
    waits: Notify,
    waiting: AtomicBool,
    again: AtomicBool,
    _still: Still,
}

impl Network {
    pub fn new() -> Arc<Self> {
        let key = tls::generate::key_pair(time::OffsetDateTime::UNIX_EPOCH).unwrap();
        let (certificate, private) = (key.certificate_pem, key.key_pem);
        let identity = Identity::from_pem(certificate.as_bytes(), private.expose().as_bytes());
        Arc::new(Self {
            pair: Pair::new(),
            server: tls::server_config(identity.unwrap(), Vec::new()).unwrap(),
            pins: PinSet::new(vec![key.pin]).unwrap(),
            waits: Notify::new(),
            waiting: AtomicBool::new(false),
            again: AtomicBool::new(false),
            _still: still(),
        })
    }

    /// Connects and logs in over a line on which `fault` happens.
    pub async fn log_in(
        self: &Arc<Self>,
        fault: Option<Fault>,
    ) -> (Result<Session, ConnectError>, Arc<Line>) {
        let ((near, inner), (outer, far)) = (duplex(PIPE), duplex(PIPE));
        let line = Arc::new(Line::default());
        let (from_client, to_client) = split(inner);
        let (from_server, to_server) = split(outer);
        for (up, from, to) in [
            (
                true,
                Box::new(from_client) as Box<dyn AsyncRead + Send + Unpin>,
                Box::new(to_server) as Box<dyn AsyncWrite + Send + Unpin>,
            ),
            (false, Box::new(from_server), Box::new(to_client)),
        ] {
            let fault = fault.filter(|fault| fault.up == up);
            tokio::spawn(pump(self.clone(), line.clone(), up, fault, from, to));
        }
        let (network, server) = (self.clone(), self.server.clone());
        tokio::spawn(async move {
            if let Ok(stream) = tls::accept(server, far).await {
                let _ = network.pair.serve(stream).await;
            }
        });
        (self.greet(near).await, line)
    }

    async fn greet(&self, near: tokio::io::DuplexStream) -> Result<Session, ConnectError> {
        let config = tls::client_config(self.pins.clone())?;
        let handshake = tokio::time::timeout(HANDSHAKE, tls::connect(config, near)).await;
        let stream = handshake.map_err(|_| ConnectError::Timeout(HANDSHAKE))??;
        Ok(super::pair::session(stream).await?)
    }

    /// A link that begins on a line with `first` on it and gets `next` for each later one. A first
    /// connection that fails is tried again by hand, as people do.
    pub async fn link(
        self: &Arc<Self>,
        first: Fault,
        next: impl Fn() -> Option<Fault> + Send + Sync + 'static,
    ) -> (Client, Arc<Line>) {
        self.waiting.store(false, Ordering::Relaxed);
        self.again.store(false, Ordering::Relaxed);
        let (client, line) = self.log_in(Some(first)).await;
        let client = match client {
            Ok(client) => client,
            Err(_) => {
                self.again.store(true, Ordering::Relaxed);
                self.log_in(None).await.0.expect("a clean line")
            }
        };
        let network = self.clone();
        let dial = move || -> Dial {
            let (network, fault) = (network.clone(), next());
            network.again.store(true, Ordering::Relaxed);
            Box::pin(async move { network.log_in(fault).await.0 })
        };
        let retry = Retry { first: Duration::ZERO, ..Retry::default() };
        let events = |_: Event<'_>| {};
        let (dial, jitter, events) = (Box::new(dial), Box::new(|| 0), Box::new(events));
        (Client::new(client, Some(Reconnect { dial, retry, once: false, jitter, events })), line)
    }

    /// Somebody waits for what will not come.
    fn waits(&self) {
        self.waiting.store(true, Ordering::Relaxed);
        self.waits.notify_one();
    }

    /// Runs `work`, letting time pass while a line stands still and no other one is sought.
    pub async fn run<T>(&self, work: impl Future<Output = T>) -> T {
        let passing = async {
            loop {
                self.waits.notified().await;
                let on = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
                while on(&self.waiting) && !on(&self.again) {
                    tokio::time::advance(Duration::from_millis(50)).await;
                    for _ in 0..100 {
                        tokio::task::yield_now().await;
                    }
                }
            }
        };
        soon(async {
            tokio::select! {
                result = work => result,
                () = passing => unreachable!(),
            }
        })
        .await
    }
}

type Reader = Box<dyn AsyncRead + Send + Unpin>;
type Writer = Box<dyn AsyncWrite + Send + Unpin>;

async fn pump(
    network: Arc<Network>,
    line: Arc<Line>,
    up: bool,
    fault: Option<Fault>,
    from: Reader,
    mut to: Writer,
) {
    let passing = async {
        let by_record =
            fault.is_some_and(|it| matches!(it.what, What::Lose | What::Double | What::Swap));
        let passed = if up { &line.up } else { &line.down };
        let strike = || line.struck.store(true, Ordering::Relaxed);
        if by_record || fault.is_none() {
            records(&network, passed, &strike, fault, from, &mut to).await;
        } else if let Some(fault) = fault {
            bytes(&network, &line, passed, fault, from, &mut to).await;
        }
    };
    tokio::select! {
        () = passing => {}
        () = line.cut.cancelled() => {}
    }
    if line.still.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
    // One direction that has ended ends so for its reader alone.
    let _ = to.shutdown().await;
}

async fn bytes(
    network: &Network,
    line: &Line,
    passed: &Passed,
    fault: Fault,
    mut from: Reader,
    to: &mut Writer,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let before = passed.bytes.fetch_add(count as u64, Ordering::Relaxed);
        let mut piece = &mut buffer[..count];
        let here = fault.at.checked_sub(before).filter(|at| *at < count as u64);
        if let Some(at) = here.map(|at| at as usize) {
            line.struck.store(true, Ordering::Relaxed);
            match fault.what {
                What::Flip => piece[at] ^= 1 << (fault.at % 8),
                _ => piece = &mut piece[..at],
            }
        }
        if to.write_all(piece).await.is_err() {
            return;
        }
        match fault.what {
            What::Cut if here.is_some() => return line.cut.cancel(),
            What::Stall if here.is_some() => {
                line.still.store(true, Ordering::Relaxed);
                network.waits();
                return line.cut.cancel();
            }
            // Lengths may be what was flipped: then an end waits for more than will come.
            What::Flip if here.is_some() => network.waits(),
            _ => {}
        }
    }
}

async fn records(
    network: &Network,
    passed: &Passed,
    strike: &impl Fn(),
    fault: Option<Fault>,
    mut from: Reader,
    to: &mut Writer,
) {
    let mut kept: Option<Vec<u8>> = None;
    loop {
        let mut record = vec![0; 5];
        if from.read_exact(&mut record).await.is_err() {
            return;
        }
        let length = usize::from(u16::from_be_bytes([record[3], record[4]]));
        record.resize(5 + length, 0);
        if from.read_exact(&mut record[5..]).await.is_err() {
            return;
        }
        passed.bytes.fetch_add(record.len() as u64, Ordering::Relaxed);
        let number = passed.records.fetch_add(1, Ordering::Relaxed);
        let what = fault.filter(|fault| fault.at == number).map(|fault| fault.what);
        if what.is_some() {
            strike();
            network.waits();
        }
        let out = match what {
            Some(What::Lose) => Vec::new(),
            Some(What::Double) => [&record[..], &record[..]].concat(),
            Some(What::Swap) => {
                kept = Some(record);
                continue;
            }
            _ => [record, kept.take().unwrap_or_default()].concat(),
        };
        if to.write_all(&out).await.is_err() {
            return;
        }
    }
}
