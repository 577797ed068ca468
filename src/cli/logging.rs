//! The log: one line an event, from the rooms that call `tracing`, on stderr and in a file if one
//! is named.
//!
//! Nothing here waits for a reader, fails a caller or ends the process (`log_queue` has the lines
//! meanwhile). The threads that write begin when the process has bounded itself, so that they are
//! bounded too.

use std::io;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tracing::error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use super::log_queue::{Queue, Sink};
use super::log_sums::{self, Sums};
use super::{Exit, Failure};
use crate::config::environment;
use sealane_base::fsio::LogFile;
use sealane_base::types::text::printable;

/// How long the end of the process waits for what is still to be written.
const LAST_LINES: Duration = Duration::from_secs(1);

/// The log of this process. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    stderr: Queue,
    file: Queue,
    sums: Sums,
    is_written: Arc<AtomicBool>,
}

impl Log {
    /// Starts logging at `level`, unless `SEALANE_LOG` says otherwise. Lines wait until
    /// [`Log::write`].
    ///
    /// Field values are escaped by the formatter: a name from a peer cannot forge a line.
    pub(super) fn start(&self, level: &str) -> Result<(), Failure> {
        let wrong = |error: String| Failure::new(Exit::Usage, error);
        let filter = environment::log_filter().map_err(|error| wrong(error.to_string()))?;
        let filter = EnvFilter::try_new(filter.as_deref().unwrap_or(level))
            .map_err(|error| wrong(format!("SEALANE_LOG: {error}")))?;
        let log = self.clone();
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(move || log.clone())
            // It would say so on stderr, and panic if that fails.
            .log_internal_errors(false)
            .with_target(false)
            .with_ansi(false)
            .with_filter(self.sums.clone());
        tracing_subscriber::registry()
            .with(filter)
            .with(lines)
            .try_init()
            .map_err(|error| wrong(format!("cannot start the log: {error}")))?;
        // The usual hook writes to stderr itself, and would wait for its reader.
        std::panic::set_hook(Box::new(|panic| error!("{}", printable(&panic.to_string()))));
        Ok(())
    }

    /// Begins to write what was logged, to stderr and to `file`.
    pub(super) fn write(&self, file: Option<LogFile>) -> Result<(), Failure> {
        self.is_written.store(true, Ordering::Relaxed);
        let begin = || {
            // A handle of its own: whoever holds the lock of stderr is not waited for.
            let stderr = io::stderr().as_fd().try_clone_to_owned()?;
            self.stderr.write_to(Sink::Stream(stderr))?;
            match file {
                Some(file) => self.file.write_to(Sink::File(file))?,
                None => self.file.close(),
            }
            let sums = self.sums.clone();
            let forever = move || {
                loop {
                    std::thread::sleep(log_sums::PERIOD);
                    sums.tell();
                }
            };
            std::thread::Builder::new().name("log sums".to_owned()).spawn(forever).map(drop)
        };
        begin().map_err(|error: io::Error| {
            Failure::new(Exit::Other, format!("cannot start the log: {error}"))
        })
    }

    /// A line as it is, escaped but without time and level.
    pub(super) fn line(&self, text: &str) {
        let line = printable(text) + "\n";
        self.stderr.push(line.as_bytes());
        self.file.push(line.as_bytes());
    }

    /// Has the log file opened anew, which may have been moved away.
    pub(super) fn reopen(&self) {
        self.file.reopen();
    }

    /// Waits for what is still to be written, for a second at most.
    pub(super) fn finish(&self) {
        if !self.is_written.load(Ordering::Relaxed) && self.write(None).is_err() {
            return;
        }
        self.sums.tell();
        let give_up = Instant::now() + LAST_LINES;
        self.stderr.drain(give_up);
        self.file.drain(give_up);
    }
}

impl io::Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.stderr.push(line);
        self.file.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
