//! Threads for work that blocks (disk and hashing), few and shared in turns.
//!
//! Work is a future that may block for as long as a chunk takes, some milliseconds, each time it is
//! polled, and waits for everything else without a thread. Each [`Queue`] has a name, an account's
//! say; queues with work take turns, so a thousand jobs of one delay a job of another by one. What
//! blocks for longer and cannot be cut (syncing a file, removing a tree) has threads of its own.
//!
//! The threads are the runtime's blocking threads, of which this takes no more than it is allowed.
//! It knows nothing of what is done on them.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Poll;
use std::time::Duration;

use async_task::{Runnable, ScheduleInfo, WithInfo};
use tokio::runtime::Handle;

/// How long a thread without work waits for some before it goes: to begin one again costs more.
const LINGER: Duration = Duration::from_millis(5);

/// What was spawned on a [`Queue`]: a future of its output. Dropping it drops the work before it
/// is next polled. A panic of the work is a panic of whoever waits for it.
pub type Job<T> = async_task::Task<T>;

/// A limited number of threads for short work, and as many for long work. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Workers {
    short: Pool,
    long: Pool,
    queues: Arc<Mutex<HashMap<String, Weak<Jobs>>>>,
}

impl Workers {
    /// At most `count` threads of each kind, at least 1.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self { short: Pool::new(count), long: Pool::new(count), queues: Arc::default() }
    }

    /// Twice as many as there are `processors`, from 4 to 64: half of them may wait for a disk.
    #[must_use]
    pub fn count_for(processors: usize) -> usize {
        processors.saturating_mul(2).clamp(4, 64)
    }

    /// The queue of this name: as long as anyone has it, it is the same one for all who ask.
    #[must_use]
    pub fn queue(&self, name: &str) -> Queue {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let (short, long) = (self.short.clone(), self.long.clone());
        if let Some(jobs) = queues.get(name).and_then(Weak::upgrade) {
            return Queue { short, long, jobs };
        }
        queues.retain(|_, jobs| jobs.strong_count() > 0);
        let jobs = Arc::new(Jobs::default());
        queues.insert(name.to_owned(), Arc::downgrade(&jobs));
        Queue { short, long, jobs }
    }
}

impl Default for Workers {
    /// As many as the processors of this machine want.
    fn default() -> Self {
        Self::new(Self::count_for(std::thread::available_parallelism().map_or(2, usize::from)))
    }
}

/// Work that takes turns with that of other queues. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Queue {
    short: Pool,
    long: Pool,
    jobs: Arc<Jobs>,
}

/// What of one queue can run now.
#[derive(Default)]
struct Jobs {
    short: Mutex<VecDeque<Runnable>>,
    long: Mutex<VecDeque<Runnable>>,
}

impl fmt::Debug for Jobs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Jobs")
    }
}

impl Queue {
    /// Starts `work`, which may block for a chunk's time whenever it is polled, and should
    /// [`yield_turn`] in between. It begins at once, awaited or not. Call it within a runtime.
    pub fn spawn<F>(&self, work: F) -> Job<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.short.spawn(&self.jobs, |jobs| &jobs.short, work)
    }

    /// Runs `work`, which may block for some milliseconds.
    ///
    /// Cancel safety: once begun it runs to its end, whether its result is waited for or not.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        self.spawn(async move { work() }).await
    }

    /// Runs `work`, which may block for long.
    ///
    /// Cancel safety: as [`Queue::run`].
    pub async fn run_long<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        self.long.spawn(&self.jobs, |jobs| &jobs.long, async move { work() }).await
    }
}

/// Lets others have their turn before the work that awaits it goes on.
///
/// Cancel safe.
pub async fn yield_turn() {
    let mut has_yielded = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Threads that run what is ready, one poll at a time.
#[derive(Clone, Debug)]
struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    most: usize,
    ready: Mutex<Ready>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Ready {
    /// Threads, and those among them that wait for work.
    threads: usize,
    idle: usize,
    /// Queues with something ready, in the order of their turns.
    turns: VecDeque<Turn>,
}

/// The turn of one queue, and which of its jobs are meant.
type Turn = (Arc<Jobs>, Which);
type Which = fn(&Jobs) -> &Mutex<VecDeque<Runnable>>;

impl Pool {
    fn new(most: usize) -> Self {
        let (ready, more) = (Mutex::default(), Condvar::new());
        Self(Arc::new(Inner { most: most.max(1), ready, more }))
    }

    fn spawn<F>(&self, jobs: &Arc<Jobs>, which: Which, work: F) -> Job<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let (pool, jobs, runtime) = (self.clone(), Arc::clone(jobs), Handle::current());
        let schedule = move |job, info: ScheduleInfo| {
            // One that yields is on a thread, which goes on with what is ready.
            let needs_thread = !info.woken_while_running;
            pool.schedule((Arc::clone(&jobs), which), job, needs_thread.then_some(&runtime));
        };
        let (job, output) = async_task::Builder::new()
            .propagate_panic(true)
            .spawn(move |()| work, WithInfo(schedule));
        job.schedule();
        output
    }

    /// Puts a job at the end of its queue. Given a `runtime`, wakes a thread, or begins one of that
    /// runtime if one more may run.
    fn schedule(&self, turn: Turn, job: Runnable, runtime: Option<&Handle>) {
        let mut ready = self.ready();
        let is_first = {
            let mut jobs = lock(turn.1(&turn.0));
            jobs.push_back(job);
            jobs.len() == 1
        };
        if is_first {
            ready.turns.push_back(turn);
        }
        let Some(runtime) = runtime else { return };
        if ready.idle > 0 {
            self.0.more.notify_one();
        } else if ready.threads < self.0.most {
            ready.threads += 1;
            drop(ready);
            let pool = self.clone();
            runtime.spawn_blocking(move || pool.run_what_is_ready());
        }
    }

    fn run_what_is_ready(&self) {
        while let Some(job) = self.next() {
            // The queue's next job, or this one again, waits for the others' turns.
            job.run();
        }
    }

    /// The first job of the queue whose turn it is. If none comes for a while, the thread is
    /// counted out.
    fn next(&self) -> Option<Runnable> {
        let mut ready = self.ready();
        if ready.turns.is_empty() {
            ready.idle += 1;
            let waited =
                self.0.more.wait_timeout_while(ready, LINGER, |ready| ready.turns.is_empty());
            ready = waited.unwrap_or_else(PoisonError::into_inner).0;
            ready.idle -= 1;
        }
        while let Some(turn) = ready.turns.pop_front() {
            let (job, is_last) = {
                let mut jobs = lock(turn.1(&turn.0));
                (jobs.pop_front(), jobs.is_empty())
            };
            if !is_last {
                ready.turns.push_back(turn);
            }
            if job.is_some() {
                return job;
            }
        }
        ready.threads -= 1;
        None
    }

    fn ready(&self) -> MutexGuard<'_, Ready> {
        lock(&self.0.ready)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change is one step, and no job runs under a lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[tokio::test]
    async fn a_thousand_jobs_of_one_delay_another_by_one() {
        let workers = Workers::new(1);
        let (many, few) = (workers.queue("many"), workers.queue("few"));
        let (open, gate) = channel();
        let (begin, begun) = channel();
        let held = many.spawn(async move {
            begin.send(()).unwrap();
            gate.recv().unwrap();
        });
        begun.recv().unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let note = |name: &'static str| {
            let order = Arc::clone(&order);
            async move { order.lock().unwrap().push(name) }
        };
        let mut jobs: Vec<_> = (0..1000).map(|_| many.spawn(note("many"))).collect();
        jobs.extend((0..3).map(|_| few.spawn(note("few"))));
        open.send(()).unwrap();
        held.await;
        for job in jobs {
            job.await;
        }
        let order = order.lock().unwrap();
        let few: Vec<_> = (0..order.len()).filter(|at| order[*at] == "few").collect();
        assert_eq!(few, [1, 3, 5], "they take turns");
    }

    #[tokio::test]
    async fn one_that_yields_lets_others_of_its_queue_run_and_one_that_waits_has_no_thread() {
        let queue = Workers::new(1).queue("one");
        let (wake, woken) = tokio::sync::oneshot::channel();
        let waiting = queue.spawn(async move {
            yield_turn().await;
            woken.await.unwrap()
        });
        assert_eq!(queue.run(|| 7).await, 7);
        wake.send(8).unwrap();
        assert_eq!(waiting.await, 8);
    }

    #[tokio::test]
    async fn long_work_holds_no_short_work_up_and_all_of_it_ends() {
        let queue = Workers::new(1).queue("one");
        let (open, gate) = channel::<()>();
        let long = tokio::spawn({
            let queue = queue.clone();
            async move { queue.run_long(move || gate.recv().unwrap()).await }
        });
        assert_eq!(queue.run(|| 7).await, 7);
        open.send(()).unwrap();
        long.await.unwrap();
        assert!(queue.short.ready().turns.is_empty() && queue.long.ready().turns.is_empty());
    }

    #[tokio::test]
    async fn a_job_that_panics_takes_no_thread_with_it() {
        let queue = Workers::new(1).queue("one");
        let panics = tokio::spawn(queue.spawn(async { panic!("on purpose") }));
        assert!(panics.await.unwrap_err().is_panic());
        assert_eq!(queue.run(|| 7).await, 7);
    }

    #[tokio::test]
    async fn no_more_threads_than_allowed_run_at_once() {
        let workers = Workers::new(2);
        let queues = ["a", "b", "c"].map(|name| workers.queue(name));
        let running = Arc::new(Mutex::new((0, 0)));
        let jobs = queues.iter().flat_map(|queue| {
            (0..50).map(|_| {
                let running = Arc::clone(&running);
                queue.spawn(async move {
                    let mut counts = running.lock().unwrap();
                    counts.0 += 1;
                    counts.1 = counts.1.max(counts.0);
                    drop(counts);
                    std::thread::yield_now();
                    running.lock().unwrap().0 -= 1;
                })
            })
        });
        for job in jobs.collect::<Vec<_>>() {
            job.await;
        }
        assert!((1..=2).contains(&running.lock().unwrap().1));
    }
}
