//! A TCP relay that counts what passes, so that a test can say how much was really sent, and
//! strike when so much has.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A relay to one server. Its threads end with their connections.
pub struct Proxy {
    pub address: SocketAddr,
    to_server: Arc<AtomicU64>,
    to_client: Arc<AtomicU64>,
}

impl Proxy {
    pub fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (to_server, to_client) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let counters = (to_server.clone(), to_client.clone());
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let Ok(far) = TcpStream::connect(target) else { continue };
                relay(near.try_clone().unwrap(), far.try_clone().unwrap(), counters.0.clone());
                relay(far, near, counters.1.clone());
            }
        });
        Self { address, to_server, to_client }
    }

    /// Bytes from clients to the server so far.
    pub fn sent(&self) -> u64 {
        self.to_server.load(Ordering::Relaxed)
    }

    /// Bytes from the server to clients so far.
    pub fn received(&self) -> u64 {
        self.to_client.load(Ordering::Relaxed)
    }
}

fn relay(mut from: TcpStream, mut to: TcpStream, counter: Arc<AtomicU64>) {
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count) = from.read(&mut buffer) {
            if count == 0 || to.write_all(&buffer[..count]).is_err() {
                break;
            }
            counter.fetch_add(count as u64, Ordering::Relaxed);
        }
        let _ = to.shutdown(Shutdown::Write);
        let _ = from.shutdown(Shutdown::Read);
    });
}
