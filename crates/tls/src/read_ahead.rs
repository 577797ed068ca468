//! Larger reads below TLS.
//!
//! rustls asks for at most 4 KiB at a time, which would cost four system calls per record. A
//! `tokio::io::BufReader` would help as well, but keeps its memory for as long as the connection
//! lasts; this one gives it back whenever nothing is waiting, so an idle session costs nothing
//! here.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

/// Most bytes read ahead: eight TLS records, which a core's cache holds beside the plaintext.
const CAPACITY: usize = 128 << 10;

/// A byte stream that is read in pieces of up to 128 KiB, whatever its user asks for. Writes pass
/// straight through.
#[derive(Debug)]
pub struct ReadAhead<S> {
    inner: S,
    // Without capacity while nothing is buffered and none is waiting below.
    buffer: Vec<u8>,
    // Bytes at the front of `buffer` that were handed out.
    taken: usize,
}

impl<S> ReadAhead<S> {
    /// Wraps `inner`; allocates nothing yet.
    pub(super) fn new(inner: S) -> Self {
        Self { inner, buffer: Vec::new(), taken: 0 }
    }

    /// The stream below, for its addresses and options. Do not read from it.
    pub fn inner(&self) -> &S {
        &self.inner
    }
}

impl<S: AsyncRead + Unpin> ReadAhead<S> {
    // Refills an empty buffer. Afterwards the buffer is empty only at the end of the stream.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.taken = 0;
        self.buffer.clear();
        self.buffer.reserve(CAPACITY);
        let result = pin!(self.inner.read_buf(&mut self.buffer)).poll(cx);
        if self.buffer.is_empty() {
            self.buffer = Vec::new();
        }
        result.map_ok(|_length| ())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadAhead<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.taken == this.buffer.len() {
            ready!(this.poll_fill(cx))?;
        }
        let waiting = this.buffer.get(this.taken..).unwrap_or_default();
        let (now, _later) = waiting.split_at(waiting.len().min(out.remaining()));
        out.put_slice(now);
        this.taken += now.len();
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReadAhead<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;

    /// Gives zeros without end and counts how often it is asked.
    struct Zeros {
        reads: usize,
    }

    impl AsyncRead for Zeros {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
            out: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            self.reads += 1;
            let all = out.remaining();
            out.initialize_unfilled();
            out.advance(all);
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn small_reads_above_are_large_reads_below() {
        let mut stream = ReadAhead::new(Zeros { reads: 0 });
        let mut piece = [1; 4096];
        for _ in 0..256 {
            stream.read_exact(&mut piece).await.unwrap();
            assert_eq!(piece, [0; 4096]);
        }
        assert_eq!(stream.inner().reads, 8);
    }

    #[tokio::test]
    async fn bytes_come_in_order_and_the_end_is_the_end() {
        let (mut far, near) = tokio::io::duplex(7000);
        let mut stream = ReadAhead::new(near);
        let sent: Vec<u8> = (0..300_000u32).map(|at| (at / 3 + at / 251) as u8).collect();
        let mut received = Vec::new();
        let send = async {
            far.write_all(&sent).await.unwrap();
            drop(far);
        };
        let (_, end) = tokio::join!(send, stream.read_to_end(&mut received));
        assert_eq!(end.unwrap(), sent.len());
        assert!(received == sent);
        assert_eq!(stream.buffer.capacity(), 0, "memory kept after the end");
    }

    #[tokio::test]
    async fn waiting_holds_no_memory() {
        let (mut far, near) = tokio::io::duplex(100);
        let mut stream = ReadAhead::new(near);
        far.write_all(b"request").await.unwrap();
        let mut request = [0; 7];
        stream.read_exact(&mut request).await.unwrap();
        assert_eq!(&request, b"request");

        let mut next = [0; 1];
        assert!(poll_once(stream.read(&mut next)).await.is_none());
        assert_eq!(stream.buffer.capacity(), 0, "memory kept while idle");

        far.write_all(b"!").await.unwrap();
        assert_eq!(stream.read(&mut next).await.unwrap(), 1, "the waker was lost");
    }

    async fn poll_once<F: Future>(future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }
}
