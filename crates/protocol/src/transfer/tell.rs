//! What a receiver tells its sender besides acknowledgements, as long as the transfer lasts.

use tokio_util::sync::CancellationToken;

use crate::frame::ClaimsPage;
use crate::pieces::PiecesPage;
use crate::wire::{FrameSender, WireError};

/// Sends pages of one transfer until its route is closed. Cloning shares it.
#[derive(Clone, Debug)]
pub(super) struct Teller {
    id: u32,
    out: FrameSender,
    closed: CancellationToken,
}

impl Teller {
    pub(super) fn new(id: u32, out: FrameSender, closed: CancellationToken) -> Self {
        Self { id, out, closed }
    }

    pub(super) async fn claims(&self, page: &ClaimsPage) -> Result<(), WireError> {
        self.say(page.encode(self.id)).await
    }

    pub(super) async fn pieces(&self, page: &PiecesPage) -> Result<(), WireError> {
        self.say(page.encode(self.id)).await
    }

    pub(super) fn is_over(&self) -> bool {
        self.closed.is_cancelled()
    }

    /// Who ends the transfer need not wait until the peer takes what was said.
    async fn say(&self, frame: Vec<u8>) -> Result<(), WireError> {
        tokio::select! {
            sent = self.out.send(frame) => sent,
            () = self.closed.cancelled() => Err(WireError::Closed),
        }
    }
}
