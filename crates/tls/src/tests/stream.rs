//! What the connection is worth once it stands: data, ends, and how it uses the stream below.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use super::*;

const MIB: usize = 1 << 20;

#[tokio::test]
async fn a_cut_connection_is_an_error_and_a_closed_one_an_end() {
    let identity = identity();
    let (near, far) = meet(client(identity.pin()), server(&identity)).await;
    let (mut near, mut far) = (near.unwrap(), far.unwrap());
    near.write_all(b"last words").await.unwrap();
    near.shutdown().await.unwrap();
    let mut heard = Vec::new();
    far.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"last words");

    let (near, far) = meet(client(identity.pin()), server(&identity)).await;
    drop(near.unwrap());
    let error = far.unwrap().read_to_end(&mut heard).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    assert!(matches!(TlsError::from(error), TlsError::Closed));
}

#[tokio::test]
async fn megabytes_go_both_ways_over_tcp() {
    let identity = identity();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (far, _) = listener.accept().await.unwrap();
    let (near, far) =
        tokio::join!(connect(client(identity.pin()), near), accept(server(&identity), far));
    let sent: Vec<u8> = (0..3 * MIB + 17).map(|at| (at / 5 + at / 1021) as u8).collect();
    let sent = Arc::new(sent);
    let mut tasks = Vec::new();
    for stream in [near.unwrap(), far.unwrap()] {
        let sent = sent.clone();
        tasks.push(tokio::spawn(async move {
            let (mut reader, mut writer) = tokio::io::split(stream);
            let mut received = vec![0; sent.len()];
            let write = async {
                writer.write_all(&sent).await.unwrap();
                writer.flush().await.unwrap();
            };
            tokio::join!(write, async { reader.read_exact(&mut received).await.unwrap() });
            assert!(received == *sent);
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

/// Passes everything on and counts the writes.
struct Counted(DuplexStream, Arc<AtomicUsize>);

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, out)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.0).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn a_megabyte_leaves_in_few_large_writes() {
    let identity = identity();
    let (near, far) = duplex(2 * MIB);
    let writes = [Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0))];
    let (near, far) = tokio::join!(
        connect(client(identity.pin()), Counted(near, writes[0].clone())),
        accept(server(&identity), Counted(far, writes[1].clone()))
    );
    for (stream, writes) in [&mut near.unwrap(), &mut far.unwrap()].into_iter().zip(writes) {
        writes.store(0, Ordering::Relaxed);
        stream.write_all(&vec![7; MIB]).await.unwrap();
        stream.flush().await.unwrap();
        assert_eq!(writes.load(Ordering::Relaxed), MIB / WRITE_BUFFER);
    }
}
