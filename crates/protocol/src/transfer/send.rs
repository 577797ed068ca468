//! The sending half: read, hash, skip what is held, send the rest, end with the root.

use std::sync::Arc;

use super::buffers::{buffer_size, buffers};
use super::ends::SendingEnd;
use super::peer::{Held, Peer, Sent};
use super::recipe::Recipe;
use super::root::has_grown;
use super::{Meter, Outcome, TransferError};
use crate::Kind;
use crate::frame::{self, ChunkPrefix};
use crate::wire::{BufferPool, ChunkBuffer, FrameSender, Share};
use sealane_base::files::{Source, StorageError};
use sealane_base::types::digest::chunk_digest;
use sealane_base::types::{Digest, Layout, RootBuilder};
use sealane_base::workers::{Queue, yield_turn};

/// Sends `source`, cut by `layout`, over `out` and whatever else joins, and waits until every chunk
/// is acknowledged. Reading and hashing take turns in `queue`.
///
/// `held` is what the receiver has announced. It ends early when `end`'s route is closed.
///
/// Memory: 3 chunks, and 32 bytes for each chunk of the have-list ahead of what was read; over
/// several connections up to [`TRANSFER_MEMORY`](crate::limits::TRANSFER_MEMORY) of chunks. Once
/// pieces were asked for, one chunk's worth of recipes, the pieces (3.3 MiB at most) and 8 average
/// pieces (512 KiB for files of up to 2 GiB, 4 MiB at most).
///
/// Cancel safety: dropping the future ends the transfer.
///
/// # Errors
/// [`TransferError::Storage`] with `Changed` if what was read of the source changed meanwhile: the
/// receiver never gets an end then, so it never commits; the others as named. A source that only
/// grew is sent as it was when it was opened.
pub async fn send(
    queue: &Queue,
    source: Arc<dyn Source>,
    layout: Layout,
    held: Held,
    end: SendingEnd,
    out: FrameSender,
    meter: Arc<Meter>,
) -> Result<Outcome, TransferError> {
    queue.spawn(Sending::new(source, layout, held, end, out, meter).run()).await
}

pub(super) struct Sending {
    id: u32,
    source: Arc<dyn Source>,
    layout: Layout,
    out: FrameSender,
    meter: Arc<Meter>,
    pool: BufferPool,
    share: Option<Share>,
    peer: Peer,
    moved: u64,
    reused: u64,
}

impl Sending {
    pub(super) fn new(
        source: Arc<dyn Source>,
        layout: Layout,
        held: Held,
        end: SendingEnd,
        out: FrameSender,
        meter: Arc<Meter>,
    ) -> Self {
        let (id, share) = (end.id(), end.share.clone());
        let (count, size) = (buffers(&layout), buffer_size(&layout));
        let pool = match &share {
            Some(share) => BufferPool::sharing(count, size, share),
            None => BufferPool::new(count, size),
        };
        let peer = Peer::new(end, held, layout, &out);
        Self { id, source, layout, out, meter, pool, share, peer, moved: 0, reused: 0 }
    }

    pub(super) async fn run(mut self) -> Result<Outcome, TransferError> {
        let mut roots = RootBuilder::new(self.layout);
        for index in 0..self.layout.count() {
            let digest = self.chunk(index).await?;
            roots.insert(index, digest).map_err(|_| TransferError::Protocol("chunk order"))?;
            yield_turn().await;
        }
        self.settle().await?;
        let root = roots.finish().map_err(|_| TransferError::Protocol("chunk order"))?;
        let grew = has_grown(&*self.source, root).await?;
        self.out.send(frame::fixed(Kind::End, self.id, &root.0)).await?;
        self.peer.wait_for_all(&self.meter).await?;
        let Self { moved, reused, layout, .. } = self;
        Ok(Outcome { size: layout.size(), root, moved, reused, grew })
    }

    /// Sends chunk `index`, in whatever form the receiver needs it; gives its digest.
    async fn chunk(&mut self, index: u32) -> Result<Digest, TransferError> {
        // Known first: nothing is held in memory for a receiver that does not tell.
        let theirs = self.peer.receiver_has(index, &self.meter).await?;
        let (buffer, prefix) = self.read(index).await?;
        if theirs == Some(prefix.digest) {
            let length = buffer.chunk().len() as u64;
            self.reused += length;
            self.meter.reused(length);
            return Ok(prefix.digest);
        }
        if theirs.is_some()
            && let Some(seek) = self.peer.shifted.differs()
        {
            self.out.send(frame::fixed(Kind::Seek, self.id, &seek)).await?;
        }
        match self.recipe(&prefix, buffer.chunk()).await? {
            Some(recipe) => self.send_recipe(&prefix, recipe, buffer.chunk().len()).await?,
            None => {
                self.moved += buffer.chunk().len() as u64;
                self.send_bytes(&prefix, buffer).await?;
            }
        }
        Ok(prefix.digest)
    }

    /// The best recipe for a chunk; waits for pieces as long as they may make it better.
    async fn recipe(
        &mut self,
        prefix: &ChunkPrefix,
        bytes: &[u8],
    ) -> Result<Option<Recipe>, TransferError> {
        loop {
            self.send_again().await?;
            let recipe = self.peer.shifted.recipe(self.id, prefix, &*self.source, bytes)?;
            if recipe.is_some() || !self.peer.shifted.wants_more(prefix.index) {
                return Ok(recipe);
            }
            self.peer.wait_for_pieces(&self.meter).await?;
        }
    }

    async fn read(&mut self, index: u32) -> Result<(ChunkBuffer, ChunkPrefix), TransferError> {
        let mut buffer = self.pool.take_of(self.share.as_ref()).await;
        let length = self.layout.length(index).unwrap_or(0);
        self.source.read_at(self.layout.offset(index), buffer.resize(length))?;
        let digest = chunk_digest(&self.layout, index, buffer.chunk());
        Ok((buffer, ChunkPrefix { index, digest }))
    }

    /// Sends a chunk over the connection that has the fewest unacknowledged; what must be sent once
    /// more goes first.
    async fn send_bytes(
        &mut self,
        prefix: &ChunkPrefix,
        mut buffer: ChunkBuffer,
    ) -> Result<(), TransferError> {
        let sent = whole(prefix, &buffer);
        buffer.seal(self.id, prefix);
        loop {
            self.send_again().await?;
            if let Some(connection) = self.peer.free_connection(prefix.index, sent.cost) {
                return self.peer.send(connection, sent, buffer).await;
            }
            self.peer.next_event(&self.meter).await?;
        }
    }

    async fn send_recipe(
        &mut self,
        prefix: &ChunkPrefix,
        recipe: Recipe,
        length: usize,
    ) -> Result<(), TransferError> {
        let Recipe { frame, literal } = recipe;
        let cost = frame.len();
        while !self.peer.is_free_for_recipe(prefix.index, cost) {
            self.peer.next_event(&self.meter).await?;
            self.send_again().await?;
        }
        let sent = Sent { prefix: *prefix, cost, literal, is_recipe: true };
        self.peer.send_recipe(sent, frame).await?;
        self.moved += literal as u64;
        self.reused += (length - literal) as u64;
        Ok(())
    }

    /// Sends the bytes of chunks that went over a connection that is gone, or whose recipes were
    /// wrong.
    async fn send_again(&mut self) -> Result<(), TransferError> {
        while let Some(before) = self.peer.once_more() {
            let (mut buffer, prefix) = self.read(before.prefix.index).await?;
            if prefix.digest != before.prefix.digest {
                return Err(StorageError::Changed.into());
            }
            let sent = whole(&prefix, &buffer);
            // Of a recipe they were not counted yet.
            let more = (sent.literal - before.literal) as u64;
            self.reused -= more;
            self.moved += more;
            buffer.seal(self.id, &prefix);
            let connection = loop {
                match self.peer.any_connection(sent.cost) {
                    Some(connection) => break connection,
                    None => self.peer.next_event(&self.meter).await?,
                }
            };
            self.peer.send(connection, sent, buffer).await?;
        }
        Ok(())
    }

    /// Waits until all that went over other connections or as a recipe is there: the end, which
    /// goes over the session's own connection, must not overtake it.
    async fn settle(&mut self) -> Result<(), TransferError> {
        loop {
            self.send_again().await?;
            if !self.peer.is_unsettled() {
                return Ok(());
            }
            self.peer.next_event(&self.meter).await?;
        }
    }
}

/// A chunk that is sent as it is.
fn whole(prefix: &ChunkPrefix, buffer: &ChunkBuffer) -> Sent {
    let length = buffer.chunk().len();
    Sent { prefix: *prefix, cost: length, literal: length, is_recipe: false }
}
