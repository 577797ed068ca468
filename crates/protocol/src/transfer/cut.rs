//! Cuts a file into pieces where its content says so, so that the same bytes make the same pieces
//! wherever they stand (`FastCDC`, 2020, normalisation level 1).
//!
//! Two ends that cut differently find fewer pieces in common; nothing else depends on it.

use fastcdc::v2020::FastCDC;

use crate::limits;
use crate::pieces::{Piece, PieceHash};
use sealane_base::files::StorageError;

/// Pieces that a file of the usual size has, as a power of two: enough to find what moved, few
/// enough to be told in a moment.
const USUAL_LOG2: u8 = 15;

/// Log2 of the average piece for a file of `size` bytes.
pub(super) fn piece_log2(size: u64) -> u8 {
    limits::PIECE_LOG2
        .clone()
        .find(|log2| size >> log2 < 1 << USUAL_LOG2)
        .unwrap_or(*limits::PIECE_LOG2.end())
}

/// A piece and where it begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) offset: u64,
    pub(super) piece: Piece,
}

/// Walks over a file, piece by piece. Memory: twice the longest piece, 8 average ones.
pub(super) struct Cutter {
    average: usize,
    buffer: Vec<u8>,
    /// What is in the buffer and not cut yet, and where that stands in the file.
    from: usize,
    to: usize,
    offset: u64,
    /// Where the file ends.
    end: u64,
}

impl Cutter {
    /// A cutter that begins at byte 0 of a file of `end` bytes; pieces are 2^`log2` bytes on
    /// average, a quarter of that at least and four times that at most.
    pub(super) fn new(log2: u8, end: u64) -> Self {
        let average = 1 << log2;
        Self { average, buffer: vec![0; 8 * average], from: 0, to: 0, offset: 0, end }
    }

    fn longest(&self) -> usize {
        4 * self.average
    }

    /// Where the next piece begins.
    pub(super) fn position(&self) -> u64 {
        self.offset
    }

    /// Goes to a place from which the cuts have fallen into step before `offset`.
    pub(super) fn skip_to(&mut self, offset: u64) {
        let start = offset.saturating_sub(self.longest() as u64);
        if self.offset < start {
            (self.offset, self.from, self.to) = (start, 0, 0);
        }
    }

    /// Goes back, to where cuts have fallen into step before `offset`.
    pub(super) fn return_to(&mut self, offset: u64) {
        self.offset = offset.saturating_sub(self.longest() as u64);
        (self.from, self.to) = (0, 0);
    }

    /// The next piece, or `None` at the end of the file.
    pub(super) fn next(
        &mut self,
        read: impl FnOnce(u64, &mut [u8]) -> Result<(), StorageError>,
    ) -> Result<Option<Found>, StorageError> {
        if self.to - self.from < self.longest() {
            self.refill(read)?;
        }
        let Some(bytes) = self.buffer.get(self.from..self.to).filter(|bytes| !bytes.is_empty())
        else {
            return Ok(None);
        };
        let cutter = FastCDC::new(bytes, self.average / 4, self.average, self.longest());
        let (_, length) = cutter.cut(0, bytes.len());
        let bytes = bytes.get(..length).unwrap_or(bytes);
        let piece = Piece { length: u32::try_from(length).unwrap_or(0), hash: hash_of(bytes) };
        let found = Found { offset: self.offset, piece };
        self.from += length;
        self.offset += length as u64;
        Ok(Some(found))
    }

    fn refill(
        &mut self,
        read: impl FnOnce(u64, &mut [u8]) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        self.buffer.copy_within(self.from..self.to, 0);
        (self.from, self.to) = (0, self.to - self.from);
        let next = self.offset + self.to as u64;
        let room = self.buffer.get_mut(self.to..).unwrap_or_default();
        let wanted = usize::try_from(self.end.saturating_sub(next)).unwrap_or(usize::MAX);
        let wanted = wanted.min(room.len());
        let room = room.get_mut(..wanted).unwrap_or_default();
        if !room.is_empty() {
            read(next, room)?;
            self.to += wanted;
        }
        Ok(())
    }
}

fn hash_of(bytes: &[u8]) -> PieceHash {
    blake3::hash(bytes).as_bytes().first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(bytes: &[u8], from: u64) -> Vec<Found> {
        let mut cutter = Cutter::new(16, bytes.len() as u64);
        cutter.skip_to(from);
        let read = |offset: u64, buffer: &mut [u8]| {
            let at = offset as usize;
            buffer.copy_from_slice(&bytes[at..at + buffer.len()]);
            Ok(())
        };
        std::iter::from_fn(|| cutter.next(read).unwrap()).collect()
    }

    fn noise(size: usize) -> Vec<u8> {
        let mut bytes = vec![0; size];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        bytes
    }

    #[test]
    fn pieces_cover_a_file_and_do_not_depend_on_how_it_is_read() {
        let bytes = noise((9 << 20) + 77);
        let pieces = cut(&bytes, 0);
        let mut at = 0;
        let whole = FastCDC::new(&bytes, 1 << 14, 1 << 16, 1 << 18);
        for (found, expected) in pieces.iter().zip(whole) {
            assert_eq!((found.offset, found.piece.length as usize), (at, expected.length));
            at += u64::from(found.piece.length);
        }
        assert_eq!(at, bytes.len() as u64);
        let average = bytes.len() / pieces.len();
        assert!((1 << 15..1 << 17).contains(&average), "{average}");
    }

    #[test]
    fn cuts_fall_into_step_after_a_shift_and_after_a_jump() {
        let bytes = noise(8 << 20);
        let shifted = [&b"some new bytes"[..], &bytes].concat();
        let (one, other) = (cut(&bytes, 0), cut(&shifted, 0));
        let same = one.iter().filter(|it| other.iter().any(|its| its.piece == it.piece)).count();
        assert!(same + 3 >= one.len(), "{same} of {}", one.len());
        let jumped = cut(&bytes, 4 << 20);
        let after = |pieces: &[Found]| -> Vec<u64> {
            pieces.iter().map(|it| it.offset).filter(|&offset| offset > 4 << 20).collect()
        };
        assert_eq!(after(&jumped), after(&one));
    }

    #[test]
    fn pieces_grow_with_the_file() {
        assert_eq!([1 << 20, 1 << 30, 8 << 30, 1 << 42].map(piece_log2), [16, 16, 19, 19]);
    }
}
