//! Which transfer a `CHUNK`, `END`, `CLAIMS` or `ACK` belongs to.
//!
//! The task that reads a connection delivers those frames here; the jobs of each transfer take
//! them from their end. A frame for a transfer that is over is dropped: the peer sent it before it
//! could know.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::buffers::{buffer_size, buffers};
use super::connections::{ConnectionPool, OWN, Progress};
use super::ends::{Incoming, PeerEvent, ReceivingEnd, SendingEnd};
use crate::frame::{self, AGAIN, ChunkPrefix, ClaimsPage, FrameError};
use crate::pieces::PiecesPage;
use crate::wire::{BufferPool, FrameReader, FrameSender, Memory, Share, WireError};
use crate::{Header, Kind, limits};
use sealane_base::types::{Digest, Layout};

/// Pages of the have-list that may wait for the sender.
const EVENTS: usize = 64;

type Pool = Arc<tokio::sync::Mutex<BufferPool>>;

#[derive(Debug)]
struct Inlet {
    layout: Layout,
    /// For the session's own connection, which must not wait for the others.
    pool: Pool,
    /// For all connections that joined together.
    joined_pool: Pool,
    chunks: mpsc::Sender<Incoming>,
    _until_closed: DropGuard,
}

#[derive(Clone, Debug)]
enum Delivery {
    Receiving(Arc<Inlet>),
    /// With the size of the file.
    Sending(mpsc::Sender<PeerEvent>, u64),
}

impl Delivery {
    fn size(&self) -> u64 {
        match self {
            Self::Receiving(inlet) => inlet.layout.size(),
            Self::Sending(_, size) => *size,
        }
    }
}

/// The transfers of one session, and the connections they share.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    deliveries: Arc<Mutex<HashMap<u32, Delivery>>>,
    connections: ConnectionPool,
    /// What the session's own connection may use of the server's memory; `None` for a client.
    share: Option<Share>,
    memory: Option<Memory>,
    /// As `share`, for what is sent.
    sending: Option<Share>,
    /// How long a transfer may stand still; for ever if `None`.
    stall: Option<Duration>,
}

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

/// A connection that has joined a session, as long as it is held. Chunks that were sent over it and
/// not acknowledged go over another one when it is dropped.
#[derive(Debug)]
pub struct PooledConnection {
    routes: Routes,
    number: u32,
    out: FrameSender,
    share: Option<Share>,
}

impl PooledConnection {
    /// As [`Routes::deliver`], for a frame that came over this connection.
    ///
    /// # Errors
    /// As [`Routes::deliver`]; [`FrameError::State`] for what only the
    /// session's own connection may carry.
    pub async fn deliver<R: AsyncRead + Unpin>(
        &self,
        header: &Header,
        reader: &mut FrameReader<R>,
    ) -> Result<(), WireError> {
        self.routes.deliver_from(Some(self), header, reader).await
    }
}

impl Drop for PooledConnection {
    fn drop(&mut self) {
        self.routes.leave(self.number);
    }
}

impl Routes {
    /// Transfers that receive into `memory` and send from `sending`, which other sessions use too,
    /// and end when their peer makes no progress for as long as `stall`.
    #[must_use]
    pub fn within(memory: &Memory, sending: &Memory, stall: Duration) -> Self {
        let (share, memory) = (Some(memory.share()), Some(memory.clone()));
        let (sending, stall) = (Some(sending.share()), Some(stall));
        Self { share, memory, sending, stall, ..Self::default() }
    }

    /// Opens the route of a transfer that receives a file of `layout` under `id`.
    #[must_use]
    pub fn receive(&self, id: u32, layout: Layout) -> (Route, ReceivingEnd) {
        let own = limits::WINDOW;
        let others = buffers(&layout).saturating_sub(own).max(1);
        let (chunks, incoming) = mpsc::channel(own + others + 1);
        let size = buffer_size(&layout);
        let pool = |count| {
            let pool = match &self.share {
                Some(share) => BufferPool::sharing(count, size, share),
                None => BufferPool::new(count, size),
            };
            Arc::new(tokio::sync::Mutex::new(pool))
        };
        let closed = CancellationToken::new();
        let (pool, joined_pool, _until_closed) =
            (pool(own), pool(others), closed.clone().drop_guard());
        let inlet = Inlet { layout, pool, joined_pool, chunks, _until_closed };
        let route = self.open(id, Delivery::Receiving(Arc::new(inlet)));
        let (connections, stall) = (self.connections.clone(), self.stall);
        (route, ReceivingEnd { id, layout, incoming, closed, connections, stall })
    }

    /// Opens the route of a transfer that sends a file of `size` bytes under `id`.
    #[must_use]
    pub fn send(&self, id: u32, size: u64) -> (Route, SendingEnd) {
        let (deliver, events) = mpsc::channel(EVENTS);
        let route = self.open(id, Delivery::Sending(deliver, size));
        let (connections, stall) = (self.connections.clone(), self.stall);
        (route, SendingEnd { id, events, connections, stall, share: self.sending.clone() })
    }

    /// Ends the transfer `id`, if it is there: its jobs find their end closed.
    pub fn close(&self, id: u32) {
        self.lock().remove(&id);
    }

    /// Ends every transfer: the connection is gone.
    pub fn close_all(&self) {
        self.lock().clear();
    }

    /// Lets transfers use a further connection as long as the result is held. Its frames are given
    /// to [`PooledConnection::deliver`].
    #[must_use]
    pub fn join(&self, out: FrameSender) -> PooledConnection {
        let number = self.connections.add(out.clone());
        self.tell_senders();
        let share = self.memory.as_ref().map(Memory::share);
        PooledConnection { routes: self.clone(), number, out, share }
    }

    /// Says that chunks may overtake one another from now on, because another connection is about
    /// to join.
    pub fn expect_connections(&self) {
        self.connections.expect();
    }

    fn leave(&self, number: u32) {
        self.connections.remove(number);
        self.tell_senders();
    }

    /// Bytes of the largest file that is under way; `None` if none is.
    #[must_use]
    pub fn largest(&self) -> Option<u64> {
        self.lock().values().map(Delivery::size).max()
    }

    /// How far the transfers are, all together, those that are over included.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.connections.progress()
    }

    fn tell_senders(&self) {
        for delivery in self.lock().values() {
            if let Delivery::Sending(events, _) = delivery {
                // One with other events waiting looks at the connections after those.
                let _ = events.try_send(PeerEvent::ConnectionsChanged);
            }
        }
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
        self.deliver_from(None, header, reader).await
    }

    async fn deliver_from<R: AsyncRead + Unpin>(
        &self,
        joined: Option<&PooledConnection>,
        header: &Header,
        reader: &mut FrameReader<R>,
    ) -> Result<(), WireError> {
        if joined.is_some() && !matches!(header.kind, Kind::Chunk | Kind::Ack) {
            return Err(FrameError::State(header.kind).into());
        }
        if matches!(header.kind, Kind::Chunk | Kind::Recipe) {
            return self.deliver_chunk(joined, header, reader).await;
        }
        if header.kind == Kind::Ack {
            return self.deliver_acknowledgement(joined, header, reader).await;
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
            (Some(Delivery::Sending(events, _)), Kind::Pieces) => {
                let page = PiecesPage::decode(header, &body)?;
                let _ = events.send(PeerEvent::Pieces(page)).await;
                Ok(())
            }
            (Some(Delivery::Sending(events, _)), Kind::Claims) => {
                let page = ClaimsPage::decode(header, &body)?;
                let _ = events.send(PeerEvent::HaveList(page)).await;
                Ok(())
            }
            (Some(_), kind) => Err(FrameError::State(kind).into()),
        }
    }

    /// There is one for each chunk, so it is read without memory of its own.
    async fn deliver_acknowledgement<R: AsyncRead + Unpin>(
        &self,
        joined: Option<&PooledConnection>,
        header: &Header,
        reader: &mut FrameReader<R>,
    ) -> Result<(), WireError> {
        let mut index = [0; 4];
        let length = header.length as usize; // at most 4, by its bound
        reader.fill(index.get_mut(..length).unwrap_or_default()).await?;
        let index = u32::from_be_bytes(index);
        match self.find(header.id) {
            None => Ok(()),
            Some(Delivery::Receiving(_)) => Err(FrameError::State(header.kind).into()),
            Some(Delivery::Sending(..)) if length != 4 => Err(FrameError::Body(header.kind).into()),
            Some(Delivery::Sending(events, _)) => {
                let event = match (header.flags & AGAIN != 0, joined) {
                    (true, None) => PeerEvent::Again(index),
                    // No recipe goes there.
                    (true, Some(_)) => return Err(FrameError::State(header.kind).into()),
                    (false, joined) => {
                        PeerEvent::Acknowledged(joined.map_or(OWN, |joined| joined.number), index)
                    }
                };
                let _ = events.send(event).await;
                Ok(())
            }
        }
    }

    /// Holds nothing of the route while it waits for the peer's bytes: a route that is closed
    /// meanwhile ends its transfer at once, and what still comes is dropped.
    async fn deliver_chunk<R: AsyncRead + Unpin>(
        &self,
        joined: Option<&PooledConnection>,
        header: &Header,
        reader: &mut FrameReader<R>,
    ) -> Result<(), WireError> {
        let wrong = FrameError::Body(header.kind);
        let length = match self.find(header.id) {
            None => return reader.discard(header.length).await,
            Some(Delivery::Sending(..)) => return Err(FrameError::State(header.kind).into()),
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
        let pool = Arc::clone(if joined.is_some() { &inlet.joined_pool } else { &inlet.pool });
        drop(inlet);
        let share = joined.map_or(self.share.as_ref(), |joined| joined.share.as_ref());
        let mut buffer = pool.lock().await.take_of(share).await;
        reader.fill(buffer.resize(length)).await?;
        if let Some(Delivery::Receiving(inlet)) = self.find(header.id) {
            let incoming = match header.kind {
                Kind::Recipe => Incoming::Recipe(prefix, buffer),
                _ => Incoming::Chunk(prefix, buffer, joined.map(|joined| joined.out.clone())),
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
        self.deliveries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
