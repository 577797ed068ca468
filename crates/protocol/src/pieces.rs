//! Frames for data that has shifted (`docs/PROTOCOL.md` §4): the pieces of the version that a
//! receiver has, and recipes that make chunks of them.
//!
//! Where a file is cut into pieces, and whether a recipe makes its chunk, is for `transfer`.

use super::frame::{ChunkPrefix, FrameError, HEADER, Header, Kind, LAST};
use super::limits;

/// The first half of a piece's BLAKE3. It finds a piece; the digest of the chunk decides.
pub type PieceHash = [u8; 16];

/// One piece of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Length in bytes.
    pub length: u32,
    /// Hash of those bytes.
    pub hash: PieceHash,
}

/// Pieces of a file, one after another, from where the page before ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PiecesPage {
    /// 0 to 1024 pieces; none only in a page that is the last.
    pub pieces: Vec<Piece>,
    /// No more pages will follow.
    pub last: bool,
}

impl PiecesPage {
    /// The whole frame, header included.
    #[must_use]
    pub fn encode(&self, id: u32) -> Vec<u8> {
        let length = limits::PIECE as usize * self.pieces.len();
        let flags = if self.last { LAST } else { 0 };
        let length32 = u32::try_from(length).unwrap_or(u32::MAX);
        let mut bytes = Vec::with_capacity(HEADER + length);
        let header = Header { kind: Kind::Pieces, flags, id, length: length32 };
        bytes.extend_from_slice(&header.encode());
        for piece in &self.pieces {
            bytes.extend_from_slice(&piece.length.to_be_bytes());
            bytes.extend_from_slice(&piece.hash);
        }
        bytes
    }

    /// Reads the body of a `PIECES` frame.
    ///
    /// # Errors
    /// [`FrameError::Body`] unless it is whole pieces, none of them empty, and at least one in a
    /// page that is not the last.
    pub fn decode(header: &Header, body: &[u8]) -> Result<Self, FrameError> {
        let wrong = FrameError::Body(Kind::Pieces);
        let (pieces, tail) = body.as_chunks::<{ limits::PIECE as usize }>();
        let last = header.flags & LAST != 0;
        if !tail.is_empty() || (pieces.is_empty() && !last) {
            return Err(wrong);
        }
        let read = |bytes: &[u8; limits::PIECE as usize]| {
            let (length, hash) = bytes.split_first_chunk::<4>()?;
            let length = u32::from_be_bytes(*length);
            (length > 0).then_some(Piece { length, hash: hash.try_into().ok()? })
        };
        let pieces = pieces.iter().map(read).collect::<Option<_>>().ok_or(wrong)?;
        Ok(Self { pieces, last })
    }
}

/// One step of a recipe: the next bytes of the chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'bytes> {
    /// They are in the version that the receiver has.
    Copy {
        /// Where, from the start of that version.
        offset: u64,
        /// How many, at least 1.
        length: usize,
    },
    /// They are here.
    Literal(&'bytes [u8]),
}

/// Set in the length of a step whose bytes follow it.
const LITERAL: u32 = 1 << 31;
/// Bytes of a length and of an offset.
const LENGTH: usize = 4;
const COPY: usize = LENGTH + 8;

impl Step<'_> {
    /// Bytes this step takes in a recipe.
    #[must_use]
    pub fn cost(&self) -> usize {
        match self {
            Self::Copy { .. } => COPY,
            Self::Literal(bytes) => LENGTH + bytes.len(),
        }
    }

    fn write(&self, recipe: &mut Vec<u8>) {
        let number = |length: usize| u32::try_from(length).unwrap_or(0);
        match self {
            Self::Copy { offset, length } => {
                recipe.extend_from_slice(&number(*length).to_be_bytes());
                recipe.extend_from_slice(&offset.to_be_bytes());
            }
            Self::Literal(bytes) => {
                recipe.extend_from_slice(&(number(bytes.len()) | LITERAL).to_be_bytes());
                recipe.extend_from_slice(bytes);
            }
        }
    }
}

/// A whole `RECIPE` frame of transfer `id`.
#[must_use]
pub fn recipe<'bytes>(
    id: u32,
    prefix: &ChunkPrefix,
    steps: impl Iterator<Item = Step<'bytes>> + Clone,
) -> Vec<u8> {
    let body = limits::CHUNK_PREFIX as usize + steps.clone().map(|step| step.cost()).sum::<usize>();
    let mut frame = Vec::with_capacity(HEADER + body);
    let header = Header::new(Kind::Recipe, id, u32::try_from(body).unwrap_or(u32::MAX));
    frame.extend_from_slice(&header.encode());
    frame.extend_from_slice(&prefix.encode());
    steps.for_each(|step| step.write(&mut frame));
    frame
}

/// The steps in the body of a `RECIPE`, behind its prefix. It ends after the first that is
/// malformed.
pub fn steps(body: &[u8]) -> impl Iterator<Item = Result<Step<'_>, FrameError>> {
    let mut rest = Some(body);
    std::iter::from_fn(move || {
        let bytes = rest.take().filter(|bytes| !bytes.is_empty())?;
        let read = first_step(bytes);
        rest = read.map(|(_, rest)| rest);
        Some(read.map(|(step, _)| step).ok_or(FrameError::Body(Kind::Recipe)))
    })
}

fn first_step(bytes: &[u8]) -> Option<(Step<'_>, &[u8])> {
    let (tagged, rest) = bytes.split_first_chunk::<LENGTH>()?;
    let tagged = u32::from_be_bytes(*tagged);
    let length = (tagged & !LITERAL) as usize;
    if length == 0 {
        return None;
    }
    if tagged & LITERAL != 0 {
        return rest.split_at_checked(length).map(|(bytes, rest)| (Step::Literal(bytes), rest));
    }
    let (offset, rest) = rest.split_first_chunk::<8>()?;
    Some((Step::Copy { offset: u64::from_be_bytes(*offset), length }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Side;
    use proptest::prelude::*;
    use sealane_base::types::Digest;

    fn parts(frame: &[u8]) -> (Header, &[u8]) {
        let header = Header::decode(frame[..HEADER].try_into().unwrap(), Side::Client).unwrap();
        assert_eq!(header.length as usize, frame.len() - HEADER);
        (header, &frame[HEADER..])
    }

    #[test]
    fn a_page_reads_back_and_must_be_whole() {
        let pieces = vec![Piece { length: 7, hash: [1; 16] }, Piece { length: 9, hash: [2; 16] }];
        let page = PiecesPage { pieces, last: false };
        let frame = page.encode(5);
        let (header, body) = parts(&frame);
        assert_eq!(PiecesPage::decode(&header, body), Ok(page));
        for wrong in [&body[1..], &[0; 20], &[]] {
            assert!(PiecesPage::decode(&header, wrong).is_err());
        }
        let last = Header { flags: LAST, ..header };
        assert_eq!(PiecesPage::decode(&last, &[]).unwrap().pieces, []);
    }

    #[test]
    fn a_recipe_reads_back() {
        let wanted = [
            Step::Copy { offset: 1 << 40, length: 70_000 },
            Step::Literal(b"new"),
            Step::Copy { offset: 0, length: 1 },
        ];
        let prefix = ChunkPrefix { index: 3, digest: Digest([9; 32]) };
        let frame = recipe(5, &prefix, wanted.into_iter());
        let (header, body) = parts(&frame);
        assert_eq!(header.kind, Kind::Recipe);
        let (front, body) = body.split_at(limits::CHUNK_PREFIX as usize);
        assert_eq!(ChunkPrefix::decode(front.try_into().unwrap()), prefix);
        assert_eq!(steps(body).collect::<Result<Vec<_>, _>>(), Ok(wanted.to_vec()));
        assert!(steps(&body[..body.len() - 1]).any(|step| step.is_err()));
    }

    proptest! {
        #[test]
        fn any_body_is_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..100)) {
            let read: Result<Vec<_>, _> = steps(&body).collect();
            if let Ok(read) = read {
                prop_assert_eq!(read.iter().map(Step::cost).sum::<usize>(), body.len());
            }
            let header = Header::new(Kind::Pieces, 1, 0);
            let _ = PiecesPage::decode(&header, &body);
        }
    }
}
