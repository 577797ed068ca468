//! Buffers that hold one chunk and the frame around it, used again and again.
//!
//! A chunk is read from disk right behind the place of its frame header, so that it leaves in one
//! write without being copied. Dropping a buffer, wherever that happens, gives it back to its pool.

use tokio::sync::mpsc;

use super::memory::{Loan, Share, User};
use crate::frame::{ChunkPrefix, HEADER};
use crate::{Header, Kind, limits};

const ROOM: usize = HEADER + limits::CHUNK_PREFIX as usize;

/// Memory for one chunk frame; goes back to its [`BufferPool`] when dropped.
#[derive(Debug)]
pub struct ChunkBuffer {
    bytes: Vec<u8>,
    length: usize,
    home: mpsc::UnboundedSender<Vec<u8>>,
    loan: Option<Loan>,
}

impl ChunkBuffer {
    /// Makes the buffer hold a chunk of `length` bytes, at most the pool's chunk size, and returns
    /// those bytes to be filled. What was in it stays until it is overwritten.
    pub fn resize(&mut self, length: usize) -> &mut [u8] {
        self.length = length.min(self.bytes.len().saturating_sub(ROOM));
        let end = ROOM + self.length;
        self.bytes.get_mut(ROOM..end).unwrap_or_default()
    }

    /// The chunk's bytes.
    #[must_use]
    pub fn chunk(&self) -> &[u8] {
        self.bytes.get(ROOM..ROOM + self.length).unwrap_or_default()
    }

    /// Writes header and prefix in front of the chunk and returns the whole frame.
    pub(super) fn frame(&self) -> &[u8] {
        self.bytes.get(..ROOM + self.length).unwrap_or_default()
    }

    /// Makes the buffer a `CHUNK` frame of transfer `id`.
    pub fn seal(&mut self, id: u32, prefix: &ChunkPrefix) {
        let length = u32::try_from(self.length).unwrap_or(u32::MAX);
        let header = Header::new(Kind::Chunk, id, limits::CHUNK_PREFIX.saturating_add(length));
        if let Some(room) = self.bytes.first_chunk_mut::<ROOM>() {
            let (front, back) = room.split_at_mut(HEADER);
            front.copy_from_slice(&header.encode());
            back.copy_from_slice(&prefix.encode());
        }
    }
}

impl Drop for ChunkBuffer {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        if let Some(loan) = &self.loan {
            // Only the place goes home.
            loan.give_back(std::mem::take(&mut bytes));
        }
        // The pool may be gone: then the memory is freed here.
        let _ = self.home.send(bytes);
    }
}

/// A bounded number of chunk buffers, made when first needed.
///
/// Worst-case memory: `count` × (`chunk_size` + 46) bytes.
#[derive(Debug)]
pub struct BufferPool {
    free: mpsc::UnboundedReceiver<Vec<u8>>,
    home: mpsc::UnboundedSender<Vec<u8>>,
    unmade: usize,
    chunk_size: usize,
    shared: Option<User>,
}

impl BufferPool {
    /// A pool of at most `count` buffers for chunks of at most `chunk_size` bytes.
    #[must_use]
    pub fn new(count: usize, chunk_size: usize) -> Self {
        let (home, free) = mpsc::unbounded_channel();
        Self { free, home, unmade: count, chunk_size, shared: None }
    }

    /// As [`BufferPool::new`], of memory that others use too: [`BufferPool::take_of`] takes it.
    #[must_use]
    pub fn sharing(count: usize, chunk_size: usize, share: &Share) -> Self {
        Self { shared: Some(share.memory().user()), ..Self::new(count, chunk_size) }
    }

    /// As [`BufferPool::take`]; waits also until `share` has room, if the pool was made of such
    /// memory.
    ///
    /// Cancel safe: no buffer is lost.
    pub async fn take_of(&mut self, share: Option<&Share>) -> ChunkBuffer {
        let Some(share) = share.filter(|_| self.shared.is_some()) else { return self.take().await };
        // Without memory as yet, and so it comes back.
        let mut buffer = self.take().await;
        let loan = share.loan(self.chunk_size).await;
        buffer.bytes = loan.take(ROOM + self.chunk_size);
        buffer.loan = Some(loan);
        buffer
    }

    /// Waits for a free buffer.
    ///
    /// Cancel safe: no buffer is lost.
    pub async fn take(&mut self) -> ChunkBuffer {
        if let Some(buffer) = self.at_once() {
            return buffer;
        }
        let bytes = self.free.recv().await.unwrap_or_default();
        self.wrap(bytes)
    }

    fn at_once(&mut self) -> Option<ChunkBuffer> {
        if let Ok(bytes) = self.free.try_recv() {
            return Some(self.wrap(bytes));
        }
        if self.unmade == 0 {
            return None;
        }
        self.unmade -= 1;
        let own = self.shared.is_none().then(|| vec![0; ROOM + self.chunk_size]);
        Some(self.wrap(own.unwrap_or_default()))
    }

    fn wrap(&self, bytes: Vec<u8>) -> ChunkBuffer {
        ChunkBuffer { bytes, length: 0, home: self.home.clone(), loan: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Side;
    use crate::wire::Memory;
    use sealane_base::types::Digest;

    #[tokio::test]
    async fn a_sealed_buffer_is_a_whole_frame() {
        let mut pool = BufferPool::new(1, 1000);
        let mut buffer = pool.take().await;
        buffer.resize(5).copy_from_slice(b"chunk");
        let prefix = ChunkPrefix { index: 3, digest: Digest([8; 32]) };
        buffer.seal(77, &prefix);
        let frame = buffer.frame();
        let header = Header::decode(frame[..HEADER].try_into().unwrap(), Side::Client).unwrap();
        assert_eq!((header.kind, header.id, header.length), (Kind::Chunk, 77, 41));
        assert_eq!(ChunkPrefix::decode(frame[HEADER..ROOM].try_into().unwrap()), prefix);
        assert_eq!(&frame[ROOM..], b"chunk");
    }

    #[tokio::test]
    async fn a_pool_never_makes_more_than_its_count() {
        let mut pool = BufferPool::new(2, 10);
        let first = pool.take().await;
        let _second = pool.take().await;
        assert!(pool.at_once().is_none());
        drop(first);
        assert_eq!(pool.take().await.resize(99).len(), 10);
    }

    #[tokio::test]
    async fn a_pool_of_shared_memory_has_no_more_than_its_count_either() {
        let share = Memory::new(1 << 20).share();
        let mut pool = BufferPool::sharing(2, 1 << 19, &share);
        let mut first = pool.take_of(Some(&share)).await;
        let _second = pool.take_of(Some(&share)).await;
        assert_eq!(first.resize(usize::MAX).len(), 1 << 19);
        assert!(pool.at_once().is_none());
        drop(first);
        let mut third = pool.take_of(Some(&share)).await;
        assert_eq!(third.resize(10).len(), 10);
    }
}
