//! How far the transfers of a meter are, as a stream of numbers.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};

use sealane_protocol::transfer::Meter;

/// How far transfers are, in bytes. None of it ever goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Verified by the receiver, sent or unchanged; at most `total`.
    pub verified: u64,
    /// Of all files that were found so far.
    pub total: u64,
    /// That the receiver held already.
    pub unchanged: u64,
}

/// A stream of [`Progress`], for as long as somebody asks.
#[derive(Debug)]
pub struct ProgressStream {
    meter: Arc<Meter>,
    ticks: Interval,
    last: Progress,
}

impl ProgressStream {
    /// Looks at `meter` every `period`.
    #[must_use]
    pub fn new(meter: Arc<Meter>, period: Duration) -> Self {
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { meter, ticks, last: Progress::default() }
    }

    /// What it is now.
    #[must_use]
    pub fn now(meter: &Meter) -> Progress {
        let total = meter.total_bytes();
        let verified = meter.verified_bytes().min(total);
        Progress { verified, total, unchanged: meter.reused_bytes() }
    }

    /// Waits until there is something new, at least one period. Cancel safe.
    pub async fn next(&mut self) -> Progress {
        loop {
            self.ticks.tick().await;
            let now = Self::now(&self.meter);
            if now != self.last {
                self.last = now;
                return now;
            }
        }
    }
}
