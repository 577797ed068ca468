//! The sending half: read, hash, skip what is held, send the rest, end with the root.

use super::peer::{Peer, Sent};
use super::routes::SendingEnd;
use super::{Meter, Outcome, TransferError};
use crate::protocol::frame::{self, ChunkPrefix};
use crate::protocol::{Kind, limits};
use crate::storage::{Source, StorageError};
use crate::types::digest::chunk_digest;
use crate::types::{Layout, RootBuilder};
use crate::wire::{BufferPool, ChunkBuffer, FrameSender};

/// Sends `source`, cut by `layout`, over `out` and whatever else joins, and waits until every chunk is
/// acknowledged.
///
/// `claims` says whether the receiver announced claims. Blocks: run it on a thread that may. It
/// ends early when `end`'s route is closed.
///
/// Memory: 3 chunks, and 32 bytes for each chunk claimed ahead of what was read; over several connections
/// up to [`limits::TRANSFER_MEMORY`] of chunks.
///
/// # Errors
/// [`TransferError::Storage`] with `Changed` if the source changed while it was read: the receiver
/// never gets an end then, so it never commits; the others as named.
pub fn send(
    source: &dyn Source,
    layout: Layout,
    claims: bool,
    end: SendingEnd,
    out: &FrameSender,
    meter: &Meter,
) -> Result<Outcome, TransferError> {
    let id = end.id();
    let pool = BufferPool::new(buffers(&layout), buffer_size(&layout));
    let peer = Peer::new(end, claims, layout, out);
    let mut sending = Sending { id, source, layout, meter, pool, peer, moved: 0, reused: 0 };
    let mut roots = RootBuilder::new(layout);
    for index in 0..layout.count() {
        let prefix = sending.chunk(index)?;
        roots.insert(index, prefix.digest).map_err(|_| TransferError::Protocol("chunk order"))?;
    }
    sending.settle_lanes()?;
    source.check_unchanged()?;
    let root = roots.finish().map_err(|_| TransferError::Protocol("chunk order"))?;
    out.send_blocking(frame::fixed(Kind::End, id, &root.0))?;
    sending.peer.wait_for_all(meter)?;
    Ok(Outcome { size: layout.size(), root, moved: sending.moved, reused: sending.reused })
}

struct Sending<'a> {
    id: u32,
    source: &'a dyn Source,
    layout: Layout,
    meter: &'a Meter,
    pool: BufferPool,
    peer: Peer,
    moved: u64,
    reused: u64,
}

impl Sending<'_> {
    /// Sends chunk `index`, if the receiver does not hold it.
    fn chunk(&mut self, index: u32) -> Result<ChunkPrefix, TransferError> {
        let (buffer, prefix) = self.read(index)?;
        let length = buffer.chunk().len() as u64;
        if self.peer.claim(index, self.meter)? == Some(prefix.digest) {
            self.reused += length;
            self.meter.reused(length);
            return Ok(prefix);
        }
        self.send_bytes(&prefix, buffer)?;
        self.moved += length;
        Ok(prefix)
    }

    fn read(&mut self, index: u32) -> Result<(ChunkBuffer, ChunkPrefix), TransferError> {
        let mut buffer = self.pool.take_blocking();
        let length = self.layout.length(index).unwrap_or(0);
        self.source.read_at(self.layout.offset(index), buffer.resize(length))?;
        let digest = chunk_digest(&self.layout, index, buffer.chunk());
        Ok((buffer, ChunkPrefix { index, digest }))
    }

    /// Sends a chunk over the connection that has the fewest unacknowledged; what was lost with one goes first.
    fn send_bytes(
        &mut self,
        prefix: &ChunkPrefix,
        mut buffer: ChunkBuffer,
    ) -> Result<(), TransferError> {
        buffer.seal(self.id, prefix);
        loop {
            self.send_again()?;
            if let Some(way) = self.peer.free_way(prefix.index) {
                return self.peer.send(way, Sent { prefix: *prefix }, buffer);
            }
            self.peer.next_event(self.meter)?;
        }
    }

    /// Sends chunks once more that went over a connection that is gone.
    fn send_again(&mut self) -> Result<(), TransferError> {
        while let Some(sent) = self.peer.lost() {
            let (mut buffer, prefix) = self.read(sent.prefix.index)?;
            if prefix.digest != sent.prefix.digest {
                return Err(StorageError::Changed.into());
            }
            buffer.seal(self.id, &prefix);
            let way = loop {
                match self.peer.free_way(prefix.index) {
                    Some(way) => break way,
                    None => self.peer.next_event(self.meter)?,
                }
            };
            self.peer.send(way, sent, buffer)?;
        }
        Ok(())
    }

    /// Waits until all that went over lanes is there: the end, which goes over the session's own connection,
    /// must not overtake it.
    fn settle_lanes(&mut self) -> Result<(), TransferError> {
        loop {
            self.send_again()?;
            if !self.peer.waits_for_lanes() {
                return Ok(());
            }
            self.peer.next_event(self.meter)?;
        }
    }
}

/// Bytes of the largest chunk of a file.
pub(super) fn buffer_size(layout: &Layout) -> usize {
    layout.length(0).unwrap_or(0)
}

/// Chunks of a file that one end may hold: one being filled and the window's, or what
/// [`limits::TRANSFER_MEMORY`] allows, for the sake of several connections.
pub(super) fn buffers(layout: &Layout) -> usize {
    (limits::TRANSFER_MEMORY / buffer_size(layout).max(1)).clamp(1 + limits::WINDOW, 16)
}
