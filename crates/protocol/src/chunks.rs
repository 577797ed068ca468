//! The binary parts of a transfer's frames: what stands in front of a chunk, and claims.

use super::frame::{FrameError, HEADER, Header, Kind, LAST};
use super::limits;
use sealane_base::types::Digest;

/// Index and digest in front of a chunk's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkPrefix {
    /// Which chunk of the file.
    pub index: u32,
    /// Its digest, as the sender computed it.
    pub digest: Digest,
}

impl ChunkPrefix {
    /// The 36 bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; limits::CHUNK_PREFIX as usize] {
        let mut bytes = [0; limits::CHUNK_PREFIX as usize];
        let (index, digest) = bytes.split_at_mut(4);
        index.copy_from_slice(&self.index.to_be_bytes());
        digest.copy_from_slice(&self.digest.0);
        bytes
    }

    /// Reads the 36 bytes; every value is well-formed.
    #[must_use]
    pub fn decode(bytes: &[u8; limits::CHUNK_PREFIX as usize]) -> Self {
        let mut digest = [0; 32];
        let (index, rest) = bytes.split_at(4);
        digest.copy_from_slice(rest);
        let index = index.iter().fold(0, |number, &byte| number << 8 | u32::from(byte));
        Self { index, digest: Digest(digest) }
    }
}

/// One page of claims: digests of chunks `first`, `first + 1`, …
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimsPage {
    /// Index of the first chunk claimed.
    pub first: u32,
    /// 1 to 1024 digests; none only in a page that is the first and the last.
    pub digests: Vec<Digest>,
    /// No more pages will follow.
    pub last: bool,
}

impl ClaimsPage {
    /// The whole frame, header included.
    #[must_use]
    pub fn encode(&self, id: u32) -> Vec<u8> {
        let length = 4 + 32 * self.digests.len();
        let flags = if self.last { LAST } else { 0 };
        let length32 = u32::try_from(length).unwrap_or(u32::MAX);
        let header = Header { kind: Kind::Claims, flags, id, length: length32 };
        let mut bytes = Vec::with_capacity(HEADER + length);
        bytes.extend_from_slice(&header.encode());
        bytes.extend_from_slice(&self.first.to_be_bytes());
        for digest in &self.digests {
            bytes.extend_from_slice(&digest.0);
        }
        bytes
    }

    /// Reads the body of a `CLAIMS` frame.
    ///
    /// # Errors
    /// [`FrameError::Body`] unless it is an index and whole digests, at least one of them in a
    /// page that is not the only one.
    pub fn decode(header: &Header, body: &[u8]) -> Result<Self, FrameError> {
        let wrong = FrameError::Body(Kind::Claims);
        let (first, rest) = body.split_first_chunk::<4>().ok_or(wrong)?;
        let (digests, tail) = rest.as_chunks::<32>();
        let (first, last) = (u32::from_be_bytes(*first), header.flags & LAST != 0);
        if !tail.is_empty() || (digests.is_empty() && !(last && first == 0)) {
            return Err(wrong);
        }
        let digests = digests.iter().map(|bytes| Digest(*bytes)).collect();
        Ok(Self { first, digests, last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Side;
    use proptest::prelude::*;

    #[test]
    fn claims_need_whole_digests_and_progress() {
        let page = ClaimsPage { first: 3, digests: vec![Digest([9; 32]); 2], last: false };
        let bytes = page.encode(5);
        let header = Header::decode(bytes[..HEADER].try_into().unwrap(), Side::Client).unwrap();
        assert_eq!(ClaimsPage::decode(&header, &bytes[HEADER..]), Ok(page));
        for body in [&bytes[HEADER..bytes.len() - 1], &[0; 3], &[0; 4]] {
            assert_eq!(ClaimsPage::decode(&header, body), Err(FrameError::Body(Kind::Claims)));
        }
        let last = Header { flags: LAST, ..header };
        assert!(ClaimsPage::decode(&last, &[0; 4]).is_ok(), "nothing is held");
        assert!(ClaimsPage::decode(&last, &[0, 0, 0, 16]).is_err(), "the page before was the last");
    }

    proptest! {
        #[test]
        fn a_chunk_prefix_reads_back(index: u32, digest: [u8; 32]) {
            let prefix = ChunkPrefix { index, digest: Digest(digest) };
            prop_assert_eq!(ChunkPrefix::decode(&prefix.encode()), prefix);
        }
    }
}
