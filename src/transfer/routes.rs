//! Which transfer a `CHUNK`, `END`, `CLAIMS` or `ACK` belongs to.
//!
//! The task that reads a connection delivers those frames here; the threads of each transfer take
//! them from their end. A frame for a transfer that is over is dropped: the peer sent it before it
//! could know.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::AsyncRead;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::send::buffer_size;
use crate::protocol::frame::{self, AGAIN, ChunkPrefix, ClaimsPage, FrameError};
use crate::protocol::pieces::PiecesPage;
use crate::protocol::{Header, Kind, limits};
use crate::types::{Digest, Layout};
use crate::wire::{BufferPool, ChunkBuffer, FrameReader, WireError};

/// Pages of claims that may wait for their sender.
const EVENTS: usize = 64;

/// What a receiver tells the sender.
#[derive(Debug)]
pub(super) enum PeerEvent {
    Acknowledged(u32),
    /// The recipe for this chunk did not make it.
    Again(u32),
    Claims(ClaimsPage),
    Pieces(PiecesPage),
}

/// What a sender tells the receiver.
#[derive(Debug)]
pub(super) enum Incoming {
    Chunk(ChunkPrefix, ChunkBuffer),
    /// The buffer holds the steps.
    Recipe(ChunkPrefix, ChunkBuffer),
    /// The pieces of the present version are wanted, by the log2 of their average.
    Seek(u8),
    End(Digest),
}

#[derive(Debug)]
struct Inlet {
    layout: Layout,
    pool: tokio::sync::Mutex<BufferPool>,
    chunks: mpsc::Sender<Incoming>,
    _until_closed: DropGuard,
}

#[derive(Clone, Debug)]
enum Delivery {
    Receiving(Arc<Inlet>),
    Sending(mpsc::Sender<PeerEvent>),
}

/// The transfers of one connection.
#[derive(Clone, Debug, Default)]
pub struct Routes(Arc<Mutex<HashMap<u32, Delivery>>>);

/// Keeps a transfer's route open; dropping it closes the route and so ends the transfer.
#[derive(Debug)]
pub struct Route {
    routes: Routes,
    id: u32,
}

impl Drop for Route {
    fn drop(&mut self) {
        self.routes.close(self.id);
    }
}

/// The receiving transfer's end of a route.
#[derive(Debug)]
pub struct ReceivingEnd {
    id: u32,
    layout: Layout,
    incoming: mpsc::Receiver<Incoming>,
    closed: CancellationToken,
}

impl ReceivingEnd {
    /// Id of the transfer.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Layout of the file.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Cancelled when the route is closed.
    pub(super) fn closed(&self) -> CancellationToken {
        self.closed.clone()
    }

    pub(super) fn next(&mut self) -> Option<Incoming> {
        self.incoming.blocking_recv()
    }
}

/// The sending transfer's end of a route.
#[derive(Debug)]
pub struct SendingEnd {
    id: u32,
    events: mpsc::Receiver<PeerEvent>,
}

impl SendingEnd {
    /// Id of the transfer.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    pub(super) fn next_event(&mut self) -> Option<PeerEvent> {
        self.events.blocking_recv()
    }
}

impl Routes {
    /// Opens the route of a transfer that receives a file of `layout` under `id`.
    #[must_use]
    pub fn receive(&self, id: u32, layout: Layout) -> (Route, ReceivingEnd) {
        let (chunks, incoming) = mpsc::channel(limits::WINDOW + 1);
        let pool = BufferPool::new(limits::WINDOW, buffer_size(&layout));
        let closed = CancellationToken::new();
        let (pool, _until_closed) = (tokio::sync::Mutex::new(pool), closed.clone().drop_guard());
        let inlet = Inlet { layout, pool, chunks, _until_closed };
        let route = self.open(id, Delivery::Receiving(Arc::new(inlet)));
        (route, ReceivingEnd { id, layout, incoming, closed })
    }

    /// Opens the route of a transfer that sends a file under `id`.
    #[must_use]
    pub fn send(&self, id: u32) -> (Route, SendingEnd) {
        let (deliver, events) = mpsc::channel(EVENTS);
        let route = self.open(id, Delivery::Sending(deliver));
        (route, SendingEnd { id, events })
    }

    /// Ends the transfer `id`, if it is there: its threads find their end closed.
    pub fn close(&self, id: u32) {
        self.lock().remove(&id);
    }

    /// Ends every transfer: the connection is gone.
    pub fn close_all(&self) {
        self.lock().clear();
    }

    /// Takes the body of a transfer frame from `reader` and hands it to its transfer.
    ///
    /// Waits while that transfer's buffers are full, which lasts as long as its disk needs.
    /// Not cancel safe: a body is lost in part.
    ///
    /// # Errors
    /// [`WireError`] if the connection ended or the frame breaks the protocol.
    pub async fn deliver<R: AsyncRead + Unpin>(
        &self,
        header: &Header,
        reader: &mut FrameReader<R>,
    ) -> Result<(), WireError> {
        if matches!(header.kind, Kind::Chunk | Kind::Recipe) {
            return self.deliver_chunk(header, reader).await;
        }
        let body = reader.body(header).await?;
        match (self.find(header.id), header.kind) {
            (None, _) => Ok(()),
            (Some(Delivery::Receiving(inlet)), Kind::End) => {
                let root = frame::exactly(header.kind, &body)?;
                // The transfer may have just ended by itself; it then needs no end.
                let _ = inlet.chunks.send(Incoming::End(Digest(root))).await;
                Ok(())
            }
            (Some(Delivery::Receiving(inlet)), Kind::Seek) => {
                let [log2] = frame::exactly(header.kind, &body)?;
                let _ = inlet.chunks.send(Incoming::Seek(log2)).await;
                Ok(())
            }
            (Some(Delivery::Sending(events)), Kind::Pieces) => {
                let page = PiecesPage::decode(header, &body)?;
                let _ = events.send(PeerEvent::Pieces(page)).await;
                Ok(())
            }
            (Some(Delivery::Sending(events)), Kind::Claims) => {
                let page = ClaimsPage::decode(header, &body)?;
                let _ = events.send(PeerEvent::Claims(page)).await;
                Ok(())
            }
            (Some(Delivery::Sending(events)), Kind::Ack) => {
                let index = u32::from_be_bytes(frame::exactly(header.kind, &body)?);
                let again = header.flags & AGAIN != 0;
                let event =
                    if again { PeerEvent::Again(index) } else { PeerEvent::Acknowledged(index) };
                let _ = events.send(event).await;
                Ok(())
            }
            (Some(_), kind) => Err(FrameError::State(kind).into()),
        }
    }

    /// Holds nothing of the route while it waits for the peer's bytes: a route that is closed
    /// meanwhile ends its transfer at once, and what still comes is dropped.
    async fn deliver_chunk<R: AsyncRead + Unpin>(
        &self,
        header: &Header,
        reader: &mut FrameReader<R>,
    ) -> Result<(), WireError> {
        let wrong = FrameError::Body(header.kind);
        let length = match self.find(header.id) {
            None => return reader.discard(header.length).await,
            Some(Delivery::Sending(_)) => return Err(FrameError::State(header.kind).into()),
            Some(_) => header.length.checked_sub(limits::CHUNK_PREFIX).ok_or(wrong)?,
        };
        let mut prefix = [0; limits::CHUNK_PREFIX as usize];
        reader.fill(&mut prefix).await?;
        let prefix = ChunkPrefix::decode(&prefix);
        let Some(Delivery::Receiving(inlet)) = self.find(header.id) else {
            return reader.discard(length).await;
        };
        let length = length as usize;
        let whole = inlet.layout.length(prefix.index).ok_or(wrong)?;
        let fits = if header.kind == Kind::Recipe { length < whole } else { length == whole };
        if !fits {
            return Err(wrong.into());
        }
        let mut buffer = inlet.pool.lock().await.take().await;
        drop(inlet);
        reader.fill(buffer.resize(length)).await?;
        if let Some(Delivery::Receiving(inlet)) = self.find(header.id) {
            let incoming = match header.kind {
                Kind::Recipe => Incoming::Recipe(prefix, buffer),
                _ => Incoming::Chunk(prefix, buffer),
            };
            let _ = inlet.chunks.send(incoming).await;
        }
        Ok(())
    }

    fn find(&self, id: u32) -> Option<Delivery> {
        self.lock().get(&id).cloned()
    }

    fn open(&self, id: u32, delivery: Delivery) -> Route {
        self.lock().insert(id, delivery);
        Route { routes: self.clone(), id }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u32, Delivery>> {
        // A panic elsewhere cannot leave the map half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
