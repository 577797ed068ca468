//! The writing half of a connection: a queue and the task that empties it.
//!
//! Two lanes lead to it. The wide one is bounded and carries replies and chunks: whoever fills it
//! waits. The narrow one carries acknowledgements and never makes its sender wait, because a
//! receiver that waited for the network while the network waited for it would stand still for ever;
//! it holds at most one frame of 14 bytes for each chunk received.

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::patience::{Patience, Stall};
use super::{ChunkBuffer, WireError};
use crate::protocol::frame::Acknowledgement;

/// Frames the wide lane holds.
const LANE: usize = 32;

#[derive(Debug)]
enum Outgoing {
    Frame(Vec<u8>),
    Acknowledgement(Acknowledgement),
    Chunk(ChunkBuffer),
}

impl Outgoing {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Frame(bytes) => bytes,
            Self::Acknowledgement(bytes) => bytes,
            Self::Chunk(buffer) => buffer.frame(),
        }
    }
}

/// A handle to the writing half; clones feed the same queue.
#[derive(Clone, Debug)]
pub struct FrameSender {
    wide: mpsc::Sender<Outgoing>,
    narrow: mpsc::UnboundedSender<Acknowledgement>,
}

/// The other end of the queue, for [`write_frames`].
#[derive(Debug)]
pub struct Outbox {
    wide: mpsc::Receiver<Outgoing>,
    narrow: mpsc::UnboundedReceiver<Acknowledgement>,
}

/// A queue of frames to one connection.
#[must_use]
pub fn outbox() -> (FrameSender, Outbox) {
    let (wide, wide_end) = mpsc::channel(LANE);
    let (narrow, narrow_end) = mpsc::unbounded_channel();
    (FrameSender { wide, narrow }, Outbox { wide: wide_end, narrow: narrow_end })
}

impl FrameSender {
    /// Queues a whole frame, waiting for room.
    ///
    /// Cancel safe: a frame is queued whole or not at all.
    ///
    /// # Errors
    /// [`WireError::Closed`] if the connection has ended.
    pub async fn send(&self, frame: Vec<u8>) -> Result<(), WireError> {
        self.wide.send(Outgoing::Frame(frame)).await.map_err(|_| WireError::Closed)
    }

    /// As [`FrameSender::send`], on a thread that may block.
    ///
    /// # Errors
    /// [`WireError::Closed`] if the connection has ended.
    pub fn send_blocking(&self, frame: Vec<u8>) -> Result<(), WireError> {
        self.wide.blocking_send(Outgoing::Frame(frame)).map_err(|_| WireError::Closed)
    }

    /// As [`FrameSender::send_blocking`], but waits no longer than until `stop` is cancelled. `runtime`
    /// may be any.
    ///
    /// # Errors
    /// [`WireError::Closed`] if the connection has ended, or it was stopped.
    pub fn send_blocking_until(
        &self,
        frame: Vec<u8>,
        runtime: &Handle,
        stop: &CancellationToken,
    ) -> Result<(), WireError> {
        runtime.block_on(async {
            tokio::select! {
                sent = self.send(frame) => sent,
                () = stop.cancelled() => Err(WireError::Closed),
            }
        })
    }

    /// Queues a sealed chunk, on a thread that may block.
    ///
    /// # Errors
    /// [`WireError::Closed`] if the connection has ended.
    pub fn send_chunk_blocking(&self, chunk: ChunkBuffer) -> Result<(), WireError> {
        self.wide.blocking_send(Outgoing::Chunk(chunk)).map_err(|_| WireError::Closed)
    }

    /// Queues an acknowledgement without ever waiting.
    ///
    /// # Errors
    /// [`WireError::Closed`] if the connection has ended.
    pub fn acknowledge(&self, frame: Acknowledgement) -> Result<(), WireError> {
        self.narrow.send(frame).map_err(|_| WireError::Closed)
    }

    /// Queues a frame if there is room now; otherwise drops it.
    pub fn offer(&self, frame: Vec<u8>) {
        let _ = self.wide.try_send(Outgoing::Frame(frame));
    }

    /// Waits until the connection has ended.
    pub async fn closed(&self) {
        self.wide.closed().await;
    }
}

/// Writes what is queued until every [`FrameSender`] is gone, then closes the stream in order.
///
/// Flushes whenever the queue is empty. Meant to be the only task that writes to `stream`.
///
/// # Errors
/// [`WireError::Io`], or [`WireError::Stalled`] if the peer takes no byte for as long as `stall` says, or keeps taking
/// them more slowly.
pub async fn write_frames<W: AsyncWrite + Unpin>(
    mut stream: W,
    mut outbox: Outbox,
    stall: impl Into<Stall>,
) -> Result<(), WireError> {
    let stall = stall.into();
    let mut acknowledging = true;
    let mut patience = Patience::new(stall);
    loop {
        let next = match outbox.narrow.try_recv() {
            Ok(frame) => Some(Outgoing::Acknowledgement(frame)),
            Err(_) => outbox.wide.try_recv().ok(),
        };
        let outgoing = match next {
            Some(outgoing) => Some(outgoing),
            None => {
                patience.wait_for(stream.flush()).await?;
                patience = Patience::new(stall);
                tokio::select! {
                    biased;
                    frame = outbox.narrow.recv(), if acknowledging => match frame {
                        Some(frame) => Some(Outgoing::Acknowledgement(frame)),
                        None => { acknowledging = false; continue }
                    },
                    outgoing = outbox.wide.recv() => outgoing,
                }
            }
        };
        let Some(outgoing) = outgoing else { break };
        let mut bytes = outgoing.bytes();
        while !bytes.is_empty() {
            let count = patience.wait(stream.write(bytes)).await?;
            bytes = bytes.get(count..).filter(|_| count > 0).ok_or(WireError::Closed)?;
        }
    }
    patience.wait_for(stream.shutdown()).await
}

#[cfg(test)]
mod tests {
    use super::*;
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
