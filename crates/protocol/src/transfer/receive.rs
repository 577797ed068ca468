//! The receiving half: hash what is held, verify and write what comes, compare the root, commit.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use super::assemble::{copied_until, follow, literal_bytes, tell_pieces};
use super::ends::{Incoming, ReceivingEnd};
use super::have_list::HaveList;
use super::order::{Arrival, Order};
use super::tell::Teller;
use super::{Meter, Outcome, TransferError};
use crate::frame::{self, ChunkPrefix};
use crate::limits;
use crate::wire::{ChunkBuffer, FrameSender};
use sealane_base::files::Sink;
use sealane_base::types::digest::chunk_digest;
use sealane_base::types::{Digest, Layout, RootBuilder};
use sealane_base::workers::{Job, Queue, yield_turn};

/// Bytes a second that a sender may be slow to read of what it does not send.
const SLOWEST_READING: u64 = 4 << 20;

/// Receives a file into `sink` and commits it. Hashing and writing take turns in `queue`.
///
/// `announces` says whether this end announced a have-list: two more jobs of the queue hash what is
/// held then, and one cuts the present version if the sender asks for its pieces. It ends early
/// when the route of `end` is closed.
///
/// Memory: 2 chunks, and 32 bytes for each chunk held;
/// where data has shifted 1 more chunk and 8 average pieces (4 MiB at most); over several
/// connections up to [`TRANSFER_MEMORY`](limits::TRANSFER_MEMORY) of chunks.
///
/// Cancel safety: dropping the future ends the transfer; a commit that has begun is finished.
///
/// # Errors
/// [`TransferError`]; what was acknowledged stays in the sink's partial, the file under the name is
/// as it was.
pub async fn receive(
    queue: &Queue,
    sink: Arc<dyn Sink>,
    announces: bool,
    end: ReceivingEnd,
    out: FrameSender,
    meter: Arc<Meter>,
) -> Result<Outcome, TransferError> {
    queue.spawn(Receiving::new(queue, sink, announces, &end, &out, meter).run(end, out)).await
}

pub(super) struct Receiving {
    sink: Arc<dyn Sink>,
    layout: Layout,
    queue: Queue,
    teller: Teller,
    order: Order,
    /// Those that are being made.
    have_list: Option<Arc<HaveList>>,
    /// What hashes and cuts beside this.
    jobs: Vec<Job<()>>,
    /// The sender has asked for pieces.
    is_sought: bool,
    held: Held,
    /// Chunks whose recipes were wrong; their bytes are on their way.
    again: Vec<u32>,
    /// A chunk that is put together.
    assembled: Vec<u8>,
    moved: u64,
}

/// What is here and verified.
struct Held {
    layout: Layout,
    roots: RootBuilder,
    meter: Arc<Meter>,
    reused: u64,
}

impl Held {
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

impl Receiving {
    pub(super) fn new(
        queue: &Queue,
        sink: Arc<dyn Sink>,
        announces: bool,
        end: &ReceivingEnd,
        out: &FrameSender,
        meter: Arc<Meter>,
    ) -> Self {
        let layout = end.layout();
        let (list, listed) = channel();
        let teller = Teller::new(end.id(), out.clone(), end.closed());
        let have_list = announces
            .then(|| Arc::new(HaveList::new(Arc::clone(&sink), layout, teller.clone(), list)));
        let jobs = have_list.iter().flat_map(|have_list| have_list.start(queue)).collect();
        Self {
            sink,
            layout,
            queue: queue.clone(),
            teller,
            held: Held { layout, roots: RootBuilder::new(layout), meter, reused: 0 },
            order: Order::new(listed),
            have_list,
            jobs,
            is_sought: false,
            again: Vec::new(),
            assembled: Vec::new(),
            moved: 0,
        }
    }

    pub(super) async fn run(
        mut self,
        mut end: ReceivingEnd,
        out: FrameSender,
    ) -> Result<Outcome, TransferError> {
        let received = match self.take_chunks(&mut end, &out).await {
            Ok(root) => self.end(root).await,
            Err(error) => Err(error),
        };
        end.closed().cancel();
        if let Some(have_list) = &self.have_list {
            have_list.give_up();
        }
        // What is held stays as it is from here on.
        for job in self.jobs {
            job.await;
        }
        received
    }

    /// Takes what comes, until the end of the file.
    async fn take_chunks(
        &mut self,
        end: &mut ReceivingEnd,
        out: &FrameSender,
    ) -> Result<Digest, TransferError> {
        loop {
            let incoming = end.next(self.silence()).await?;
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
                    self.seek(log2)?;
                    continue;
                }
                Incoming::End(root) => return Ok(root),
            };
            let ack = frame::acknowledgement(end.id(), prefix.index, again);
            match joined {
                // If that connection is gone, the sender sends this chunk again.
                Some(joined) => drop(joined.acknowledge(ack)),
                None => out.acknowledge(ack)?,
            }
            yield_turn().await;
        }
    }

    /// How long an honest sender may say nothing: it reads what it does not send because it is held
    /// here.
    fn silence(&self) -> Duration {
        let unsent = if self.have_list.is_some() { self.layout.size() } else { 0 };
        Duration::from_secs(unsent / SLOWEST_READING)
    }

    /// The sender asks for the pieces of the present version, of so many bytes on average.
    fn seek(&mut self, log2: u8) -> Result<(), TransferError> {
        if std::mem::replace(&mut self.is_sought, true) || !limits::PIECE_LOG2.contains(&log2) {
            return Err(TransferError::Protocol("asked for pieces twice or too small"));
        }
        let (sink, teller) = (Arc::clone(&self.sink), self.teller.clone());
        let have_list = self.have_list.clone();
        if let Some(have_list) = &have_list {
            have_list.pause();
        }
        self.jobs.push(self.queue.spawn(async move {
            tell_pieces(&*sink, log2, &teller, have_list.as_deref()).await;
            if let Some(have_list) = &have_list {
                have_list.go_on();
            }
        }));
        Ok(())
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
        let is_made = follow(recipe, &*self.sink, &mut chunk)?
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
        if let Some(have_list) = &self.have_list {
            have_list.learn(index, shift);
        }
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

    async fn end(&mut self, expected: Digest) -> Result<Outcome, TransferError> {
        let held = &mut self.held;
        self.order.end(self.layout.count(), |index, digest| held.skipped(index, digest))?;
        let roots = std::mem::replace(&mut held.roots, RootBuilder::new(self.layout));
        let received = roots.finish().map_err(|_| TransferError::Protocol("chunks missing"))?;
        if received != expected {
            return Err(TransferError::Root { expected, received });
        }
        let sink = Arc::clone(&self.sink);
        self.queue.run_long(move || sink.commit()).await?;
        let (moved, reused) = (self.moved, self.held.reused);
        Ok(Outcome { size: self.layout.size(), root: expected, moved, reused, grew: false })
    }
}
