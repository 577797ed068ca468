//! The receiving half: hash what is held, verify and write what comes, compare the root, commit.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use super::order::{Order, Place};
use super::routes::{Incoming, ReceivingEnd};
use super::send::buffer_size;
use super::{Meter, Outcome, TransferError};
use crate::protocol::Kind;
use crate::protocol::frame::{self, ChunkPrefix, ClaimsPage};
use crate::storage::Sink;
use crate::types::digest::chunk_digest;
use crate::types::{Digest, Layout, RootBuilder};
use crate::wire::{ChunkBuffer, FrameSender};

/// Digests in a page of claims: small enough that the sender can begin while the rest is hashed.
const PAGE: usize = 16;

/// Receives a file into `sink` and commits it.
///
/// `claims` says whether this end announced claims. Blocks: run it on a thread that may; it starts one
/// more thread to hash what is held. It ends early when the route of `end` is closed.
///
/// Memory: 2 chunks, 1 more while claiming, and 32 bytes for each chunk held; over several connections up to
/// [`TRANSFER_MEMORY`](crate::protocol::limits::TRANSFER_MEMORY) of chunks.
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
    std::thread::scope(|scope| {
        if claims {
            let hash = || claim(sink.as_ref(), layout, id, out, claimed);
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
            held: Held { layout, roots: RootBuilder::new(layout), meter, reused: 0 },
            order: Order::new(claims_made),
            moved: 0,
        };
        receiver.run(end, out)
    })
}

/// Hashes what the sink holds and announces it, page by page. Stops quietly when a chunk cannot be
/// read (it is not held, then) or the connection has ended (the other thread notices too).
fn claim(sink: &dyn Sink, layout: Layout, id: u32, out: &FrameSender, claimed: Sender<Digest>) {
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
            if out.send_blocking(page.encode(id)).is_err() {
                return;
            }
            page.first = index + 1;
            page.digests.clear();
        }
    }
    drop(claimed);
    page.last = true;
    let _ = out.send_blocking(page.encode(id));
}

struct Receiving<'a> {
    sink: &'a dyn Sink,
    layout: Layout,
    order: Order,
    held: Held<'a>,
    moved: u64,
}

/// What is here and verified.
struct Held<'a> {
    layout: Layout,
    roots: RootBuilder,
    meter: &'a Meter,
    reused: u64,
}

impl Held<'_> {
    fn insert(&mut self, index: u32, digest: Digest) -> Result<(), TransferError> {
        self.roots.insert(index, digest).map_err(|_| TransferError::Protocol("chunk order"))
    }

    /// Takes the claim for a chunk as confirmed: the sender skipped it.
    fn skipped(&mut self, index: u32, digest: Digest) -> Result<(), TransferError> {
        self.insert(index, digest)?;
        let length = self.layout.length(index).unwrap_or(0) as u64;
        self.reused += length;
        self.meter.reused(length);
        Ok(())
    }
}

impl Receiving<'_> {
    fn run(&mut self, mut end: ReceivingEnd, out: &FrameSender) -> Result<Outcome, TransferError> {
        loop {
            match end.next().ok_or(TransferError::Interrupted)? {
                Incoming::Chunk(prefix, buffer, lane) => {
                    let shared = end.lanes().have_been();
                    self.chunk(&prefix, &buffer, shared)?;
                    end.lanes().moved(buffer.chunk().len() as u64);
                    drop(buffer);
                    let ack = frame::fixed(Kind::Ack, end.id(), &prefix.index.to_be_bytes());
                    match lane {
                        // If the lane is gone, so is what the sender thinks of this chunk: it comes again.
                        Some(lane) => drop(lane.acknowledge(ack)),
                        None => out.acknowledge(ack)?,
                    }
                }
                Incoming::End(root) => return self.end(root),
            }
        }
    }

    fn chunk(
        &mut self,
        prefix: &ChunkPrefix,
        buffer: &ChunkBuffer,
        shared: bool,
    ) -> Result<(), TransferError> {
        let (index, held) = (prefix.index, &mut self.held);
        let place = self.order.begin(index, shared, |index, digest| held.skipped(index, digest))?;
        if place == Place::Again {
            return Ok(());
        }
        if chunk_digest(&self.layout, index, buffer.chunk()) != prefix.digest {
            return Err(TransferError::Chunk { index });
        }
        self.sink.write_at(self.layout.offset(index), buffer.chunk())?;
        self.held.insert(index, prefix.digest)?;
        let length = buffer.chunk().len() as u64;
        self.moved += length;
        self.held.meter.moved(length);
        Ok(())
    }

    fn end(&mut self, expected: Digest) -> Result<Outcome, TransferError> {
        let held = &mut self.held;
        self.order.end(self.layout.count(), |index, digest| held.skipped(index, digest))?;
        let received =
            held.roots.finish().map_err(|_| TransferError::Protocol("chunks missing"))?;
        if received != expected {
            return Err(TransferError::Root { expected, received });
        }
        self.sink.commit()?;
        let (moved, reused) = (self.moved, self.held.reused);
        Ok(Outcome { size: self.layout.size(), root: expected, moved, reused })
    }
}
