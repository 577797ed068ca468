//! The receiving half: hash what is held, verify and write what comes, compare the root, commit.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};

use tokio::runtime::Handle;

use super::routes::{Incoming, ReceivingEnd};
use super::send::buffer_size;
use super::{Meter, Outcome, TransferError};
use crate::protocol::Kind;
use crate::protocol::frame::{self, ChunkPrefix, ClaimsPage};
use crate::storage::Sink;
use crate::types::digest::chunk_digest;
use crate::types::{Digest, Layout, RootBuilder};
use crate::wire::{ChunkBuffer, FrameSender, WireError};

/// Digests in a page of claims: small enough that the sender can begin while the rest is hashed.
const PAGE: usize = 16;

/// Receives a file into `sink` and commits it.
///
/// `claims` says whether this end announced claims. Blocks: run it on a thread of a runtime that may; it starts one
/// more thread to hash what is held. It ends early when the route of `end` is closed.
///
/// Memory: 2 chunks, 1 more while claiming, and 32 bytes for each chunk held.
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
        let closed = end.closed();
        if claims {
            // Whoever ends the transfer need not wait until the peer takes what was claimed.
            let (runtime, closed) = (Handle::current(), closed.clone());
            let say = move |page: Vec<u8>| out.send_blocking_until(page, &runtime, &closed);
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
            meter,
            moved: 0,
            reused: 0,
        };
        receiver.run(end, out).inspect_err(|_| closed.cancel())
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
    meter: &'a Meter,
    moved: u64,
    reused: u64,
}

impl Receiving<'_> {
    fn run(&mut self, mut end: ReceivingEnd, out: &FrameSender) -> Result<Outcome, TransferError> {
        loop {
            match end.next().ok_or(TransferError::Interrupted)? {
                Incoming::Chunk(prefix, buffer) => {
                    self.chunk(&prefix, &buffer)?;
                    let index = prefix.index.to_be_bytes();
                    out.acknowledge(frame::fixed(Kind::Ack, end.id(), &index))?;
                }
                Incoming::End(root) => return self.end(root),
            }
        }
    }

    fn chunk(&mut self, prefix: &ChunkPrefix, buffer: &ChunkBuffer) -> Result<(), TransferError> {
        let index = prefix.index;
        if index < self.next {
            return Err(TransferError::Protocol("a chunk came twice or out of order"));
        }
        self.hold_up_to(index)?;
        if chunk_digest(&self.layout, index, buffer.chunk()) != prefix.digest {
            return Err(TransferError::Chunk { index });
        }
        self.next_claim()?; // whatever was claimed for this chunk, the sender has something else
        self.sink.write_at(self.layout.offset(index), buffer.chunk())?;
        self.insert(index, prefix.digest)?;
        let length = buffer.chunk().len() as u64;
        self.moved += length;
        self.meter.moved(length);
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
        self.next = index + 1;
        self.roots.insert(index, digest).map_err(|_| TransferError::Protocol("chunk order"))
    }
}
