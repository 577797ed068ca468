//! A TCP relay that counts what passes, so that a test can say how much was really sent, and strike
//! when so much has: cut all or one, lose what one carries, fall silent at one end only, lead
//! elsewhere, come from elsewhere.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use socket2::{Domain, Socket, Type};

/// A relay to one server. Its threads end with their connections.
pub struct Proxy {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    target: Mutex<SocketAddr>,
    source: Mutex<Ipv4Addr>,
    to_server: AtomicU64,
    to_client: AtomicU64,
    connections: AtomicU64,
    /// In the order in which they came.
    live: Mutex<Vec<Live>>,
}

/// One connection.
struct Live {
    near: TcpStream,
    far: TcpStream,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// The server is not told that the client is gone.
    left: AtomicBool,
    /// Bytes come in and do not go out.
    loses: AtomicBool,
    /// Bytes that came in from either end.
    carried: AtomicU64,
}

impl Proxy {
    pub fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            target: Mutex::new(target),
            source: Mutex::new(Ipv4Addr::LOCALHOST),
            to_server: AtomicU64::new(0),
            to_client: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            live: Mutex::default(),
        });
        let inside = shared.clone();
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let Ok(far) = inside.reach() else { continue };
                inside.connections.fetch_add(1, Ordering::Relaxed);
                let state = Arc::<State>::default();
                let copy = |stream: &TcpStream| stream.try_clone().unwrap();
                let (to_server, to_client) = (inside.clone(), inside.clone());
                let live = Live { near: copy(&near), far: copy(&far), state: state.clone() };
                inside.live.lock().unwrap().push(live);
                relay(copy(&near), copy(&far), state.clone(), move |n| {
                    to_server.to_server.fetch_add(n, Ordering::Relaxed);
                });
                relay(far, near, state, move |n| {
                    to_client.to_client.fetch_add(n, Ordering::Relaxed);
                });
            }
        });
        Self { address, shared }
    }

    /// Bytes from clients to the server so far.
    pub fn sent(&self) -> u64 {
        self.shared.to_server.load(Ordering::Relaxed)
    }

    /// Bytes from the server to clients so far.
    pub fn received(&self) -> u64 {
        self.shared.to_client.load(Ordering::Relaxed)
    }

    /// Connections that led to a server so far.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Cuts every connection, for both ends.
    pub fn cut(&self) {
        for live in self.shared.live.lock().unwrap().drain(..) {
            let _ = live.near.shutdown(Shutdown::Both);
            let _ = live.far.shutdown(Shutdown::Both);
        }
    }

    /// Bytes that each connection carried, both ways together, the oldest first.
    pub fn carried(&self) -> Vec<u64> {
        let live = self.shared.live.lock().unwrap();
        live.iter().map(|live| live.state.carried.load(Ordering::Relaxed)).collect()
    }

    /// What connection `number` (0 is the oldest) carries from now on is lost, and nobody is told.
    pub fn lose(&self, number: usize) {
        self.shared.live.lock().unwrap()[number].state.loses.store(true, Ordering::Relaxed);
    }

    /// Cuts connection `number`, for both ends.
    pub fn cut_one(&self, number: usize) {
        let live = self.shared.live.lock().unwrap();
        let _ = live[number].near.shutdown(Shutdown::Both);
        let _ = live[number].far.shutdown(Shutdown::Both);
    }

    /// Cuts every connection for the client alone: the server hears nothing of it, and nothing
    /// more.
    pub fn leave(&self) {
        for live in self.shared.live.lock().unwrap().iter() {
            live.state.left.store(true, Ordering::Relaxed);
            let _ = live.near.shutdown(Shutdown::Both);
        }
    }

    /// New connections lead to `target`, from the loopback address `source`.
    pub fn lead(&self, target: SocketAddr, source: Ipv4Addr) {
        *self.shared.target.lock().unwrap() = target;
        *self.shared.source.lock().unwrap() = source;
    }
}

impl Shared {
    fn reach(&self) -> std::io::Result<TcpStream> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((*self.source.lock().unwrap(), 0)).into())?;
        socket.connect(&(*self.target.lock().unwrap()).into())?;
        Ok(socket.into())
    }
}

fn relay(
    mut from: TcpStream,
    mut to: TcpStream,
    state: Arc<State>,
    count: impl Fn(u64) + Send + 'static,
) {
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            let loses = state.loses.load(Ordering::Relaxed);
            if !loses && to.write_all(&buffer[..read]).is_err() {
                break;
            }
            state.carried.fetch_add(read as u64, Ordering::Relaxed);
            count(read as u64);
        }
        if !state.left.load(Ordering::Relaxed) {
            let _ = to.shutdown(Shutdown::Write);
            let _ = from.shutdown(Shutdown::Read);
        }
    });
}
