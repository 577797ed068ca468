//! A way to the server that is cut, for both ends, when so many bytes have gone to it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// Relays every connection to `server`, until `after` bytes have passed upwards in all of them.
pub async fn cut_after(server: SocketAddr, after: u64) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (left, cut) = (Arc::new(AtomicU64::new(after)), CancellationToken::new());
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let (left, cut) = (left.clone(), cut.clone());
            tokio::spawn(async move {
                let Ok(far) = TcpStream::connect(server).await else { return };
                let ended = cut.clone();
                tokio::select! {
                    () = ended.cancelled() => {}
                    () = relay(near, far, &left, &cut) => {}
                }
            });
        }
    });
    address
}

async fn relay(near: TcpStream, far: TcpStream, left: &AtomicU64, cut: &CancellationToken) {
    let ((mut near_read, mut near_write), (mut far_read, mut far_write)) =
        (near.into_split(), far.into_split());
    let up = async {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(count @ 1..) = near_read.read(&mut buffer).await {
            let room = left.load(Ordering::Relaxed).min(count as u64);
            left.fetch_sub(room, Ordering::Relaxed);
            let written = far_write.write_all(&buffer[..room as usize]).await;
            if room < count as u64 || written.is_err() {
                return cut.cancel();
            }
        }
        let _ = far_write.shutdown().await;
    };
    let down = async {
        let _ = copy(&mut far_read, &mut near_write).await;
        let _ = near_write.shutdown().await;
    };
    tokio::join!(up, down);
}
