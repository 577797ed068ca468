//! Lines of the log on their way to where they are written: bounded, and never waited for.
//!
//! Each destination has a queue and a thread. One that is stuck, full or gone costs its lines,
//! which are counted and told once lines can be written again. What a line says is not decided
//! here.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};

use sealane_base::fsio::LogFile;

/// Bytes that may wait for one destination, and what a line costs besides its own.
const MOST_BYTES: usize = 1 << 20;
const LINE_COST: usize = 64;
/// Pause before a destination is tried again that does not wait for its reader by itself.
const PAUSE: Duration = Duration::from_millis(20);

/// Where lines go.
#[derive(Debug)]
pub(super) enum Sink {
    /// A stream that may be a pipe.
    Stream(OwnedFd),
    File(LogFile),
}

/// Lines that wait for one destination. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Lines that found no room since the last one that did.
    lost: u64,
    reopen: bool,
    is_busy: bool,
    is_closed: bool,
}

enum Step {
    Write(Vec<u8>),
    Reopen,
}

impl Queue {
    /// Adds a line, or counts it as lost. Never waits for the destination.
    pub(super) fn push(&self, line: &[u8]) {
        let mut state = self.state();
        if state.is_closed {
            return;
        }
        if state.bytes + line.len() + LINE_COST > MOST_BYTES {
            state.lost = state.lost.saturating_add(1);
            return;
        }
        if state.lost > 0 {
            let notice = lost_lines(std::mem::take(&mut state.lost));
            state.add(notice);
        }
        state.add(line.to_vec());
        drop(state);
        self.0.changed.notify_all();
    }

    /// Drops what waits and takes no more: there is no such destination.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        state.lines.clear();
    }

    /// Has the file opened anew, between two lines.
    pub(super) fn reopen(&self) {
        self.state().reopen = true;
        self.0.changed.notify_all();
    }

    /// Starts the thread that writes.
    ///
    /// # Errors
    /// There can be no thread.
    pub(super) fn write_to(&self, sink: Sink) -> io::Result<()> {
        let queue = self.clone();
        let forever = move || {
            let mut scribe = Scribe { sink, failed: 0 };
            loop {
                match queue.next() {
                    Step::Write(line) => scribe.line(&line),
                    Step::Reopen => scribe.reopen(),
                }
            }
        };
        std::thread::Builder::new().name("log".to_owned()).spawn(forever).map(drop)
    }

    /// Waits until everything is written, but not longer than until `give_up`.
    pub(super) fn drain(&self, give_up: Instant) {
        let mut state = self.state();
        while !state.is_closed && (state.is_busy || !state.lines.is_empty() || state.lost > 0) {
            let left = give_up.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.0.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn next(&self) -> Step {
        let mut state = self.state();
        state.is_busy = false;
        self.0.changed.notify_all();
        loop {
            let step = state.next();
            if let Some(step) = step {
                state.is_busy = true;
                return step;
            }
            state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn add(&mut self, line: Vec<u8>) {
        self.bytes += line.len() + LINE_COST;
        self.lines.push_back(line);
    }

    fn next(&mut self) -> Option<Step> {
        if std::mem::take(&mut self.reopen) {
            return Some(Step::Reopen);
        }
        if let Some(line) = self.lines.pop_front() {
            self.bytes = self.bytes.saturating_sub(line.len() + LINE_COST);
            return Some(Step::Write(line));
        }
        let lost = std::mem::take(&mut self.lost);
        (lost > 0).then(|| Step::Write(lost_lines(lost)))
    }
}

/// Writes to one destination, and knows what could not be written.
struct Scribe {
    sink: Sink,
    failed: u64,
}

impl Scribe {
    fn line(&mut self, line: &[u8]) {
        if self.failed > 0 {
            // A part of the line that failed may stand there.
            let notice = [b"\n", lost_lines(self.failed).as_slice()].concat();
            if self.sink.write(&notice).is_err() {
                self.failed = self.failed.saturating_add(1);
                return;
            }
            self.failed = 0;
        }
        if self.sink.write(line).is_err() {
            self.failed = 1;
        }
    }

    fn reopen(&mut self) {
        let Sink::File(file) = &mut self.sink else { return };
        match file.reopen() {
            Ok(()) => tracing::info!("log file opened again"),
            Err(error) => tracing::warn!(%error, "the log file stays as it was"),
        }
    }
}

impl Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::File(file) => file.append(bytes),
            Self::Stream(stream) => write_stream(stream, bytes),
        }
    }
}

fn write_stream(stream: &OwnedFd, mut bytes: &[u8]) -> io::Result<()> {
    use rustix::io::Errno;
    while !bytes.is_empty() {
        match rustix::io::write(stream, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            // Somebody else who has it may have set O_NONBLOCK.
            Err(Errno::AGAIN) => std::thread::sleep(PAUSE),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// A line of the log's own form.
fn lost_lines(count: u64) -> Vec<u8> {
    let mut time = String::new();
    // A line without its time is better than none.
    let _ = SystemTime.format_time(&mut Writer::new(&mut time));
    format!("{time}  WARN {count} log lines were lost\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read as _;

    use super::*;

    fn pipe() -> (File, OwnedFd) {
        let (read, write) = io::pipe().unwrap();
        (File::from(OwnedFd::from(read)), write.into())
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[test]
    fn a_reader_that_does_not_read_costs_lines_which_are_counted_and_told() {
        let (mut reader, writer) = pipe();
        let queue = Queue::default();
        queue.write_to(Sink::Stream(writer)).unwrap();
        let line = [[b'x'; 1023].as_slice(), b"\n"].concat();
        // Twice what the queue and the pipe hold.
        let pushed = 2 * MOST_BYTES / 1024;
        (0..pushed).for_each(|_| queue.push(&line));
        queue.push(b"the last\n");
        let mut seen = String::new();
        let mut buffer = [0; 65536];
        while !seen.contains("were lost") {
            let count = reader.read(&mut buffer).unwrap();
            seen.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
        }
        queue.push(b"afterwards\n");
        while !seen.contains("afterwards") {
            let count = reader.read(&mut buffer).unwrap();
            seen.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
        }
        let notices = seen.lines().filter_map(|line| line.strip_suffix(" log lines were lost"));
        let lost: usize =
            notices.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum();
        let kept = seen.lines().filter(|line| line.starts_with('x')).count();
        let last = usize::from(seen.contains("the last"));
        assert!(lost > 0, "{kept} of {pushed} were kept");
        assert_eq!(kept + lost + last, pushed + 1, "{kept} kept, {lost} lost");
    }

    #[test]
    fn a_reader_that_has_gone_and_a_full_disk_end_nothing() {
        let (reader, gone) = pipe();
        drop(reader);
        let full = File::options().write(true).open("/dev/full").unwrap();
        for sink in [gone, full.into()] {
            let queue = Queue::default();
            queue.write_to(Sink::Stream(sink)).unwrap();
            (0..3).for_each(|_| queue.push(b"line\n"));
            queue.drain(soon());
            assert!(queue.state().lines.is_empty() && !queue.state().is_busy);
        }
    }
}
