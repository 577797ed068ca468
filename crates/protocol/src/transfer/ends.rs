//! The two ends of a transfer, and what the tasks that read connections hand to them.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::TransferError;
use super::connections::ConnectionPool;
use crate::frame::{ChunkPrefix, ClaimsPage};
use crate::pieces::PiecesPage;
use crate::wire::{ChunkBuffer, FrameSender, Share};
use sealane_base::types::{Digest, Layout};

/// What a receiver tells the sender.
#[derive(Debug)]
pub(super) enum PeerEvent {
    /// By connection and index.
    Acknowledged(u32, u32),
    /// The recipe for this chunk did not make it.
    Again(u32),
    /// Connections have joined or left.
    ConnectionsChanged,
    HaveList(ClaimsPage),
    Pieces(PiecesPage),
}

/// What a sender tells the receiver.
#[derive(Debug)]
pub(super) enum Incoming {
    /// With the connection over which it came, unless that is the session's own.
    Chunk(ChunkPrefix, ChunkBuffer, Option<FrameSender>),
    /// The buffer holds the steps.
    Recipe(ChunkPrefix, ChunkBuffer),
    /// The pieces of the present version are wanted, by the log2 of their average.
    Seek(u8),
    End(Digest),
}

/// The receiving transfer's end of a route.
#[derive(Debug)]
pub struct ReceivingEnd {
    pub(super) id: u32,
    pub(super) layout: Layout,
    pub(super) incoming: mpsc::Receiver<Incoming>,
    pub(super) closed: CancellationToken,
    pub(super) connections: ConnectionPool,
    pub(super) stall: Option<Duration>,
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

    /// What comes next; `silence` may be legitimate besides the deadline of the transfer.
    pub(super) async fn next(&mut self, silence: Duration) -> Result<Incoming, TransferError> {
        let stall = self.stall.map(|stall| stall.saturating_add(silence));
        within(stall, self.incoming.recv()).await
    }

    pub(super) fn connections(&self) -> &ConnectionPool {
        &self.connections
    }
}

/// The sending transfer's end of a route.
#[derive(Debug)]
pub struct SendingEnd {
    pub(super) id: u32,
    pub(super) events: mpsc::Receiver<PeerEvent>,
    /// Memory for what is sent, if others use it too.
    pub(super) share: Option<Share>,
    pub(super) connections: ConnectionPool,
    pub(super) stall: Option<Duration>,
}

impl SendingEnd {
    /// Id of the transfer.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    pub(super) async fn next_event(&mut self) -> Result<PeerEvent, TransferError> {
        within(self.stall, self.events.recv()).await
    }

    pub(super) fn connections(&self) -> &ConnectionPool {
        &self.connections
    }
}

/// What the peer sends next, if that comes within the deadline.
async fn within<T>(
    stall: Option<Duration>,
    next: impl Future<Output = Option<T>>,
) -> Result<T, TransferError> {
    let next = match stall {
        Some(stall) => {
            tokio::time::timeout(stall, next).await.map_err(|_| TransferError::Stalled)?
        }
        None => next.await,
    };
    next.ok_or(TransferError::Interrupted)
}
