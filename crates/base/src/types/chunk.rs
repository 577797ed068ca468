//! How a file is cut into chunks. Pure arithmetic, all of it checked.
//!
//! It does not know what a chunk holds or where it is stored.

use thiserror::Error;

/// Smallest (and default) chunk: 2^20 bytes, 1 MiB.
pub const MIN_CHUNK_LOG2: u8 = 20;
/// Largest chunk: 2^22 bytes, 4 MiB, so that two buffers fit the 8 MiB a transfer may use.
pub const MAX_CHUNK_LOG2: u8 = 22;
/// A file never has more than 2^20 chunks.
pub const MAX_CHUNKS: u64 = 1 << 20;
/// Largest file, 4 TiB: `MAX_CHUNKS` chunks of the largest size.
pub const MAX_FILE_SIZE: u64 = MAX_CHUNKS << MAX_CHUNK_LOG2;

/// The size of a file in bytes together with the chunk size that cuts it.
///
/// An empty file has one chunk of length 0, so that every file has a digest to check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    size: u64,
    chunk_log2: u8,
}

/// Why a size and a chunk size do not make a [`Layout`].
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum LayoutError {
    /// The chunk size is not between 2^[`MIN_CHUNK_LOG2`] and 2^[`MAX_CHUNK_LOG2`].
    #[error("chunk size 2^{0} is not offered")]
    ChunkSize(u8),
    /// The file would have more than [`MAX_CHUNKS`] chunks.
    #[error("a file of {0} bytes is larger than {MAX_FILE_SIZE} bytes or needs larger chunks")]
    TooLarge(u64),
}

impl Layout {
    /// The layout every sender uses for a file of `size` bytes: the smallest chunk size that
    /// keeps the count at or below [`MAX_CHUNKS`].
    ///
    /// # Errors
    /// [`LayoutError::TooLarge`] above [`MAX_FILE_SIZE`].
    pub fn for_size(size: u64) -> Result<Self, LayoutError> {
        (MIN_CHUNK_LOG2..=MAX_CHUNK_LOG2)
            .find_map(|log2| Self::new(size, log2).ok())
            .ok_or(LayoutError::TooLarge(size))
    }

    /// A layout as a peer declared it: `size` in bytes, chunks of `2^chunk_log2` bytes.
    ///
    /// # Errors
    /// [`LayoutError`] if the chunk size is not offered or the file would have too many chunks.
    pub fn new(size: u64, chunk_log2: u8) -> Result<Self, LayoutError> {
        if !(MIN_CHUNK_LOG2..=MAX_CHUNK_LOG2).contains(&chunk_log2) {
            return Err(LayoutError::ChunkSize(chunk_log2));
        }
        if size > MAX_CHUNKS << chunk_log2 {
            return Err(LayoutError::TooLarge(size));
        }
        Ok(Self { size, chunk_log2 })
    }

    /// Size of the file in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Base-2 logarithm of the chunk size in bytes.
    #[must_use]
    pub fn chunk_log2(&self) -> u8 {
        self.chunk_log2
    }

    /// Full chunk size in bytes; only the last chunk may be shorter.
    #[must_use]
    pub fn chunk_size(&self) -> u64 {
        1 << self.chunk_log2
    }

    /// Number of chunks, at least 1 and at most [`MAX_CHUNKS`].
    #[must_use]
    pub fn count(&self) -> u32 {
        let chunks = self.size.div_ceil(self.chunk_size()).max(1);
        u32::try_from(chunks).unwrap_or(u32::MAX)
    }

    /// Byte offset of chunk `index` in the file.
    #[must_use]
    pub fn offset(&self, index: u32) -> u64 {
        u64::from(index) << self.chunk_log2
    }

    /// Length of chunk `index` in bytes, or `None` if the file has no such chunk.
    #[must_use]
    pub fn length(&self, index: u32) -> Option<usize> {
        if index >= self.count() {
            return None;
        }
        let rest = self.size.saturating_sub(self.offset(index));
        usize::try_from(rest.min(self.chunk_size())).ok()
    }

    /// How many chunks, from the first on, are wholly inside the first `held` bytes of the file.
    ///
    /// The short last chunk counts only when `held` reaches the end of the file.
    #[must_use]
    pub fn whole_chunks(&self, held: u64) -> u32 {
        if held >= self.size {
            return self.count();
        }
        u32::try_from(held >> self.chunk_log2).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_empty_file_is_one_empty_chunk() {
        let layout = Layout::for_size(0).unwrap();
        assert_eq!((layout.count(), layout.length(0), layout.length(1)), (1, Some(0), None));
        assert_eq!(layout.whole_chunks(0), 1);
    }

    #[test]
    fn chunks_grow_so_that_there_are_never_too_many() {
        assert_eq!(Layout::for_size(1 << 40).unwrap().chunk_log2(), 20);
        assert_eq!(Layout::for_size((1 << 40) + 1).unwrap().chunk_log2(), 21);
        assert_eq!(Layout::for_size(MAX_FILE_SIZE).unwrap().chunk_log2(), 22);
        assert_eq!(
            Layout::for_size(MAX_FILE_SIZE + 1),
            Err(LayoutError::TooLarge(MAX_FILE_SIZE + 1))
        );
    }

    #[test]
    fn a_peer_cannot_choose_its_own_chunk_size() {
        for log2 in [0, 1, 19, 23, 63, 64, 255] {
            assert_eq!(Layout::new(10, log2), Err(LayoutError::ChunkSize(log2)));
        }
        assert!(Layout::new(u64::MAX, 22).is_err());
    }

    proptest! {
        #[test]
        fn lengths_add_up_to_the_size(size in 0..64u64 << 20, log2 in 20u8..=22) {
            let layout = Layout::new(size, log2).unwrap();
            let mut sum = 0;
            for index in 0..layout.count() {
                prop_assert_eq!(layout.offset(index), sum);
                sum += layout.length(index).unwrap() as u64;
            }
            prop_assert_eq!(sum, size);
            prop_assert_eq!(layout.length(layout.count()), None);
        }

        #[test]
        fn whole_chunks_lie_inside_what_is_held(size in 0..8u64 << 20, held in 0..9u64 << 20) {
            let layout = Layout::for_size(size).unwrap();
            let whole = layout.whole_chunks(held);
            prop_assert!(whole <= layout.count());
            for index in 0..whole {
                let end = layout.offset(index) + layout.length(index).unwrap() as u64;
                prop_assert!(end <= held || held >= size);
            }
        }
    }
}
