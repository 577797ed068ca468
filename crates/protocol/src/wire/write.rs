//! The writing half of a connection: a queue and the task that empties it.
//!
//! It has two queues. The bounded one carries replies and chunks; a sender waits while it is full.
//! The queue of acknowledgements is sent first and never makes its sender wait: two receivers that
//! waited for the network would block each other for ever. It holds at most one frame of 14 bytes
//! for each chunk received.

use std::any::Any;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::stall::{Stall, StallTimer};
use super::{ChunkBuffer, WireError};
use crate::frame::Acknowledgement;

/// Frames the bounded queue holds.
const QUEUE: usize = 32;
/// Frames that wait are written together up to this many bytes: one TLS record and one system call
/// for all.
const TOGETHER: usize = 16 << 10;

/// Something that is let go of, by dropping it, just before the frame it came with is written: by
/// the time the peer can know of the frame, it is gone.
pub type Hold = Box<dyn Any + Send>;

#[derive(Debug)]
enum Outgoing {
    Frame(Vec<u8>),
    /// A frame with what is held until it is written.
    Held(Vec<u8>, Hold),
    /// A frame that is wiped once it is written, and copied nowhere.
    Secret(Zeroizing<Vec<u8>>),
    Acknowledgement(Acknowledgement),
    Chunk(ChunkBuffer),
}

impl Outgoing {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Frame(bytes) | Self::Held(bytes, _) => bytes,
            Self::Secret(bytes) => bytes,
            Self::Acknowledgement(bytes) => bytes,
            Self::Chunk(buffer) => buffer.frame(),
        }
    }
}

/// A handle to the writing half; clones feed the same queue.
#[derive(Clone, Debug)]
pub struct FrameSender {
    frames: mpsc::Sender<Outgoing>,
    acknowledgements: mpsc::UnboundedSender<Acknowledgement>,
}

/// The other end of the queue, for [`write_frames`].
#[derive(Debug)]
pub struct Outbox {
    frames: mpsc::Receiver<Outgoing>,
    acknowledgements: mpsc::UnboundedReceiver<Acknowledgement>,
}

impl Outbox {
    fn is_empty(&self) -> bool {
        self.acknowledgements.is_empty() && self.frames.is_empty()
    }
}

/// A queue of frames to one connection.
#[must_use]
pub fn outbox() -> (FrameSender, Outbox) {
    let (frames, frames_end) = mpsc::channel(QUEUE);
    let (acknowledgements, acknowledgements_end) = mpsc::unbounded_channel();
    (
        FrameSender { frames, acknowledgements },
        Outbox { frames: frames_end, acknowledgements: acknowledgements_end },
    )
}

impl FrameSender {
    /// Queues a whole frame, or several behind one another, waiting for room.
    ///
    /// Cancel safe: a frame is queued whole or not at all.
    ///
    /// # Errors
    /// [`WireError::Closed`] if the connection has ended.
    pub async fn send(&self, frame: Vec<u8>) -> Result<(), WireError> {
        self.frames.send(Outgoing::Frame(frame)).await.map_err(|_| WireError::Closed)
    }

    /// As [`FrameSender::send`]; `hold` is dropped just before the frame is written, or with it if
    /// it cannot be.
    ///
    /// Cancel safe, as that is.
    ///
    /// # Errors
    /// [`WireError::Closed`] if the connection has ended.
    pub async fn send_holding(&self, frame: Vec<u8>, hold: Hold) -> Result<(), WireError> {
        self.frames.send(Outgoing::Held(frame, hold)).await.map_err(|_| WireError::Closed)
    }

    /// As [`FrameSender::send`], for a frame with a password: no copy of it stays in memory.
    ///
    /// Cancel safe, as that is.
    ///
    /// # Errors
    /// [`WireError::Closed`] if the connection has ended.
    pub async fn send_secret(&self, frame: Zeroizing<Vec<u8>>) -> Result<(), WireError> {
        self.frames.send(Outgoing::Secret(frame)).await.map_err(|_| WireError::Closed)
    }

    /// Queues a sealed chunk, waiting for room.
    ///
    /// Cancel safe, as [`FrameSender::send`].
    ///
    /// # Errors
    /// [`WireError::Closed`] if the connection has ended.
    pub async fn send_chunk(&self, chunk: ChunkBuffer) -> Result<(), WireError> {
        self.frames.send(Outgoing::Chunk(chunk)).await.map_err(|_| WireError::Closed)
    }

    /// Queues an acknowledgement without ever waiting.
    ///
    /// # Errors
    /// [`WireError::Closed`] if the connection has ended.
    pub fn acknowledge(&self, frame: Acknowledgement) -> Result<(), WireError> {
        self.acknowledgements.send(frame).map_err(|_| WireError::Closed)
    }

    /// Queues a frame if there is room now; otherwise drops it.
    pub fn offer(&self, frame: Vec<u8>) {
        let _ = self.frames.try_send(Outgoing::Frame(frame));
    }

    /// Waits until the connection has ended.
    pub async fn closed(&self) {
        self.frames.closed().await;
    }
}

/// Writes what is queued until every [`FrameSender`] is gone, then closes the stream in order.
///
/// Short frames that are queued together are written together; the stream is flushed whenever the
/// queue is empty. Meant to be the only task that writes to `stream`.
///
/// # Errors
/// [`WireError::Io`], or [`WireError::Stalled`] if the peer takes no byte for as long as `stall`
/// says, or keeps taking them more slowly.
pub async fn write_frames<W: AsyncWrite + Unpin>(
    stream: W,
    mut outbox: Outbox,
    stall: impl Into<Stall>,
) -> Result<(), WireError> {
    let stall = stall.into();
    let mut acknowledging = true;
    let mut writing = Writing { stream, staged: Vec::new(), stall_timer: StallTimer::new(stall) };
    loop {
        let next = match outbox.acknowledgements.try_recv() {
            Ok(frame) => Some(Outgoing::Acknowledgement(frame)),
            Err(_) => outbox.frames.try_recv().ok(),
        };
        let outgoing = match next {
            Some(outgoing) => Some(outgoing),
            None => {
                writing.flush().await?;
                writing.stall_timer = StallTimer::new(stall);
                tokio::select! {
                    biased;
                    frame = outbox.acknowledgements.recv(), if acknowledging => match frame {
                        Some(frame) => Some(Outgoing::Acknowledgement(frame)),
                        None => { acknowledging = false; continue }
                    },
                    outgoing = outbox.frames.recv() => outgoing,
                }
            }
        };
        let Some(mut outgoing) = outgoing else { break };
        if let Outgoing::Held(_, hold) = &mut outgoing {
            *hold = Box::new(());
        }
        let is_secret = matches!(outgoing, Outgoing::Secret(_));
        writing.frame(outgoing.bytes(), outbox.is_empty(), is_secret).await?;
    }
    writing.flush().await?;
    writing.stall_timer.wait_for(writing.stream.shutdown()).await
}

/// The stream, and short frames that are written to it together.
struct Writing<W> {
    stream: W,
    staged: Vec<u8>,
    stall_timer: StallTimer,
}

impl<W: AsyncWrite + Unpin> Writing<W> {
    /// Writes a frame, or stages it unless it `is_last` or `is_secret`.
    async fn frame(
        &mut self,
        bytes: &[u8],
        is_last: bool,
        is_secret: bool,
    ) -> Result<(), WireError> {
        if is_secret || self.staged.len() + bytes.len() > TOGETHER {
            self.unstage().await?;
        }
        let is_alone = is_last && self.staged.is_empty();
        if is_alone || is_secret || bytes.len() > TOGETHER {
            return write_all(&mut self.stream, bytes, &mut self.stall_timer).await;
        }
        if self.staged.capacity() == 0 {
            self.staged.reserve_exact(TOGETHER);
        }
        self.staged.extend_from_slice(bytes);
        Ok(())
    }

    async fn unstage(&mut self) -> Result<(), WireError> {
        write_all(&mut self.stream, &self.staged, &mut self.stall_timer).await?;
        self.staged.clear();
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), WireError> {
        self.unstage().await?;
        self.stall_timer.wait_for(self.stream.flush()).await
    }
}

async fn write_all<W: AsyncWrite + Unpin>(
    stream: &mut W,
    mut bytes: &[u8],
    stall_timer: &mut StallTimer,
) -> Result<(), WireError> {
    while !bytes.is_empty() {
        let count = stall_timer.wait(stream.write(bytes)).await?;
        bytes = bytes.get(count..).filter(|_| count > 0).ok_or(WireError::Closed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use std::time::Duration;
    use tokio::io::AsyncReadExt;

    const STALL: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn everything_queued_is_written_before_the_close() {
        let (near, mut far) = tokio::io::duplex(8);
        let (sender, outbox) = outbox();
        let writer = tokio::spawn(write_frames(near, outbox, STALL));
        for number in 0..10u8 {
            sender.send(vec![number; 3]).await.unwrap();
        }
        drop(sender);
        let mut all = Vec::new();
        far.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, (0..10u8).flat_map(|number| [number; 3]).collect::<Vec<_>>());
        writer.await.unwrap().unwrap();
    }

    /// Keeps what each call wrote.
    #[derive(Default)]
    struct Calls(Vec<Vec<u8>>);

    impl AsyncWrite for &mut Calls {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<std::io::Result<usize>> {
            self.0.push(bytes.to_vec());
            Poll::Ready(Ok(bytes.len()))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn short_frames_that_wait_are_written_together_and_long_ones_alone() {
        let frames = [vec![1; 6000], vec![2; 6000], vec![3; 6000], vec![4; 20_000], vec![5; 10]];
        let (sender, outbox) = outbox();
        for frame in &frames {
            sender.send(frame.clone()).await.unwrap();
        }
        drop(sender);
        let mut calls = Calls::default();
        write_frames(&mut calls, outbox, STALL).await.unwrap();
        assert_eq!(calls.0.iter().map(Vec::len).collect::<Vec<_>>(), [12_000, 6000, 20_000, 10]);
        assert_eq!(calls.0.concat(), frames.concat());
    }

    #[tokio::test]
    async fn a_secret_is_never_staged_and_its_order_is_kept() {
        let (sender, outbox) = outbox();
        sender.send(vec![1; 10]).await.unwrap();
        sender.send_secret(Zeroizing::new(vec![2; 10])).await.unwrap();
        sender.send(vec![3; 10]).await.unwrap();
        drop(sender);
        let mut calls = Calls::default();
        write_frames(&mut calls, outbox, STALL).await.unwrap();
        assert_eq!(calls.0, [vec![1; 10], vec![2; 10], vec![3; 10]]);
    }

    #[tokio::test]
    async fn what_is_held_with_a_frame_is_let_go_before_the_peer_can_know_of_it() {
        let (near, mut far) = tokio::io::duplex(64);
        let (sender, outbox) = outbox();
        let held = std::sync::Arc::new(());
        sender.send_holding(vec![7], Box::new(held.clone())).await.unwrap();
        let writer = tokio::spawn(write_frames(near, outbox, STALL));
        assert_eq!(far.read_u8().await.unwrap(), 7);
        assert_eq!(std::sync::Arc::strong_count(&held), 1);
        drop(sender);
        writer.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_given_up() {
        let (near, _far) = tokio::io::duplex(8);
        let (sender, outbox) = outbox();
        let writer = tokio::spawn(write_frames(near, outbox, STALL));
        sender.send(vec![0; 100]).await.unwrap();
        assert!(matches!(writer.await.unwrap(), Err(WireError::Stalled(_))));
        assert!(matches!(sender.send(vec![0]).await, Err(WireError::Closed)));
    }

    #[tokio::test]
    async fn acknowledgements_overtake_replies() {
        let (near, mut far) = tokio::io::duplex(64);
        let (sender, outbox) = outbox();
        sender.send(vec![1]).await.unwrap();
        sender.acknowledge([2; 14]).unwrap();
        drop(sender);
        write_frames(near, outbox, STALL).await.unwrap();
        let mut all = Vec::new();
        far.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, [&[2; 14][..], &[1]].concat());
    }
}
