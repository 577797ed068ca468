//! How many connections a session should have: doubled as long as that pays, taken back when it
//! does not. A large file over a far link begins with some, because finding out takes as long as
//! many a transfer.
//!
//! It measures what is verified per second, and is told the time. One try takes about a second;
//! after one that was in vain the next is far off, so a link that one connection fills has one.

use std::time::{Duration, Instant};

use sealane_protocol::limits::CONNECTIONS;
use sealane_protocol::transfer::Progress;

/// What each added connection must bring, as a part of the rate before.
const GAIN: f64 = 0.10;
/// How long a measurement takes at least, and at most while little arrives.
const MEASURE: (Duration, Duration) = (Duration::from_millis(600), Duration::from_millis(2400));
/// Less than this says nothing about a rate: it comes chunk by chunk.
const ENOUGH: u64 = 4 << 20;
/// Connections that a large file begins with on a far link: as many as the memory of a transfer has
/// chunks for.
const START: usize = 4;
/// A file for which they have enough to do.
const LARGE: u64 = 16 << 20;
/// Time until it is tried whether still more bring more.
const FIRST: Duration = Duration::from_secs(5);
/// Time until the next try after one in vain; doubled by each.
const REST: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(160));
/// Further connections are closed when nothing was moved for this long.
const IDLE: Duration = Duration::from_secs(5);

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Stay,
    /// Open this many more.
    Open(usize),
    /// Close this many, the youngest first.
    Close(usize),
}

#[derive(Debug)]
pub(super) struct Controller {
    /// How long connections take to find their rate.
    settle: Duration,
    is_far: bool,
    phase: Phase,
    /// Smaller numbers of connections that were in use, and their rates in bytes per second.
    fewer: Vec<(usize, f64)>,
    /// The last change was a try, and must pay.
    is_try: bool,
    rest: Duration,
    connections: usize,
    moved: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Idle,
    /// Nothing is measured before.
    Waiting(Instant),
    Measuring(Instant, Progress),
}

impl Controller {
    /// For connections that take `settle` to find their rate, over a link that is far or not.
    pub(super) fn new(settle: Duration, is_far: bool) -> Self {
        let (phase, fewer, rest) = (Phase::Idle, Vec::new(), REST.0);
        Self { settle, is_far, phase, fewer, is_try: false, rest, connections: 1, moved: None }
    }

    /// Says what to do `now`, with so many `connections` in use, while the `largest` file under way
    /// has so many bytes. To be asked several times a second.
    pub(super) fn tick(
        &mut self,
        now: Instant,
        progress: Progress,
        largest: Option<u64>,
        connections: usize,
    ) -> Step {
        if largest.is_some() {
            self.moved = Some(now);
        } else if self.moved.is_none_or(|moved| now - moved >= IDLE) {
            *self = Self::new(self.settle, self.is_far);
            return if connections > 1 { Step::Close(connections - 1) } else { Step::Stay };
        } else {
            // Between two files: what is measured now says nothing.
            if let Phase::Measuring(..) = self.phase {
                self.phase = Phase::Waiting(now + self.settle);
            }
            return Step::Stay;
        }
        if connections != self.connections {
            self.changed(now, connections);
        }
        match self.phase {
            Phase::Idle if self.is_far && largest >= Some(LARGE) => {
                self.phase = Phase::Waiting(now + FIRST);
                return Step::Open(START.saturating_sub(connections));
            }
            Phase::Idle => self.phase = Phase::Waiting(now + self.settle),
            Phase::Waiting(until) if now < until => {}
            Phase::Waiting(_) => self.phase = Phase::Measuring(now, progress),
            Phase::Measuring(since, from) => {
                let (took, moved) = (now - since, progress.bytes - from.bytes);
                if took >= MEASURE.1 || (took >= MEASURE.0 && moved >= ENOUGH) {
                    return self.judge(now, rate(from, progress, took));
                }
            }
        }
        Step::Stay
    }

    /// Connections were opened, or have ended by themselves.
    fn changed(&mut self, now: Instant, connections: usize) {
        let are_more = connections > self.connections;
        // Those to begin with are no try.
        let wait = if are_more && !self.is_try { FIRST } else { self.settle };
        self.is_try &= are_more;
        self.connections = connections;
        self.fewer.retain(|(fewer, _)| *fewer < connections);
        self.phase = Phase::Waiting(now + wait);
    }

    fn judge(&mut self, now: Instant, rate: f64) -> Step {
        let is_try = std::mem::take(&mut self.is_try);
        if let Some((fewer, before)) = self.fewer.last().copied() {
            let added = self.connections - fewer;
            let wanted = if is_try { 1.0 + GAIN * added as f64 } else { 1.0 };
            if rate < before * wanted {
                self.fewer.pop();
                self.connections = fewer;
                self.pause(now);
                return Step::Close(added);
            }
        }
        if self.connections >= CONNECTIONS {
            self.pause(now);
            return Step::Stay;
        }
        let more = self.connections.min(CONNECTIONS - self.connections);
        self.fewer.push((self.connections, rate));
        self.is_try = true;
        // Until they are open, which is seen as a change.
        self.pause(now);
        Step::Open(more)
    }

    /// Opening was in vain.
    pub(super) fn refused(&mut self, now: Instant) {
        self.fewer.pop();
        self.is_try = false;
        self.pause(now);
    }

    fn pause(&mut self, now: Instant) {
        self.phase = Phase::Waiting(now + self.rest);
        self.rest = (self.rest * 2).min(REST.1);
    }
}

/// Bytes per second, from one arrival to another where there are such.
fn rate(from: Progress, to: Progress, took: Duration) -> f64 {
    let between = match (from.at, to.at) {
        (Some(from), Some(to)) if to > from => to - from,
        _ => took,
    };
    (to.bytes - from.bytes) as f64 / between.as_secs_f64().max(1e-3)
}
