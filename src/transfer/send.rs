//! The sending half: read, hash, skip what is held, send the rest, end with the root.

use std::collections::VecDeque;

use super::recipe::{Recipe, Shifted};
use super::routes::{PeerEvent, SendingEnd};
use super::{Meter, Outcome, TransferError};
use crate::protocol::frame::{self, ChunkPrefix, ClaimsPage};
use crate::protocol::{Kind, limits};
use crate::storage::{Source, StorageError};
use crate::types::digest::chunk_digest;
use crate::types::{Digest, Layout, RootBuilder};
use crate::wire::{BufferPool, ChunkBuffer, FrameSender};

/// One buffer being filled, the window's on their way.
const BUFFERS: usize = 1 + limits::WINDOW;

/// What a receiver has announced.
#[derive(Clone, Copy, Debug, Default)]
pub struct Held {
    /// Claims will follow.
    pub claims: bool,
    /// It can be asked for the pieces of its present version.
    pub pieces: bool,
}

/// Sends `source`, cut by `layout`, over `out`, and waits until every chunk is acknowledged.
///
/// `held` is what the receiver has announced. Blocks: run it on a thread that may. It
/// ends early when `end`'s route is closed.
///
/// Memory: 3 chunks, and 32 bytes for each chunk claimed ahead of what was read. Once pieces were
/// asked for, one chunk's worth of recipes, the pieces (3.3 MiB at most) and 8 average pieces
/// (512 KiB for files of up to 2 GiB, 4 MiB at most).
///
/// # Errors
/// [`TransferError::Storage`] with `Changed` if the source changed while it was read: the receiver
/// never gets an end then, so it never commits; the others as named.
pub fn send(
    source: &dyn Source,
    layout: Layout,
    held: Held,
    end: SendingEnd,
    out: &FrameSender,
    meter: &Meter,
) -> Result<Outcome, TransferError> {
    let id = end.id();
    let pool = BufferPool::new(BUFFERS, buffer_size(&layout));
    let mut sending = Sending {
        id,
        source,
        layout,
        out,
        meter,
        pool,
        peer: Peer::new(end, held, layout),
        moved: 0,
        reused: 0,
    };
    let mut roots = RootBuilder::new(layout);
    for index in 0..layout.count() {
        let digest = sending.chunk(index)?;
        roots.insert(index, digest).map_err(|_| TransferError::Protocol("chunk order"))?;
    }
    sending.settle_recipes()?;
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
    out: &'a FrameSender,
    meter: &'a Meter,
    pool: BufferPool,
    peer: Peer,
    moved: u64,
    reused: u64,
}

impl Sending<'_> {
    /// Sends chunk `index`, in whatever form the receiver needs it; gives its digest.
    fn chunk(&mut self, index: u32) -> Result<Digest, TransferError> {
        let (buffer, digest) = self.read(index)?;
        let claim = self.peer.claim(index, self.meter)?;
        if claim == Some(digest) {
            let length = buffer.chunk().len() as u64;
            self.reused += length;
            self.meter.reused(length);
            return Ok(digest);
        }
        if claim.is_some()
            && let Some(seek) = self.peer.shifted.differs()
        {
            self.out.send_blocking(frame::fixed(Kind::Seek, self.id, &seek))?;
        }
        self.peer.wait_for_pieces(index, self.meter)?;
        self.send_again()?;
        let prefix = ChunkPrefix { index, digest };
        let recipe = self.peer.shifted.recipe(self.id, &prefix, self.source, buffer.chunk())?;
        match recipe {
            Some(recipe) => self.send_recipe(&prefix, recipe, buffer.chunk().len())?,
            None => self.send_bytes(&prefix, buffer)?,
        }
        Ok(digest)
    }

    fn read(&mut self, index: u32) -> Result<(ChunkBuffer, Digest), TransferError> {
        let mut buffer = self.pool.take_blocking();
        let length = self.layout.length(index).unwrap_or(0);
        self.source.read_at(self.layout.offset(index), buffer.resize(length))?;
        let digest = chunk_digest(&self.layout, index, buffer.chunk());
        Ok((buffer, digest))
    }

    fn send_bytes(
        &mut self,
        prefix: &ChunkPrefix,
        mut buffer: ChunkBuffer,
    ) -> Result<(), TransferError> {
        let length = buffer.chunk().len();
        self.peer.wait_for_room(length, self.meter)?;
        buffer.seal(self.id, prefix);
        self.out.send_chunk_blocking(buffer)?;
        self.peer.sent(Sent { prefix: *prefix, cost: length, literal: length, is_recipe: false });
        self.moved += length as u64;
        Ok(())
    }

    fn send_recipe(
        &mut self,
        prefix: &ChunkPrefix,
        recipe: Recipe,
        length: usize,
    ) -> Result<(), TransferError> {
        let Recipe { frame, literal } = recipe;
        let cost = frame.len();
        self.peer.wait_for_room(cost, self.meter)?;
        self.out.send_blocking(frame)?;
        self.peer.sent(Sent { prefix: *prefix, cost, literal, is_recipe: true });
        self.moved += literal as u64;
        self.reused += (length - literal) as u64;
        Ok(())
    }

    /// Sends the bytes of chunks whose recipes were wrong.
    fn send_again(&mut self) -> Result<(), TransferError> {
        while let Some(Sent { prefix, literal, .. }) = self.peer.again.pop() {
            let (buffer, digest) = self.read(prefix.index)?;
            if digest != prefix.digest {
                return Err(StorageError::Changed.into());
            }
            let recipe = literal as u64;
            self.reused -= buffer.chunk().len() as u64 - recipe;
            self.moved -= recipe;
            self.send_bytes(&prefix, buffer)?;
        }
        Ok(())
    }

    /// Waits until every chunk that went as a recipe is there.
    fn settle_recipes(&mut self) -> Result<(), TransferError> {
        loop {
            self.send_again()?;
            if !self.peer.unacknowledged.iter().any(|sent| sent.is_recipe) {
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

/// A chunk that was sent.
#[derive(Clone, Copy, Debug)]
struct Sent {
    prefix: ChunkPrefix,
    /// Bytes it took on the wire.
    cost: usize,
    /// Bytes of the chunk among them.
    literal: usize,
    is_recipe: bool,
}

/// What the sender knows of the receiver.
struct Peer {
    end: SendingEnd,
    layout: Layout,
    /// Chunks sent and not acknowledged, oldest first.
    unacknowledged: VecDeque<Sent>,
    /// Chunks whose recipes were wrong.
    again: Vec<Sent>,
    /// Claims not yet compared; the first one is for chunk `next_claim`.
    claims: VecDeque<Digest>,
    next_claim: u32,
    more_claims: bool,
    shifted: Shifted,
}

impl Peer {
    fn new(end: SendingEnd, held: Held, layout: Layout) -> Self {
        Self {
            end,
            layout,
            unacknowledged: VecDeque::with_capacity(limits::WINDOW),
            again: Vec::new(),
            claims: VecDeque::new(),
            next_claim: 0,
            more_claims: held.claims,
            shifted: Shifted::new(layout, held.claims && held.pieces),
        }
    }

    /// The claim for chunk `index`; waits until it is there or no more will come. Called once for
    /// every chunk, in order.
    fn claim(&mut self, index: u32, meter: &Meter) -> Result<Option<Digest>, TransferError> {
        debug_assert_eq!(index, self.next_claim);
        while self.claims.is_empty() && self.more_claims {
            self.next_event(meter)?;
        }
        self.next_claim += 1;
        Ok(self.claims.pop_front())
    }

    fn wait_for_pieces(&mut self, index: u32, meter: &Meter) -> Result<(), TransferError> {
        while self.shifted.wants_more(index) {
            self.next_event(meter)?;
        }
        Ok(())
    }

    fn sent(&mut self, sent: Sent) {
        self.unacknowledged.push_back(sent);
    }

    /// Waits until `cost` bytes may be sent: unacknowledged are two chunks at most, or many recipes
    /// that are no longer together.
    fn wait_for_room(&mut self, cost: usize, meter: &Meter) -> Result<(), TransferError> {
        let window = limits::WINDOW * buffer_size(&self.layout);
        loop {
            let under_way: usize = self.unacknowledged.iter().map(|sent| sent.cost).sum();
            let chunks = self.unacknowledged.iter().filter(|sent| !sent.is_recipe).count();
            let count = self.unacknowledged.len();
            let fits = under_way + cost <= window || count == 0;
            if fits && chunks < limits::WINDOW && count < limits::RECIPES {
                return Ok(());
            }
            self.next_event(meter)?;
        }
    }

    fn wait_for_all(&mut self, meter: &Meter) -> Result<(), TransferError> {
        while !self.unacknowledged.is_empty() {
            self.next_event(meter)?;
        }
        Ok(())
    }

    fn next_event(&mut self, meter: &Meter) -> Result<(), TransferError> {
        match self.end.next_event().ok_or(TransferError::Interrupted)? {
            PeerEvent::Acknowledged(index) => {
                let Sent { literal, .. } = self.oldest(index)?;
                let length = self.layout.length(index).unwrap_or(0);
                meter.moved(literal as u64);
                if literal < length {
                    meter.reused((length - literal) as u64);
                }
                Ok(())
            }
            PeerEvent::Again(index) => {
                let sent = self.oldest(index)?;
                if !sent.is_recipe {
                    return Err(TransferError::Protocol("refused a chunk as if it were a recipe"));
                }
                self.shifted.give_up();
                self.again.push(sent);
                Ok(())
            }
            PeerEvent::Claims(page) => self.add_claims(page),
            PeerEvent::Pieces(page) => self.shifted.add(&page),
        }
    }

    fn oldest(&mut self, index: u32) -> Result<Sent, TransferError> {
        self.unacknowledged
            .pop_front()
            .filter(|sent| sent.prefix.index == index)
            .ok_or(TransferError::Protocol("acknowledged what was not sent"))
    }

    fn add_claims(&mut self, page: ClaimsPage) -> Result<(), TransferError> {
        let claimed = u64::from(self.next_claim) + self.claims.len() as u64;
        let fits = claimed + page.digests.len() as u64 <= u64::from(self.layout.count());
        if !self.more_claims || u64::from(page.first) != claimed || !fits {
            return Err(TransferError::Protocol("claims out of order"));
        }
        self.more_claims = !page.last;
        self.claims.extend(page.digests);
        Ok(())
    }
}
