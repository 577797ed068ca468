//! Telling a silent peer from a dead one: pings, and the answers to them.
//!
//! What else a frame means is for whoever reads it.

use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::time::timeout;

use crate::wire::{FrameReader, FrameSender, WireError};
use crate::{Header, Kind, frame};

/// The header of the next frame, or `None` at the end. A peer that is silent for half of `silence`
/// is pinged.
///
/// Cancel safety: as [`FrameReader::header`].
///
/// # Errors
/// [`WireError::Stalled`] after `silence`; those of [`FrameReader::header`].
pub async fn heard<R: AsyncRead + Unpin>(
    reader: &mut FrameReader<R>,
    out: &FrameSender,
    silence: Duration,
) -> Result<Option<Header>, WireError> {
    if let Ok(header) = timeout(silence / 2, reader.header()).await {
        return header;
    }
    out.offer(frame::fixed(Kind::Ping, 0, &[0; 8]));
    let header = timeout(silence / 2, reader.header()).await;
    header.unwrap_or(Err(WireError::Stalled(silence)))
}

/// Answers a `PING`.
///
/// # Errors
/// Those of [`FrameReader::body`].
pub async fn pong<R: AsyncRead + Unpin>(
    header: &Header,
    reader: &mut FrameReader<R>,
    out: &FrameSender,
) -> Result<(), WireError> {
    let body: [u8; 8] = frame::exactly(header.kind, &reader.body(header).await?)?;
    out.offer(frame::fixed(Kind::Pong, 0, &body));
    Ok(())
}
