//! The receiving half: hash what is held, verify and write what comes, compare the root, commit.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};

use tokio::runtime::Handle;

use super::assemble::{follow, literal_bytes, tell_pieces};
use super::routes::{Incoming, ReceivingEnd};
use super::send::buffer_size;
use super::{Meter, Outcome, TransferError};
use crate::protocol::frame::{self, AGAIN, ChunkPrefix, ClaimsPage};
use crate::protocol::{Kind, limits};
use crate::storage::Sink;
use crate::types::digest::chunk_digest;
use crate::types::{Digest, Layout, RootBuilder};
use crate::wire::{ChunkBuffer, FrameSender, WireError};

/// Digests in a page of claims: small enough that the sender can begin while the rest is hashed.
const PAGE: usize = 16;

/// Receives a file into `sink` and commits it.
///
/// `claims` says whether this end announced claims. Blocks: run it on a thread of a runtime that may; it
/// starts one more thread to hash what is held, and one to cut the present version if the sender asks for
/// its pieces. It ends early when the route of `end` is closed.
///
/// Memory: 2 chunks, 1 more while claiming, and 32 bytes for each chunk held; where data has shifted
/// 1 more chunk and 8 average pieces (4 MiB at most).
///
/// # Errors
/// [`TransferError`]; what was acknowledged stays in the sink's partial, the file under the name is
/// as it was.
pub fn receive(
    sink: &Arc<dyn Sink>,
    claims: bool,
    end: ReceivingEnd,
    out: &FrameSender,
    meter: &Meter,
) -> Result<Outcome, TransferError> {
    let (id, layout) = (end.id(), end.layout());
    let (claimed, claims_made) = channel();
    let (runtime, closed) = (Handle::current(), end.closed());
    let (runtime, closed) = (&runtime, &closed);
    // Whoever ends the transfer need not wait until the peer takes what was said.
    let say = move |page: Vec<u8>| out.send_blocking_until(page, runtime, closed);
    std::thread::scope(|scope| {
        if claims {
            let hash = move || claim(sink.as_ref(), layout, id, say, claimed);
            std::thread::Builder::new()
                .name("claims".into())
                .spawn_scoped(scope, hash)
                .map_err(|_| TransferError::Thread)?;
        } else {
            drop(claimed);
        }
        let mut receiver = Receiving {
            sink: sink.as_ref(),
            layout,
            roots: RootBuilder::new(layout),
            next: 0,
            claims: claims_made,
            again: Vec::new(),
            assembled: Vec::new(),
            meter,
            moved: 0,
            reused: 0,
        };
        let seek = |log2| {
            let is_over = || closed.is_cancelled();
            let tell = move || tell_pieces(sink.as_ref(), log2, id, say, is_over);
            let thread = std::thread::Builder::new().name("pieces".into());
            thread.spawn_scoped(scope, tell).map_err(|_| TransferError::Thread).map(drop)
        };
        let received = receiver.run(end, out, seek);
        closed.cancel();
        received
    })
}

/// Hashes what the sink holds and announces it, page by page. Stops quietly when a chunk cannot be
/// read (it is not held, then) or the connection has ended (the other thread notices too).
fn claim(
    sink: &dyn Sink,
    layout: Layout,
    id: u32,
    say: impl Fn(Vec<u8>) -> Result<(), WireError>,
    claimed: Sender<Digest>,
) {
    let mut buffer = vec![0; buffer_size(&layout)];
    let mut page = ClaimsPage { first: 0, digests: Vec::with_capacity(PAGE), last: false };
    for index in 0..layout.whole_chunks(sink.held()) {
        let length = layout.length(index).unwrap_or(0);
        let Some(bytes) = buffer.get_mut(..length) else { break };
        if sink.read_held(layout.offset(index), bytes).is_err() {
            break;
        }
        let digest = chunk_digest(&layout, index, bytes);
        // The writing thread must know a claim before the peer can act on it.
        if claimed.send(digest).is_err() {
            return;
        }
        page.digests.push(digest);
        if page.digests.len() == PAGE {
            if say(page.encode(id)).is_err() {
                return;
            }
            page.first = index + 1;
            page.digests.clear();
        }
    }
    drop(claimed);
    page.last = true;
    let _ = say(page.encode(id));
}

struct Receiving<'a> {
    sink: &'a dyn Sink,
    layout: Layout,
    roots: RootBuilder,
    /// First chunk that is neither received nor known to be held.
    next: u32,
    /// Claims in order, the first one for chunk `next`.
    claims: Receiver<Digest>,
    /// Chunks whose recipes were wrong; their bytes are on their way.
    again: Vec<u32>,
    /// A chunk that is put together.
    assembled: Vec<u8>,
    meter: &'a Meter,
    moved: u64,
    reused: u64,
}

impl Receiving<'_> {
    fn run(
        &mut self,
        mut end: ReceivingEnd,
        out: &FrameSender,
        seek: impl Fn(u8) -> Result<(), TransferError>,
    ) -> Result<Outcome, TransferError> {
        let mut is_sought = false;
        loop {
            let (prefix, flags) = match end.next().ok_or(TransferError::Interrupted)? {
                Incoming::Chunk(prefix, buffer) => {
                    self.chunk(&prefix, &buffer)?;
                    (prefix, 0)
                }
                Incoming::Recipe(prefix, buffer) => {
                    let is_made = self.recipe(&prefix, &buffer)?;
                    (prefix, if is_made { 0 } else { AGAIN })
                }
                Incoming::Seek(log2) => {
                    if is_sought || !limits::PIECE_LOG2.contains(&log2) {
                        return Err(TransferError::Protocol("asked for pieces twice or too small"));
                    }
                    is_sought = true;
                    seek(log2)?;
                    continue;
                }
                Incoming::End(root) => return self.end(root),
            };
            let index = prefix.index.to_be_bytes();
            out.acknowledge(frame::flagged(Kind::Ack, flags, end.id(), &index))?;
        }
    }

    fn chunk(&mut self, prefix: &ChunkPrefix, buffer: &ChunkBuffer) -> Result<(), TransferError> {
        let index = prefix.index;
        let repeated = self.again.iter().position(|&again| again == index);
        match repeated {
            Some(position) => drop(self.again.swap_remove(position)),
            None => self.begin(index)?,
        }
        if chunk_digest(&self.layout, index, buffer.chunk()) != prefix.digest {
            return Err(TransferError::Chunk { index });
        }
        self.store(prefix, buffer.chunk(), buffer.chunk().len())
    }

    /// Makes a chunk of the present version; `false` if it does not have its digest: its bytes are
    /// asked for then.
    fn recipe(
        &mut self,
        prefix: &ChunkPrefix,
        buffer: &ChunkBuffer,
    ) -> Result<bool, TransferError> {
        let index = prefix.index;
        self.begin(index)?;
        let mut chunk = std::mem::take(&mut self.assembled);
        chunk.resize(self.layout.length(index).unwrap_or(0), 0);
        let recipe = buffer.chunk();
        let is_made = follow(recipe, self.sink, &mut chunk)?
            && chunk_digest(&self.layout, index, &chunk) == prefix.digest;
        if is_made {
            self.store(prefix, &chunk, literal_bytes(recipe))?;
        } else {
            self.again.push(index);
        }
        self.assembled = chunk;
        Ok(is_made)
    }

    /// Takes what stands before chunk `index` as held, and the claim for it as void: the sender has
    /// something else.
    fn begin(&mut self, index: u32) -> Result<(), TransferError> {
        if index < self.next {
            return Err(TransferError::Protocol("a chunk came twice or out of order"));
        }
        self.hold_up_to(index)?;
        self.next_claim()?;
        self.next = index + 1;
        Ok(())
    }

    /// Writes a chunk that has its digest; `sent` of its bytes crossed the wire.
    fn store(
        &mut self,
        prefix: &ChunkPrefix,
        bytes: &[u8],
        sent: usize,
    ) -> Result<(), TransferError> {
        self.sink.write_at(self.layout.offset(prefix.index), bytes)?;
        self.insert(prefix.index, prefix.digest)?;
        let (moved, reused) = (sent as u64, (bytes.len() - sent) as u64);
        self.moved += moved;
        self.meter.moved(moved);
        if reused > 0 {
            self.reused += reused;
            self.meter.reused(reused);
        }
        Ok(())
    }

    fn end(&mut self, expected: Digest) -> Result<Outcome, TransferError> {
        self.hold_up_to(self.layout.count())?;
        let received =
            self.roots.finish().map_err(|_| TransferError::Protocol("chunks missing"))?;
        if received != expected {
            return Err(TransferError::Root { expected, received });
        }
        self.sink.commit()?;
        let (moved, reused) = (self.moved, self.reused);
        Ok(Outcome { size: self.layout.size(), root: expected, moved, reused })
    }

    /// Takes the claims for all chunks before `index` as confirmed: the sender skipped them.
    fn hold_up_to(&mut self, index: u32) -> Result<(), TransferError> {
        while self.next < index {
            let held = self.next;
            let digest = self.next_claim()?;
            let digest = digest.ok_or(TransferError::Protocol("skipped what was not claimed"))?;
            self.next = held + 1;
            self.insert(held, digest)?;
            let length = self.layout.length(held).unwrap_or(0) as u64;
            self.reused += length;
            self.meter.reused(length);
        }
        Ok(())
    }

    fn next_claim(&self) -> Result<Option<Digest>, TransferError> {
        match self.claims.try_recv() {
            Ok(digest) => Ok(Some(digest)),
            Err(TryRecvError::Disconnected) => Ok(None),
            Err(TryRecvError::Empty) => {
                Err(TransferError::Protocol("went past what was claimed so far"))
            }
        }
    }

    fn insert(&mut self, index: u32, digest: Digest) -> Result<(), TransferError> {
        self.roots.insert(index, digest).map_err(|_| TransferError::Protocol("chunk order"))
    }
}
