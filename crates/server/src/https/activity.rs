//! What a connection is doing, and when it has done nothing for too long.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::sealane::Limits;

/// Requests under way on one connection.
#[derive(Debug)]
pub(super) struct Activity {
    busy: AtomicUsize,
    /// When the last request ended, or the connection began.
    since: Mutex<Instant>,
    /// Bytes came since then.
    has_heard: AtomicBool,
    has_logged_in: AtomicBool,
    changed: Notify,
}

/// A request that is not answered to its end; until it is dropped.
#[derive(Debug)]
pub(super) struct Busy(Arc<Activity>);

/// Why a connection must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// Nothing was asked for a while.
    Idle,
    /// A request began and did not come to the end of its header.
    HalfAsked,
    NotLoggedIn,
}

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            busy: AtomicUsize::new(0),
            since: Mutex::new(Instant::now()),
            has_heard: AtomicBool::new(false),
            has_logged_in: AtomicBool::new(false),
            changed: Notify::new(),
        })
    }

    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.busy.fetch_add(1, Ordering::AcqRel);
        Busy(Arc::clone(self))
    }

    /// Bytes came.
    pub(super) fn heard(&self) {
        if !self.has_heard.swap(true, Ordering::AcqRel) {
            *self.since() = Instant::now();
            self.changed.notify_one();
        }
    }

    pub(super) fn logged_in(&self) {
        self.has_logged_in.store(true, Ordering::Release);
        self.changed.notify_one();
    }

    fn since(&self) -> std::sync::MutexGuard<'_, Instant> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Completes when the connection must end. `has_frames`: bytes between two requests are no part
    /// of one.
    pub(super) async fn over(&self, limits: Limits, deadline: Instant, has_frames: bool) -> Over {
        loop {
            let has_logged_in = self.has_logged_in.load(Ordering::Acquire);
            let is_busy = self.busy.load(Ordering::Acquire) > 0;
            let is_half = !has_frames && self.has_heard.load(Ordering::Acquire);
            let (limit, why) = match is_half {
                true => (limits.stall.min(limits.idle), Over::HalfAsked),
                false => (limits.idle, Over::Idle),
            };
            let (end, why) = match (has_logged_in, is_busy) {
                (true, true) => {
                    self.changed.notified().await;
                    continue;
                }
                (true, false) => (*self.since() + limit, why),
                (false, true) => (deadline, Over::NotLoggedIn),
                (false, false) if *self.since() + limit < deadline => (*self.since() + limit, why),
                (false, false) => (deadline, Over::NotLoggedIn),
            };
            if Instant::now() >= end {
                return why;
            }
            let _ = timeout_at(end, self.changed.notified()).await;
        }
    }
}

/// Completes never, or when `instant` comes.
pub(super) async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if self.0.busy.fetch_sub(1, Ordering::AcqRel) == 1 {
            *self.0.since() = Instant::now();
            self.0.has_heard.store(false, Ordering::Release);
            self.0.changed.notify_one();
        }
    }
}
