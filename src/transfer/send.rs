//! The sending half: read, hash, skip what is held, send the rest, end with the root.

use std::collections::VecDeque;

use super::routes::{PeerEvent, SendingEnd};
use super::{Meter, Outcome, TransferError};
use crate::protocol::frame::{self, ChunkPrefix, ClaimsPage};
use crate::protocol::{Kind, limits};
use crate::storage::Source;
use crate::types::digest::chunk_digest;
use crate::types::{Digest, Layout, RootBuilder};
use crate::wire::{BufferPool, FrameSender};

/// One buffer being filled, the window's on their way.
const BUFFERS: usize = 1 + limits::WINDOW;

/// Sends `source`, cut by `layout`, over `out`, and waits until every chunk is acknowledged.
///
/// `claims` says whether the receiver announced claims. Blocks: run it on a thread that may. It
/// ends early when `end`'s route is closed.
///
/// Memory: 3 chunks, and 32 bytes for each chunk claimed ahead of what was read.
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
    let mut peer = Peer::new(end, claims, layout);
    let mut roots = RootBuilder::new(layout);
    let mut pool = BufferPool::new(BUFFERS, buffer_size(&layout));
    let (mut moved, mut reused) = (0, 0);
    for index in 0..layout.count() {
        let length = layout.length(index).unwrap_or(0);
        let mut buffer = pool.take_blocking();
        source.read_at(layout.offset(index), buffer.resize(length))?;
        let digest = chunk_digest(&layout, index, buffer.chunk());
        roots.insert(index, digest).map_err(|_| TransferError::Protocol("chunk order"))?;
        if peer.claim(index, meter)? == Some(digest) {
            reused += length as u64;
            meter.reused(length as u64);
            continue;
        }
        peer.wait_for_room(meter)?;
        buffer.seal(id, &ChunkPrefix { index, digest });
        out.send_chunk_blocking(buffer)?;
        peer.sent(index);
        moved += length as u64;
    }
    source.check_unchanged()?;
    let root = roots.finish().map_err(|_| TransferError::Protocol("chunk order"))?;
    out.send_blocking(frame::fixed(Kind::End, id, &root.0))?;
    peer.wait_for_all(meter)?;
    Ok(Outcome { size: layout.size(), root, moved, reused })
}

/// Bytes of the largest chunk of a file.
pub(super) fn buffer_size(layout: &Layout) -> usize {
    layout.length(0).unwrap_or(0)
}

/// What the sender knows of the receiver.
struct Peer {
    end: SendingEnd,
    layout: Layout,
    /// Chunks sent and not acknowledged, oldest first.
    unacknowledged: VecDeque<u32>,
    /// Claims not yet compared; the first one is for chunk `next_claim`.
    claims: VecDeque<Digest>,
    next_claim: u32,
    more_claims: bool,
}

impl Peer {
    fn new(end: SendingEnd, more_claims: bool, layout: Layout) -> Self {
        let (unacknowledged, claims) = (VecDeque::new(), VecDeque::new());
        Self { end, layout, unacknowledged, claims, next_claim: 0, more_claims }
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

    fn sent(&mut self, index: u32) {
        self.unacknowledged.push_back(index);
    }

    fn wait_for_room(&mut self, meter: &Meter) -> Result<(), TransferError> {
        while self.unacknowledged.len() >= limits::WINDOW {
            self.next_event(meter)?;
        }
        Ok(())
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
                if self.unacknowledged.pop_front() != Some(index) {
                    return Err(TransferError::Protocol("acknowledged what was not sent"));
                }
                meter.moved(self.layout.length(index).unwrap_or(0) as u64);
                Ok(())
            }
            PeerEvent::Claims(page) => self.add_claims(page),
        }
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
