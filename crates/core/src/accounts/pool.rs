//! The threads that evaluate passwords, and nothing else.
//!
//! They are not the runtime's: a flood of logins must not stand in the way of a file. Each keeps
//! the memory of its evaluations (see [`super::hasher`]), so what they take together is fixed, and
//! they step back behind threads that move files.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// How much lower than other threads these stand, in steps of `nice`.
const STEPS_BACK: i32 = 5;

/// A fixed number of threads; they end when it is dropped.
#[derive(Clone)]
pub(super) struct Pool {
    jobs: Sender<Job>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Pool")
    }
}

impl Pool {
    /// Starts `threads` threads, each of which runs `prepare` first.
    ///
    /// # Errors
    /// What the system says when it starts no more threads.
    pub(super) fn start(
        threads: usize,
        prepare: impl Fn() + Clone + Send + 'static,
    ) -> std::io::Result<Self> {
        let (jobs, receiver) = channel::<Job>();
        let receiver = Arc::new(Mutex::new(receiver));
        for number in 0..threads {
            let (receiver, prepare) = (Arc::clone(&receiver), prepare.clone());
            std::thread::Builder::new()
                .name(format!("password-{number}"))
                .spawn(move || work(&receiver, prepare))?;
        }
        Ok(Self { jobs })
    }

    /// Runs `job` on one of the threads. `None` if it panicked.
    ///
    /// Cancel safety: dropping the future loses the outcome; the job runs to its end.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, outcome) = oneshot::channel();
        let job = Box::new(move || {
            // Nobody may wait for it any more.
            let _ = answer.send(job());
        });
        self.jobs.send(job).ok()?;
        outcome.await.ok()
    }
}

fn work(jobs: &Mutex<Receiver<Job>>, prepare: impl Fn()) {
    // Without the right to step back they are as good as others.
    let _ = rustix::process::nice(STEPS_BACK);
    prepare();
    loop {
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        // What a panic leaves behind is only the answer that was not given.
        let _ = catch_unwind(AssertUnwindSafe(job));
    }
}
