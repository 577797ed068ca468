//! A sink for `-`: bytes go out in order as they arrive and cannot be taken back.

use std::fmt;
use std::io::Write;
use std::os::fd::AsFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{self, OFlags, Stat};

use super::partial::invalid;
use super::{Sink, StorageError};

/// Writes a file to a stream, such as standard output. Holds nothing, resumes nothing.
pub struct StreamSink<W>(Mutex<Stream<W>>);

struct Stream<W> {
    writer: W,
    position: u64,
}

impl<W: Write + Send> StreamSink<W> {
    /// Starts at the first byte.
    pub fn new(writer: W) -> Self {
        Self(Mutex::new(Stream { writer, position: 0 }))
    }

    fn lock(&self) -> MutexGuard<'_, Stream<W>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W> fmt::Debug for StreamSink<W> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("StreamSink")
    }
}

impl<W: Write + Send + 'static> Sink for StreamSink<W> {
    fn held(&self) -> u64 {
        0
    }

    fn read_held(&self, _offset: u64, _buffer: &mut [u8]) -> Result<(), StorageError> {
        Err(invalid("a stream holds nothing"))
    }

    /// Writes at the end of what was written before; any other `offset` is refused.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), StorageError> {
        let mut stream = self.lock();
        if offset != stream.position {
            return Err(invalid("a stream is written in order"));
        }
        stream.writer.write_all(bytes)?;
        stream.position += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Ok(())
    }

    fn commit(&self) -> Result<(), StorageError> {
        Ok(self.lock().writer.flush()?)
    }

    fn discard(&self) {}
}

/// Whether standard input or output was closed when the program began. The runtime puts the null
/// device there then, open for reading and writing, which no redirection of a shell does.
pub fn was_closed(stream: impl AsFd) -> bool {
    let device = |stat: Stat| (stat.st_mode & 0o170_000, stat.st_rdev);
    let (Ok(here), Ok(null)) = (fs::fstat(&stream), fs::stat("/dev/null")) else { return true };
    let both_ways = fs::fcntl_getfl(&stream).is_ok_and(|flags| flags.contains(OFlags::RDWR));
    device(here) == device(null) && both_ways
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_takes_bytes_in_order_only() {
        let sink = StreamSink::new(Vec::new());
        assert_eq!(sink.held(), 0);
        assert!(sink.read_held(0, &mut [0]).is_err());
        sink.write_at(0, b"ab").unwrap();
        for offset in [0, 1, 3] {
            assert!(sink.write_at(offset, b"x").is_err());
        }
        sink.write_at(2, b"c").unwrap();
        sink.commit().unwrap();
        assert_eq!(sink.lock().writer, b"abc");
    }
}
