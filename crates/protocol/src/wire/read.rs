//! The reading half of a connection.

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Instant, timeout_at};

use super::WireError;
use super::stall::{Stall, StallTimer};
use crate::frame::HEADER;
use crate::{Header, Side};

/// First step of a control body; later steps double, so that memory follows what arrived.
const FIRST_STEP: usize = 4 * 1024;

/// Reads frames that one side sends.
#[derive(Debug)]
pub struct FrameReader<R> {
    stream: R,
    from: Side,
    stall: Stall,
    header: [u8; HEADER],
    filled: usize,
    /// When the first byte of the header came: a wait that is cancelled and begun anew gains
    /// nothing.
    began: Instant,
    /// How long the peer may still be waited for in this frame.
    stall_timer: StallTimer,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// A reader of what `from` sends. Inside a frame, waiting as long as `stall` says without a
    /// byte is an error, and so is a frame that keeps coming more slowly.
    #[must_use]
    pub fn new(stream: R, from: Side, stall: impl Into<Stall>) -> Self {
        let stall = stall.into();
        let (began, stall_timer) = (Instant::now(), StallTimer::new(stall));
        Self { stream, from, stall, header: [0; HEADER], filled: 0, began, stall_timer }
    }

    /// Waits for the next header; `None` if the peer closed the connection between frames.
    ///
    /// Before the first byte it waits as long as the peer is silent; callers bound that. The body
    /// must be taken before the next header is asked for.
    ///
    /// Cancel safe: what was read of a header is kept.
    ///
    /// # Errors
    /// [`WireError`]; the connection cannot be used afterwards.
    pub async fn header(&mut self) -> Result<Option<Header>, WireError> {
        while self.filled < HEADER {
            let room = self.header.get_mut(self.filled..).unwrap_or_default();
            let read = self.stream.read(room);
            let count = match self.filled {
                0 => read.await?,
                _ => timeout_at(self.began + self.stall.within, read)
                    .await
                    .map_err(|_| WireError::Stalled(self.stall.within))??,
            };
            match count {
                0 if self.filled == 0 => return Ok(None),
                0 => return Err(WireError::Truncated),
                count if self.filled == 0 => {
                    self.began = Instant::now();
                    self.filled = count;
                }
                count => self.filled += count,
            }
        }
        self.filled = 0;
        self.stall_timer = StallTimer::new(self.stall);
        Ok(Some(Header::decode(&self.header, self.from)?))
    }

    /// Reads the whole body of a control frame.
    ///
    /// Not cancel safe: a body read in part cannot be taken up again.
    ///
    /// # Errors
    /// [`WireError`]; the connection cannot be used afterwards.
    pub async fn body(&mut self, header: &Header) -> Result<Vec<u8>, WireError> {
        let length = header.length as usize;
        // All of it if it is short, as a login is: a body that grew would leave parts of a password
        // behind.
        let mut body = Vec::with_capacity(length.min(FIRST_STEP));
        let mut step = FIRST_STEP;
        while body.len() < length {
            let start = body.len();
            body.resize(length.min(start + step), 0);
            self.fill(body.get_mut(start..).unwrap_or_default()).await?;
            step *= 2;
        }
        Ok(body)
    }

    /// Fills `buffer` with the next bytes of a body.
    ///
    /// Not cancel safe.
    ///
    /// # Errors
    /// [`WireError`]; the connection cannot be used afterwards.
    pub async fn fill(&mut self, buffer: &mut [u8]) -> Result<(), WireError> {
        let mut filled = 0;
        while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
            match self.stall_timer.wait(self.stream.read(room)).await? {
                0 => return Err(WireError::Truncated),
                count => filled += count,
            }
        }
        Ok(())
    }

    /// Reads and drops whatever comes, until the peer has closed or `most` bytes have come. To be
    /// used last.
    ///
    /// Cancel safe: nothing is wanted of what it reads.
    pub async fn hear_out(&mut self, most: u64) {
        let mut rest = (&mut self.stream).take(most);
        // A connection that fails has ended too.
        let _ = tokio::io::copy(&mut rest, &mut tokio::io::sink()).await;
    }

    /// Reads and drops the next `count` bytes of a body, in constant memory.
    ///
    /// Not cancel safe.
    ///
    /// # Errors
    /// [`WireError`]; the connection cannot be used afterwards.
    pub async fn discard(&mut self, count: u32) -> Result<(), WireError> {
        let mut scratch = [0; FIRST_STEP];
        let mut rest = count as usize;
        while rest > 0 {
            let step = rest.min(FIRST_STEP);
            self.fill(scratch.get_mut(..step).unwrap_or_default()).await?;
            rest -= step;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FrameError, Kind};
    use std::time::Duration;
    use tokio::io::AsyncWriteExt;
    use tokio::time::timeout;

    const STALL: Duration = Duration::from_secs(60);

    fn reader(stream: tokio::io::DuplexStream) -> FrameReader<tokio::io::DuplexStream> {
        FrameReader::new(stream, Side::Client, STALL)
    }

    #[tokio::test]
    async fn a_close_between_frames_is_not_an_error_and_inside_one_it_is() {
        let (mut far, near) = tokio::io::duplex(64);
        let mut reader = reader(near);
        far.write_all(&Header::new(Kind::Stat, 1, 3).encode()).await.unwrap();
        far.write_all(b"ab").await.unwrap();
        drop(far);
        let header = reader.header().await.unwrap().unwrap();
        assert!(matches!(reader.body(&header).await, Err(WireError::Truncated)));
        assert!(reader.header().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_header_survives_being_cancelled() {
        let (mut far, near) = tokio::io::duplex(64);
        let mut reader = reader(near);
        let bytes = Header::new(Kind::Cancel, 9, 0).encode();
        far.write_all(&bytes[..4]).await.unwrap();
        let short = timeout(Duration::ZERO, reader.header()).await;
        assert!(short.is_err());
        far.write_all(&bytes[4..]).await.unwrap();
        assert_eq!(reader.header().await.unwrap().unwrap().id, 9);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stall_inside_a_frame_ends_it_and_between_frames_it_does_not() {
        let (mut far, near) = tokio::io::duplex(64);
        let mut reader = reader(near);
        assert!(timeout(STALL * 100, reader.header()).await.is_err());
        far.write_all(&Header::new(Kind::Stat, 1, 3).encode()).await.unwrap();
        let header = reader.header().await.unwrap().unwrap();
        assert!(matches!(reader.body(&header).await, Err(WireError::Stalled(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stall_inside_a_header_ends_it_however_often_the_wait_begins_anew() {
        let (mut far, near) = tokio::io::duplex(64);
        let mut reader = reader(near);
        far.write_all(&Header::new(Kind::Cancel, 9, 0).encode()[..9]).await.unwrap();
        let since = Instant::now();
        let stalled = loop {
            if let Ok(result) = timeout(STALL / 7, reader.header()).await {
                break result;
            }
        };
        assert!(matches!(stalled, Err(WireError::Stalled(_))));
        assert_eq!(since.elapsed().as_secs(), STALL.as_secs());
    }

    #[tokio::test]
    async fn an_announced_length_allocates_nothing() {
        let (mut far, near) = tokio::io::duplex(64);
        let mut reader = reader(near);
        far.write_all(&Header::new(Kind::Chunk, 1, u32::MAX).encode()).await.unwrap();
        assert!(matches!(
            reader.header().await,
            Err(WireError::Frame(FrameError::Length { kind: Kind::Chunk, .. }))
        ));
    }
}
