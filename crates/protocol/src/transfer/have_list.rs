//! The have-list: hashes what is held, in two jobs, and announces the digests in order.
//!
//! Where data has shifted, what is held is what the present version has so many bytes further on:
//! recipes that come tell how many, and the chunks that follow are listed from there. So neither
//! end needs to go on cutting. The sender does not confirm a wrong
//! guess, like any other chunk that differs.

use std::collections::VecDeque;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::buffers::with_scratch;
use super::tell::Teller;
use crate::frame::ClaimsPage;
use sealane_base::files::Sink;
use sealane_base::types::digest::ChunkHasher;
use sealane_base::types::{Digest, Layout};
use sealane_base::workers::{Job, Queue, yield_turn};

/// Digests in a page: small enough that the sender can begin while the rest is hashed.
const PAGE: usize = 16;
/// Jobs that hash. Where a file is replaced each chunk is copied as well, which takes longer
/// than the sender needs to read and hash it; two keep up with it.
const JOBS: usize = 2;
/// So much is read, hashed and copied at once: it stays in the cache that a core has to itself.
const STRETCH: usize = 256 << 10;
/// How far shifted chunks are listed ahead of the pieces, which are not needed as long as those
/// chunks are confirmed.
const LEAD: u64 = 1 << 30;
/// How far pieces are told beyond the first chunk that is listed as shifted.
const MARGIN: u64 = 8 << 20;
/// So much of the present version is cut before the next chunks are listed.
const FIRST: u64 = 64 << 20;

/// What is held, on its way to the sender.
///
/// Memory: 32 bytes for each chunk that one job hashes while the other is slow.
pub(super) struct HaveList {
    sink: Arc<dyn Sink>,
    layout: Layout,
    teller: Teller,
    begun: Instant,
    turn: Mutex<Turn>,
    turned: Notify,
    /// Locked while a page waits for the network; `turn` never is, because the job that writes
    /// uses it.
    line: tokio::sync::Mutex<Line>,
}

/// Who hashes what.
struct Turn {
    /// The first chunk that nobody has taken.
    next: u32,
    /// Chunks held, as far as is known: one that cannot be read is not, nor is what is behind it.
    count: u32,
    is_torn: bool,
    /// Chunks that somebody is at. What is held of them is being written, so the last is not told
    /// before.
    busy: u32,
    /// Bytes by which the present version is ahead of the file, and the first chunk taken since
    /// that is known.
    shift: Option<i64>,
    since: u32,
    told: Progress,
    /// Pieces are sought, and it will soon be known whether data has shifted.
    is_paused: bool,
}

/// How far the telling is.
#[derive(Clone, Copy)]
enum Progress {
    /// So many chunks are told.
    Told(u32),
    /// All are, and a sender that takes half as long again has looked at them by then.
    Over(Instant),
}

/// Chunks in the order in which they are told.
struct Line {
    /// Chunks below are told, or in the page.
    told: u32,
    /// Digests of those that follow, as far as they are hashed.
    ahead: VecDeque<Option<Digest>>,
    page: ClaimsPage,
    /// `None` once the last page is told, or nobody listens.
    listed: Option<Sender<Digest>>,
}

impl HaveList {
    /// Nothing is hashed yet. `listed` is given every digest before the peer can hear it.
    pub(super) fn new(
        sink: Arc<dyn Sink>,
        layout: Layout,
        teller: Teller,
        listed: Sender<Digest>,
    ) -> Self {
        let turn = Turn {
            next: 0,
            count: layout.whole_chunks(sink.held()),
            is_torn: false,
            busy: 0,
            shift: None,
            since: 0,
            told: Progress::Told(0),
            is_paused: false,
        };
        let line = Line {
            told: 0,
            ahead: VecDeque::new(),
            page: ClaimsPage { first: 0, digests: Vec::with_capacity(PAGE), last: false },
            listed: Some(listed),
        };
        let (turn, line) = (Mutex::new(turn), tokio::sync::Mutex::new(line));
        Self { sink, layout, teller, begun: Instant::now(), turn, turned: Notify::new(), line }
    }

    /// Starts the jobs that hash what is held and announce it. They stop quietly when all is told
    /// or the connection has ended (the job that writes notices too).
    pub(super) fn start(self: &Arc<Self>, queue: &Queue) -> Vec<Job<()>> {
        let work = |_| {
            let have_list = Arc::clone(self);
            queue.spawn(async move { have_list.work().await })
        };
        (0..JOBS).map(work).collect()
    }

    /// Chunk `index` has come, so the list was wrong about it; `shift` is by how
    /// much the present version is ahead where the chunk ends, if that is where it came from.
    pub(super) fn learn(&self, index: u32, shift: Option<i64>) {
        let mut turn = self.turn();
        turn.is_paused = false;
        if let Some(shift) = shift.filter(|_| shift != turn.shift) {
            (turn.shift, turn.since) = (Some(shift), turn.next);
            self.reach(&mut turn, shift);
        } else if shift.is_none() && index >= turn.since {
            turn.shift = None;
        }
        self.turned.notify_waiters();
    }

    /// The list goes on as far as the present version goes.
    fn reach(&self, turn: &mut Turn, shift: i64) {
        let end = shift.checked_neg().and_then(|back| self.sink.present().checked_add_signed(back));
        let count = self.layout.whole_chunks(end.unwrap_or(0));
        if matches!(turn.told, Progress::Told(_)) && !turn.is_torn {
            turn.count = turn.count.max(count);
        }
    }

    /// Pieces are about to be told. The sender waits for them, so what is listed meanwhile would
    /// most likely be of no use: until a chunk comes that is made of them, or [`FIRST`] of the
    /// present version is told.
    pub(super) fn pause(&self) {
        let mut turn = self.turn();
        // With a shift, the sender of pieces waits for the list instead.
        turn.is_paused = turn.shift.is_none();
    }

    /// No more pieces are told.
    pub(super) fn go_on(&self) {
        self.turn().is_paused = false;
        self.turned.notify_waiters();
    }

    /// Nobody needs to know anything any more.
    pub(super) fn give_up(&self) {
        self.turn().shift = None;
        self.go_on();
    }

    /// Waits until somebody may need to know the pieces of the present version from `position` on:
    /// not as long as shifted chunks seem to be confirmed and more follow, or the sender may still
    /// be reading those. The list waits for nothing, so this ends.
    pub(super) async fn wait_for_need(&self, position: u64) {
        if position >= FIRST {
            self.go_on();
        }
        loop {
            let turned = self.turned.notified();
            let rest = self.time_to_wait(&self.turn(), position);
            let Some(rest) = rest else { return };
            let _ = timeout(rest, turned).await;
        }
    }

    fn time_to_wait(&self, turn: &Turn, position: u64) -> Option<Duration> {
        const A_WHILE: Duration = Duration::from_secs(1);
        let before = self.layout.offset(turn.since).checked_add_signed(turn.shift?).unwrap_or(0);
        if position < before.saturating_add(MARGIN) {
            // Chunks that were listed before the shift was known are made of pieces.
            return None;
        }
        match turn.told {
            Progress::Told(told) => {
                (self.layout.offset(told) < position.saturating_add(LEAD)).then_some(A_WHILE)
            }
            Progress::Over(until) => {
                until.checked_duration_since(Instant::now()).filter(|rest| !rest.is_zero())
            }
        }
    }

    pub(super) async fn work(&self) {
        while let Some((index, shift)) = self.take().await {
            let digest = with_scratch(STRETCH, |stretch| self.hash(index, shift, stretch));
            self.done(index, digest).await;
            yield_turn().await;
        }
        // Where there was nothing to take from the start.
        self.tell(&mut *self.line.lock().await).await;
    }

    async fn take(&self) -> Option<(u32, Option<i64>)> {
        loop {
            let turned = self.turned.notified();
            {
                let mut turn = self.turn();
                if !turn.is_paused {
                    let index = turn.next;
                    turn.next = index.checked_add(1).filter(|next| *next <= turn.count)?;
                    turn.busy += 1;
                    return Some((index, turn.shift));
                }
            }
            turned.await;
        }
    }

    fn hash(&self, index: u32, shift: Option<i64>, stretch: &mut [u8]) -> Option<Digest> {
        let (start, length) = (self.layout.offset(index), self.layout.length(index)?);
        let end = self.sink.present().checked_sub(length as u64);
        let from_present = shift.and_then(|shift| start.checked_add_signed(shift));
        let from_present = from_present.filter(|at| end.is_some_and(|end| *at <= end));
        let mut hasher = ChunkHasher::new(&self.layout, index);
        for from in (0..length).step_by(STRETCH) {
            let bytes = stretch.get_mut(..STRETCH.min(length - from))?;
            let offset = start + from as u64;
            let read =
                from_present.map(|at| self.sink.read_shifted(offset, at + from as u64, bytes));
            if !matches!(read, Some(Ok(()))) {
                self.sink.read_held(offset, bytes).ok()?;
            }
            hasher.update(bytes);
        }
        Some(hasher.finish())
    }

    /// Chunk `index` is hashed, or cannot be read.
    async fn done(&self, index: u32, digest: Option<Digest>) {
        {
            let mut turn = self.turn();
            turn.busy -= 1;
            if digest.is_none() {
                (turn.count, turn.is_torn) = (turn.count.min(index), true);
            }
        }
        let mut line = self.line.lock().await;
        let at = index.saturating_sub(line.told) as usize;
        if line.ahead.len() <= at {
            line.ahead.resize(at + 1, None);
        }
        if let Some(room) = line.ahead.get_mut(at) {
            *room = digest;
        }
        self.tell(&mut line).await;
    }

    /// Tells what is hashed and has nothing before it that is not.
    async fn tell(&self, line: &mut Line) {
        let count = self.turn().count;
        while let Some(Some(digest)) = line.ahead.front().copied().filter(|_| line.told < count) {
            // A full page waits for the next digest: if there is none, it is the last page and says
            // so.
            if line.page.digests.len() == PAGE && !self.say_page(line).await {
                return self.end(line);
            }
            line.ahead.pop_front();
            line.told += 1;
            line.page.digests.push(digest);
            // The job that writes must know a digest before the peer can act on it.
            let heard = line.listed.as_ref().is_some_and(|listed| listed.send(digest).is_ok());
            if !heard {
                return self.end(line);
            }
        }
        if self.end_if_complete(line.told) && line.listed.take().is_some() {
            line.page.last = true;
            self.say_page(line).await;
            self.end(line);
        }
    }

    /// Ends the list if it is complete with `told` chunks; no job takes another one then. While
    /// a later chunk is still being hashed (an earlier one could not be read) the list must not
    /// end: what the sender sends for it would be overwritten.
    fn end_if_complete(&self, told: u32) -> bool {
        let mut turn = self.turn();
        let is_over = told == turn.count && turn.busy == 0;
        if is_over {
            (turn.count, turn.is_torn) = (0, true);
        }
        is_over
    }

    async fn say_page(&self, line: &mut Line) -> bool {
        let is_said = self.teller.claims(&line.page).await.is_ok();
        line.page.first = line.told;
        line.page.digests.clear();
        self.turn().told = Progress::Told(line.told);
        self.turned.notify_waiters();
        is_said
    }

    fn end(&self, line: &mut Line) {
        line.listed = None;
        let mut turn = self.turn();
        let now = Instant::now();
        let told = Progress::Over(now + now.duration_since(self.begun) / 2);
        (turn.count, turn.told, turn.is_paused) = (0, told, false);
        self.turned.notify_waiters();
    }

    fn turn(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
