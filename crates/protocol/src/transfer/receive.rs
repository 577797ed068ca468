//! The receiving half: hash what is held, verify and write what comes, compare the root, commit.

use std::sync::Arc;
use std::sync::mpsc::channel;

use tokio::runtime::Handle;

use super::assemble::{copied_until, follow, literal_bytes, tell_pieces};
use super::ends::{Incoming, ReceivingEnd};
use super::have_list::HaveList;
use super::order::{Arrival, Order};
use super::{Meter, Outcome, TransferError};
use crate::frame::{self, ChunkPrefix};
use crate::limits;
use crate::wire::{ChunkBuffer, FrameSender};
use sealane_base::files::Sink;
use sealane_base::types::digest::chunk_digest;
use sealane_base::types::{Digest, Layout, RootBuilder};

/// Receives a file into `sink` and commits it.
///
/// `announces` says whether this end announced a have-list. Blocks: run it on a thread of a runtime
/// that may; it starts two more threads to hash what is held, and one to cut the present version if
/// the sender asks for its pieces. It ends early when the route of `end` is closed.
///
/// Memory: 2 chunks, 512 KiB more while the have-list is made, and 32 bytes for each chunk held;
/// where data has shifted 1 more chunk and 8 average pieces (4 MiB at most); over several
/// connections up to [`TRANSFER_MEMORY`](limits::TRANSFER_MEMORY) of chunks.
///
/// # Errors
/// [`TransferError`]; what was acknowledged stays in the sink's partial, the file under the name is
/// as it was.
pub fn receive(
    sink: &Arc<dyn Sink>,
    announces: bool,
    end: ReceivingEnd,
    out: &FrameSender,
    meter: &Meter,
) -> Result<Outcome, TransferError> {
    let (id, layout) = (end.id(), end.layout());
    let (list, listed) = channel();
    let have_list = announces.then(|| HaveList::new(sink.as_ref(), layout, id, list));
    let have_list = have_list.as_ref();
    let (runtime, closed) = (Handle::current(), end.closed());
    let (runtime, closed) = (&runtime, &closed);
    // Whoever ends the transfer need not wait until the peer takes what was said.
    let say = move |page: Vec<u8>| out.send_blocking_until(page, runtime, closed);
    std::thread::scope(|scope| {
        if let Some(have_list) = have_list {
            have_list.start(scope, say)?;
        }
        let mut receiver = Receiving {
            sink: sink.as_ref(),
            layout,
            held: Held { layout, roots: RootBuilder::new(layout), meter, reused: 0 },
            order: Order::new(listed),
            have_list,
            again: Vec::new(),
            assembled: Vec::new(),
            moved: 0,
        };
        let seek = |log2| {
            let is_needed = move |position| {
                have_list.inspect(|have_list| have_list.wait_for_need(position));
                !closed.is_cancelled()
            };
            have_list.inspect(|have_list| have_list.pause());
            let tell = move || {
                tell_pieces(sink.as_ref(), log2, id, say, is_needed);
                have_list.inspect(|have_list| have_list.go_on());
            };
            let thread = std::thread::Builder::new().name("pieces".into());
            let started = thread.spawn_scoped(scope, tell);
            started.map(drop).map_err(|_| {
                have_list.inspect(|have_list| have_list.go_on());
                TransferError::Thread
            })
        };
        let received = receiver.run(end, out, seek);
        closed.cancel();
        have_list.inspect(|have_list| have_list.give_up());
        received
    })
}

struct Receiving<'a> {
    sink: &'a dyn Sink,
    layout: Layout,
    order: Order,
    /// Those that are being made.
    have_list: Option<&'a HaveList<'a>>,
    held: Held<'a>,
    /// Chunks whose recipes were wrong; their bytes are on their way.
    again: Vec<u32>,
    /// A chunk that is put together.
    assembled: Vec<u8>,
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

    /// Takes a chunk of the have-list as confirmed: the sender skipped it.
    fn skipped(&mut self, index: u32, digest: Digest) -> Result<(), TransferError> {
        self.insert(index, digest)?;
        let length = self.layout.length(index).unwrap_or(0) as u64;
        self.reused += length;
        self.meter.reused(length);
        Ok(())
    }
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
            let incoming = end.next().ok_or(TransferError::Interrupted)?;
            let shared = end.connections().have_been();
            let (prefix, again, joined) = match incoming {
                Incoming::Chunk(prefix, buffer, joined) => {
                    self.chunk(&prefix, &buffer, shared)?;
                    end.connections().moved(buffer.chunk().len() as u64);
                    (prefix, false, joined)
                }
                Incoming::Recipe(prefix, buffer) => {
                    let is_made = self.recipe(&prefix, &buffer, shared)?;
                    end.connections().moved(buffer.chunk().len() as u64);
                    (prefix, !is_made, None)
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
            let ack = frame::acknowledgement(end.id(), prefix.index, again);
            match joined {
                // If that connection is gone, the sender sends this chunk again.
                Some(joined) => drop(joined.acknowledge(ack)),
                None => out.acknowledge(ack)?,
            }
        }
    }

    fn chunk(
        &mut self,
        prefix: &ChunkPrefix,
        buffer: &ChunkBuffer,
        shared: bool,
    ) -> Result<(), TransferError> {
        let index = prefix.index;
        let repeated = self.again.iter().position(|&again| again == index);
        match repeated {
            Some(position) => drop(self.again.swap_remove(position)),
            None if self.begin(index, shared)? == Arrival::Again => return Ok(()),
            None => {}
        }
        if chunk_digest(&self.layout, index, buffer.chunk()) != prefix.digest {
            return Err(TransferError::Chunk { index });
        }
        self.learn(index, None);
        self.store(prefix, buffer.chunk(), buffer.chunk().len())
    }

    /// Makes a chunk of the present version; `false` if it does not have its digest: its bytes are
    /// asked for then.
    fn recipe(
        &mut self,
        prefix: &ChunkPrefix,
        buffer: &ChunkBuffer,
        shared: bool,
    ) -> Result<bool, TransferError> {
        let index = prefix.index;
        if self.begin(index, shared)? == Arrival::Again {
            // Over the session's own connection alone, and nothing is lost there.
            return Err(TransferError::Protocol("a recipe came twice"));
        }
        let mut chunk = std::mem::take(&mut self.assembled);
        chunk.resize(self.layout.length(index).unwrap_or(0), 0);
        let recipe = buffer.chunk();
        let is_made = follow(recipe, self.sink, &mut chunk)?
            && chunk_digest(&self.layout, index, &chunk) == prefix.digest;
        if is_made {
            let end = self.layout.offset(index) + chunk.len() as u64;
            let shift = copied_until(recipe).and_then(|until| until.checked_signed_diff(end));
            self.learn(index, shift);
            self.store(prefix, &chunk, literal_bytes(recipe))?;
        } else {
            self.again.push(index);
        }
        self.assembled = chunk;
        Ok(is_made)
    }

    /// The have-list was wrong about chunk `index`; this is where the present version has
    /// what follows it.
    fn learn(&self, index: u32, shift: Option<i64>) {
        self.have_list.inspect(|have_list| have_list.learn(index, shift));
    }

    /// Chunk `index` comes; what turns out to have been skipped is held.
    fn begin(&mut self, index: u32, shared: bool) -> Result<Arrival, TransferError> {
        let held = &mut self.held;
        self.order.begin(index, shared, |index, digest| held.skipped(index, digest))
    }

    /// Writes a chunk that has its digest; `sent` of its bytes crossed the wire.
    fn store(
        &mut self,
        prefix: &ChunkPrefix,
        bytes: &[u8],
        sent: usize,
    ) -> Result<(), TransferError> {
        self.sink.write_at(self.layout.offset(prefix.index), bytes)?;
        self.held.insert(prefix.index, prefix.digest)?;
        let (moved, reused) = (sent as u64, (bytes.len() - sent) as u64);
        self.moved += moved;
        self.held.meter.moved(moved);
        if reused > 0 {
            self.held.reused += reused;
            self.held.meter.reused(reused);
        }
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
        Ok(Outcome { size: self.layout.size(), root: expected, moved, reused, grew: false })
    }
}
