//! `--limit-rate`: no more bytes a second than asked for, in each direction, over all connections
//! of a command.
//!
//! It counts what TLS puts on the network. Its clock is that of tokio.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// Pieces a second, at least: so that a slow link moves evenly.
const PIECES: u64 = 20;
/// The smallest piece: less is not worth a packet.
const LEAST: u64 = 1024;
/// How far the network may be ahead of the limit. Timers are too coarse to wait for each piece by
/// itself: at high rates one is due long before the next tick.
const AHEAD: Duration = Duration::from_millis(50);

/// A limit for both directions. Cloning shares it.
#[derive(Clone, Debug)]
pub struct RateLimit {
    down: Arc<Direction>,
    up: Arc<Direction>,
}

#[derive(Debug)]
struct Direction {
    /// Bytes a second.
    rate: u64,
    /// When all that has passed may have passed.
    free: Mutex<Option<Instant>>,
}

impl RateLimit {
    /// At most `rate` bytes a second each way; 0 is taken as 1.
    #[must_use]
    pub fn new(rate: u64) -> Self {
        let direction = || Arc::new(Direction { rate: rate.max(1), free: Mutex::new(None) });
        Self { down: direction(), up: direction() }
    }
}

impl Direction {
    /// Until when the next byte must wait, if it must.
    fn wait(&self) -> Option<Instant> {
        let free = *self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.and_then(|free| free.checked_sub(AHEAD)).filter(|until| *until > Instant::now())
    }

    fn took(&self, bytes: usize) {
        let nanoseconds = bytes as u128 * 1_000_000_000 / u128::from(self.rate);
        let cost = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        // What was not used is not saved up.
        *free = Some(free.map_or(now, |free| free.max(now)) + cost);
    }

    fn piece(&self) -> usize {
        usize::try_from((self.rate / PIECES).max(LEAST)).unwrap_or(usize::MAX)
    }
}

/// A stream that keeps to a limit, if there is one.
#[derive(Debug)]
pub struct Paced<S> {
    stream: S,
    limit: Option<RateLimit>,
    reading: Option<Pin<Box<Sleep>>>,
    writing: Option<Pin<Box<Sleep>>>,
}

impl<S> Paced<S> {
    /// Slows `stream` down to `limit`.
    pub fn new(stream: S, limit: Option<RateLimit>) -> Self {
        Self { stream, limit, reading: None, writing: None }
    }
}

/// Waits for the turn of `direction`.
fn turn(
    direction: &Direction,
    sleep: &mut Option<Pin<Box<Sleep>>>,
    context: &mut Context<'_>,
) -> Poll<()> {
    loop {
        if let Some(sleeping) = sleep {
            ready!(sleeping.as_mut().poll(context));
            *sleep = None;
        }
        match direction.wait() {
            Some(until) => *sleep = Some(Box::pin(sleep_until(until))),
            None => return Poll::Ready(()),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let Some(limit) = &this.limit else {
            return Pin::new(&mut this.stream).poll_read(context, buffer);
        };
        ready!(turn(&limit.down, &mut this.reading, context));
        let room = buffer.remaining().min(limit.down.piece());
        let mut piece = ReadBuf::new(buffer.initialize_unfilled_to(room));
        ready!(Pin::new(&mut this.stream).poll_read(context, &mut piece))?;
        let count = piece.filled().len();
        buffer.advance(count);
        limit.down.took(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let Some(limit) = &this.limit else {
            return Pin::new(&mut this.stream).poll_write(context, bytes);
        };
        ready!(turn(&limit.up, &mut this.writing, context));
        let piece = bytes.get(..limit.up.piece()).unwrap_or(bytes);
        let count = ready!(Pin::new(&mut this.stream).poll_write(context, piece))?;
        limit.up.took(count);
        Poll::Ready(Ok(count))
    }

    /// Several records, or an alert behind another record, go in one step: TLS tries an alert once.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let Some(limit) = &this.limit else {
            return Pin::new(&mut this.stream).poll_write_vectored(context, slices);
        };
        ready!(turn(&limit.up, &mut this.writing, context));
        let piece = limit.up.piece();
        let mut total = 0;
        let fits = slices.iter().take_while(|slice| {
            total += slice.len();
            total <= piece
        });
        let written = match slices.get(..fits.count()) {
            Some(fitting) if !fitting.is_empty() => {
                Pin::new(&mut this.stream).poll_write_vectored(context, fitting)
            }
            _ => {
                let first = slices.first().map_or(&[][..], |slice| slice);
                let first = first.get(..piece).unwrap_or(first);
                Pin::new(&mut this.stream).poll_write(context, first)
            }
        };
        let count = ready!(written)?;
        limit.up.took(count);
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    #[tokio::test(start_paused = true)]
    async fn each_direction_keeps_to_the_rate_and_all_connections_share_it() {
        let limit = RateLimit::new(1 << 20);
        let since = Instant::now();
        let lines = [0, 1].map(|_| {
            let (near, far) = duplex(64 * 1024);
            (Paced::new(near, Some(limit.clone())), far)
        });
        let mut tasks = tokio::task::JoinSet::new();
        for (near, far) in lines {
            let (mut near_read, mut near_write) = tokio::io::split(near);
            let (mut far_read, mut far_write) = tokio::io::split(far);
            let sent: Vec<u8> = (0..5u32 << 20).map(|at| (at / 7) as u8).collect();
            let back = sent.clone();
            tasks.spawn(async move { near_write.write_all(&vec![1; 5 << 20]).await.unwrap() });
            tasks.spawn(async move {
                far_read.read_exact(&mut vec![0; 5 << 20]).await.map(drop).unwrap();
            });
            tasks.spawn(async move { far_write.write_all(&sent).await.unwrap() });
            tasks.spawn(async move {
                let mut received = vec![0; 5 << 20];
                near_read.read_exact(&mut received).await.unwrap();
                assert!(received == back);
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap();
        }
        let took = since.elapsed().as_secs_f64();
        assert!((9.8..10.5).contains(&took), "{took} s for 10 MiB each way");
    }

    #[tokio::test(start_paused = true)]
    async fn small_writes_at_a_high_rate_are_not_held_up_by_the_timer() {
        let (near, mut far) = duplex(64 * 1024);
        let mut near = Paced::new(near, Some(RateLimit::new(50 << 20)));
        let since = Instant::now();
        let reading = tokio::spawn(async move {
            far.read_exact(&mut vec![0; 25 << 20]).await.map(drop).unwrap();
        });
        for _ in 0..(25 << 20) / (16 << 10) {
            near.write_all(&[1; 16 << 10]).await.unwrap();
        }
        reading.await.unwrap();
        let took = since.elapsed().as_secs_f64();
        assert!((0.4..0.6).contains(&took), "{took} s for 25 MiB");
    }
}
