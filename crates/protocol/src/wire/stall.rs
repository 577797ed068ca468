//! How long to wait for a peer while bytes are due: a fixed time, which waiting uses up and which
//! bytes that move give back.

use std::io;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::WireError;

/// Default for [`Stall::slowest`]. No usable link is slower; without a bound, one byte a minute
/// would hold a connection for ever.
pub const SLOWEST: u32 = 1024;

/// When a peer counts as stalled in the middle of a frame. A [`Duration`] becomes one with
/// [`SLOWEST`].
#[derive(Clone, Copy, Debug)]
pub struct Stall {
    /// Time without a byte.
    pub within: Duration,
    /// Bytes a second; a peer that is slower for as long counts as stalled too. 0 counts as 1.
    pub slowest: u32,
}

impl From<Duration> for Stall {
    fn from(within: Duration) -> Self {
        Self { within, slowest: SLOWEST }
    }
}

/// The time that is left for one peer and one direction.
#[derive(Debug)]
pub struct StallTimer {
    left: Duration,
    whole: Duration,
    slowest: u32,
}

impl StallTimer {
    /// All of the time is left.
    #[must_use]
    pub fn new(stall: Stall) -> Self {
        Self { left: stall.within, whole: stall.within, slowest: stall.slowest.max(1) }
    }

    /// Waits for `step`, which moves as many bytes as it says.
    ///
    /// # Errors
    /// [`WireError::Stalled`] once the time is used up, and what `step` fails with.
    pub async fn wait(
        &mut self,
        step: impl Future<Output = io::Result<usize>>,
    ) -> Result<usize, WireError> {
        let count = self.wait_for(step).await?;
        let earned =
            Duration::from_secs(1).saturating_mul(u32::try_from(count).unwrap_or(u32::MAX));
        self.left = self.left.saturating_add(earned / self.slowest).min(self.whole);
        Ok(count)
    }

    /// Waits for `step`, which moves nothing that can be counted.
    ///
    /// # Errors
    /// As [`StallTimer::wait`].
    pub async fn wait_for<T>(
        &mut self,
        step: impl Future<Output = io::Result<T>>,
    ) -> Result<T, WireError> {
        let since = Instant::now();
        let done = timeout(self.left, step).await.map_err(|_| WireError::Stalled(self.whole))?;
        self.left = self.left.saturating_sub(since.elapsed());
        Ok(done?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds until a peer is given up that moves `bytes` after each `pause`; `None` if it never
    /// is.
    async fn lasts(bytes: usize, pause: Duration) -> Option<u64> {
        lasts_above(SLOWEST, bytes, pause).await
    }

    async fn lasts_above(slowest: u32, bytes: usize, pause: Duration) -> Option<u64> {
        let mut stall_timer = StallTimer::new(Stall { within: Duration::from_secs(60), slowest });
        let since = Instant::now();
        for _ in 0..1000 {
            let step = async {
                tokio::time::sleep(pause).await;
                Ok(bytes)
            };
            if stall_timer.wait(step).await.is_err() {
                return Some(since.elapsed().as_secs());
            }
        }
        None
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_uses_it_up_and_bytes_earn_it_back() {
        let second = Duration::from_secs(1);
        assert_eq!(lasts(1, second).await, Some(60));
        assert_eq!(lasts(0, 59 * second).await, Some(60));
        assert_eq!(lasts(1025, second).await, None);
        assert_eq!(lasts(100_000, 59 * second).await, None);
        assert_eq!(lasts(100_000, 61 * second).await, Some(60));
        // Half the rate lasts twice as long.
        assert!(matches!(lasts(512, second).await, Some(118..=121)));
        // Another rate is another bound, and none is no rate at all.
        assert_eq!(lasts_above(2000, 1025, second).await, lasts(525, second).await);
        assert_eq!(lasts_above(512, 513, second).await, None);
        assert_eq!(lasts_above(0, 2, second).await, None);
    }
}
