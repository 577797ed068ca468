//! Chunk digests and how they merge into a file's ordinary BLAKE3 hash.
//!
//! A chunk's digest is its BLAKE3 *subtree chaining value* (BLAKE3 paper §2.1 and §5.1.2, crate
//! `blake3::hazmat`): it depends on the chunk's bytes and on its place in the file. The values of
//! all chunks merge, in any order of arrival, into the root that `b3sum` prints. A file of one
//! chunk has no subtree; its chunk digest is the root itself.
//!
//! This module hashes memory. It does not read files.

use std::collections::BTreeMap;
use std::fmt;

use blake3::Hasher;
use blake3::hazmat::{
    ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root,
};
use minicbor::{Decode, Encode};
use thiserror::Error;

use super::chunk::Layout;

/// 32 bytes of BLAKE3: a file's root or a chunk's chaining value. Shown as 64 lower-case hex
/// digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Reads 64 hex digits in either case; `None` for anything else.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        blake3::Hash::from_hex(text).ok().map(|hash| Self(*hash.as_bytes()))
    }

    /// The root of a whole file held in memory.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

/// A byte string of 32 bytes.
impl<C> Encode<C> for Digest {
    fn encode<W: minicbor::encode::Write>(
        &self,
        encoder: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        encoder.bytes(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Digest {
    fn decode(
        decoder: &mut minicbor::Decoder<'b>,
        _: &mut C,
    ) -> Result<Self, minicbor::decode::Error> {
        let bytes = decoder.bytes()?;
        bytes.try_into().map(Self).map_err(|_| minicbor::decode::Error::message("not 32 bytes"))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Digest of chunk `index` of a file cut by `layout`; `bytes` is the whole chunk.
///
/// The caller has checked that `bytes` has the length [`Layout::length`] gives; another length
/// gives a digest that matches nothing, never a panic.
#[must_use]
pub fn chunk_digest(layout: &Layout, index: u32, bytes: &[u8]) -> Digest {
    if layout.count() == 1 {
        return Digest::of_bytes(bytes);
    }
    let mut hasher = ChunkHasher::new(layout, index);
    hasher.update(bytes);
    hasher.finish()
}

/// Makes a [`chunk_digest`] of a chunk that comes piece by piece.
#[derive(Clone, Debug)]
pub struct ChunkHasher {
    hasher: Hasher,
    is_root: bool,
    /// How much more the chunk may hold.
    room: u64,
    is_wrong: bool,
}

impl ChunkHasher {
    /// For chunk `index` of a file cut by `layout`.
    #[must_use]
    pub fn new(layout: &Layout, index: u32) -> Self {
        let is_root = layout.count() == 1;
        let mut hasher = Hasher::new();
        if !is_root {
            hasher.set_input_offset(layout.offset(index));
        }
        let room = if is_root { u64::MAX } else { layout.chunk_size() };
        Self { hasher, is_root, room, is_wrong: false }
    }

    /// Adds the bytes that follow.
    pub fn update(&mut self, bytes: &[u8]) {
        match self.room.checked_sub(bytes.len() as u64) {
            Some(room) => {
                self.hasher.update(bytes);
                self.room = room;
            }
            None => self.is_wrong = true,
        }
    }

    /// The digest of all that was added; one that matches nothing if that is no chunk's worth.
    #[must_use]
    pub fn finish(&self) -> Digest {
        match (self.is_root, self.is_wrong || self.hasher.count() == 0) {
            (true, _) => Digest(*self.hasher.finalize().as_bytes()),
            (false, true) => Digest([0; 32]),
            (false, false) => Digest(self.hasher.finalize_non_root()),
        }
    }
}

/// Why digests did not make a root.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum RootError {
    /// Some chunk was never given.
    #[error("the digest of at least one chunk is missing")]
    Incomplete,
    /// The chunk was given before, or the file has no such chunk.
    #[error("chunk {0} does not belong to the file or was given twice")]
    Unexpected(u32),
}

/// Merges chunk digests into the root, in any order of arrival.
///
/// Neighbouring subtrees merge as soon as both are there, so memory is 32 bytes times the number
/// of gaps times at most 20 levels: a few hundred bytes for chunks that come in order, whatever
/// the file's size.
#[derive(Clone, Debug)]
pub struct RootBuilder {
    layout: Layout,
    // Complete subtrees, by first chunk; the value is the number of levels above a single chunk.
    subtrees: BTreeMap<u32, (u32, ChainingValue)>,
}

impl RootBuilder {
    /// A builder with no chunk yet.
    #[must_use]
    pub fn new(layout: Layout) -> Self {
        Self { layout, subtrees: BTreeMap::new() }
    }

    /// Adds the digest of one chunk.
    ///
    /// # Errors
    /// [`RootError::Unexpected`] if the file has no such chunk or it was added before; the
    /// builder is unchanged then.
    pub fn insert(&mut self, index: u32, digest: Digest) -> Result<(), RootError> {
        if index >= self.layout.count() || self.covers(index) {
            return Err(RootError::Unexpected(index));
        }
        let (mut first, mut level, mut value) = (index, 0, digest.0);
        // A subtree of 2^level chunks that starts at a multiple of that number has its buddy at
        // `first ^ 2^level`. BLAKE3's tree is left-full, so buddies that are both complete always
        // share a parent, except that the last one may be the root: `finish` does that one.
        while self.layout.count() > 1 << (level + 1) {
            let buddy = first ^ (1 << level);
            match self.subtrees.get(&buddy) {
                Some(&(buddy_level, other)) if buddy_level == level => {
                    self.subtrees.remove(&buddy);
                    let (left, right) = if buddy < first { (other, value) } else { (value, other) };
                    value = merge_subtrees_non_root(&left, &right, Mode::Hash);
                    first = first.min(buddy);
                    level += 1;
                }
                _ => break,
            }
        }
        self.subtrees.insert(first, (level, value));
        Ok(())
    }

    /// Merges what is left into the root.
    ///
    /// # Errors
    /// [`RootError::Incomplete`] if a chunk is missing.
    pub fn finish(&self) -> Result<Digest, RootError> {
        let mut next = 0u32;
        for (&first, &(level, _)) in &self.subtrees {
            if first != next {
                return Err(RootError::Incomplete);
            }
            next += 1 << level;
        }
        if next < self.layout.count() {
            return Err(RootError::Incomplete);
        }
        // What remains are the complete subtrees along the right edge, largest first: fold them
        // from the right, the last merge being the root.
        let mut values = self.subtrees.values().rev().map(|&(_, value)| value);
        let mut right = values.next().ok_or(RootError::Incomplete)?;
        let mut rest = values.peekable();
        if rest.peek().is_none() {
            return Ok(Digest(right)); // a file of one chunk
        }
        while let Some(left) = rest.next() {
            if rest.peek().is_none() {
                return Ok(Digest(*merge_subtrees_root(&left, &right, Mode::Hash).as_bytes()));
            }
            right = merge_subtrees_non_root(&left, &right, Mode::Hash);
        }
        Err(RootError::Incomplete)
    }

    fn covers(&self, index: u32) -> bool {
        self.subtrees
            .range(..=index)
            .next_back()
            .is_some_and(|(&first, &(level, _))| index - first < 1 << level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIB: usize = 1 << 20;

    fn file(size: usize) -> Vec<u8> {
        (0..size).map(|at| (at / 7 + at / 4099) as u8).collect()
    }

    fn digests(bytes: &[u8]) -> (Layout, Vec<Digest>) {
        let layout = Layout::for_size(bytes.len() as u64).unwrap();
        let digests = (0..layout.count())
            .map(|index| {
                let start = layout.offset(index) as usize;
                let length = layout.length(index).unwrap();
                chunk_digest(&layout, index, &bytes[start..start + length])
            })
            .collect();
        (layout, digests)
    }

    #[test]
    fn the_root_is_the_plain_blake3_hash() {
        for size in [0, 1, 1024, MIB - 1, MIB, MIB + 1, 2 * MIB, 3 * MIB + 5, 8 * MIB, 9 * MIB + 1]
        {
            let bytes = file(size);
            let (layout, digests) = digests(&bytes);
            let mut builder = RootBuilder::new(layout);
            for (index, digest) in digests.iter().enumerate() {
                builder.insert(index as u32, *digest).unwrap();
            }
            assert_eq!(builder.finish().unwrap(), Digest::of_bytes(&bytes), "size {size}");
        }
    }

    #[test]
    fn a_chunk_hashed_in_pieces_has_the_same_digest() {
        for size in [5, MIB, 3 * MIB + 70_001] {
            let bytes = file(size);
            let (layout, digests) = digests(&bytes);
            for (index, expected) in digests.iter().enumerate() {
                let start = layout.offset(index as u32) as usize;
                let chunk = &bytes[start..start + layout.length(index as u32).unwrap()];
                let mut hasher = ChunkHasher::new(&layout, index as u32);
                chunk.chunks(70_000).for_each(|piece| hasher.update(piece));
                assert_eq!(hasher.finish(), *expected, "size {size}, chunk {index}");
            }
        }
        let layout = Layout::for_size(2 * MIB as u64).unwrap();
        let mut hasher = ChunkHasher::new(&layout, 0);
        assert_eq!(hasher.finish(), Digest([0; 32]), "nothing is no chunk");
        (0..2).for_each(|_| hasher.update(&vec![7; MIB]));
        assert_eq!(hasher.finish(), Digest([0; 32]), "more than a chunk is no chunk");
    }

    #[test]
    fn a_missing_or_repeated_chunk_is_noticed() {
        let (layout, digests) = digests(&file(5 * MIB));
        let mut builder = RootBuilder::new(layout);
        for index in [0, 1, 3, 4] {
            builder.insert(index, digests[index as usize]).unwrap();
        }
        assert_eq!(builder.finish(), Err(RootError::Incomplete));
        assert_eq!(builder.insert(1, digests[1]), Err(RootError::Unexpected(1)));
        assert_eq!(builder.insert(5, digests[1]), Err(RootError::Unexpected(5)));
        builder.insert(2, digests[2]).unwrap();
        assert_eq!(builder.finish().unwrap(), Digest::of_bytes(&file(5 * MIB)));
    }

    #[test]
    fn memory_stays_small_for_chunks_in_order() {
        let layout = Layout::for_size(1 << 40).unwrap();
        let mut builder = RootBuilder::new(layout);
        for index in 0..100_000 {
            builder.insert(index, Digest([7; 32])).unwrap();
            assert!(builder.subtrees.len() <= 20);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn any_order_gives_the_same_root(
            chunks in 1usize..14, tail in 0usize..MIB, order in any::<u64>()
        ) {
            let bytes = file((chunks - 1) * MIB + tail);
            let (layout, digests) = digests(&bytes);
            let mut indexes: Vec<u32> = (0..layout.count()).collect();
            let mut state = order | 1;
            for at in (1..indexes.len()).rev() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                indexes.swap(at, (state >> 33) as usize % (at + 1));
            }
            let mut builder = RootBuilder::new(layout);
            for index in indexes {
                builder.insert(index, digests[index as usize]).unwrap();
            }
            prop_assert_eq!(builder.finish().unwrap(), Digest::of_bytes(&bytes));
        }
    }
}
