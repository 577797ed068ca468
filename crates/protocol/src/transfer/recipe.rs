//! The sender's side of shifted data: which bytes of a chunk the receiver has elsewhere.
//!
//! It begins when more than [`DIFFERENCES_IN_PLACE`] chunks of the have-list have differed: the
//! receiver is asked for the pieces of its present version, the source is cut in the same way, and
//! what both have travels as a few numbers. The chunk stays what is verified and acknowledged, so a
//! wrong recipe costs one more sending of that chunk and nothing else.

use std::collections::{HashMap, VecDeque};

use super::TransferError;
use super::cut::{Cutter, piece_log2};
use crate::frame::ChunkPrefix;
use crate::limits;
use crate::pieces::{self, Piece, PieceHash, PiecesPage, Step};
use sealane_base::files::Source;
use sealane_base::types::Layout;

/// Chunks that may differ before pieces are asked for: a change in place touches one chunk or two.
const DIFFERENCES_IN_PLACE: u32 = 2;
/// How far the pieces must be known beyond a chunk before it counts as one that the receiver does
/// not have. What was taken out of the file may be that long; what moved further is found once its
/// pieces have come.
const AHEAD: u64 = 256 << 20;
/// So much cut and nothing found: this is another file.
const IN_VAIN: u64 = 256 << 20;

/// A whole `RECIPE` frame, and how many of the chunk's bytes are in it.
pub(super) struct Recipe {
    pub(super) frame: Vec<u8>,
    pub(super) literal: usize,
}

enum State {
    /// The receiver cannot answer.
    Never,
    /// It was asked and it was no use.
    Off,
    /// So many chunks have differed.
    Waiting(u32),
    /// Pieces come.
    Asked(Box<Known>),
}

/// What a sender knows of the version that the receiver has.
pub(super) struct Shifted {
    layout: Layout,
    state: State,
}

struct Known {
    /// Where each piece begins in the receiver's version.
    places: HashMap<PieceHash, u64>,
    /// Pieces told and where they end.
    told: usize,
    end: u64,
    complete: bool,
    cutter: Cutter,
    /// The chunk that was looked for, and how many pieces were told by then.
    looked: Option<(u64, usize)>,
    cut: u64,
    /// Where the receiver has bytes of the source, in order of the source, apart from one another.
    spans: VecDeque<Span>,
    is_useful: bool,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    source: u64,
    length: u64,
    present: u64,
}

impl Shifted {
    /// `answers`: the receiver has said that it can be asked.
    pub(super) fn new(layout: Layout, answers: bool) -> Self {
        Self { layout, state: if answers { State::Waiting(0) } else { State::Never } }
    }

    /// Notes that a chunk differs; gives the body of `SEEK` when it is time to ask.
    pub(super) fn differs(&mut self) -> Option<[u8; 1]> {
        let State::Waiting(differing) = &mut self.state else { return None };
        *differing += 1;
        if *differing <= DIFFERENCES_IN_PLACE {
            return None;
        }
        let log2 = piece_log2(self.layout.size());
        let cutter = Cutter::new(log2, self.layout.size());
        self.state = State::Asked(Box::new(Known {
            places: HashMap::new(),
            told: 0,
            end: 0,
            complete: false,
            cutter,
            looked: None,
            cut: 0,
            spans: VecDeque::new(),
            is_useful: false,
        }));
        Some([log2])
    }

    /// Takes in what the receiver tells.
    pub(super) fn add(&mut self, page: &PiecesPage) -> Result<(), TransferError> {
        match &mut self.state {
            State::Asked(known) => known.add(page),
            State::Off => Ok(()), // still on their way when they turned out to be no use
            State::Never | State::Waiting(_) => {
                Err(TransferError::Protocol("pieces that nobody asked for"))
            }
        }
    }

    /// Whether pieces that are still to come may make a better recipe for chunk `index`.
    pub(super) fn wants_more(&self, index: u32) -> bool {
        match &self.state {
            State::Asked(known) => !known.complete && known.end < self.layout.offset(index) + AHEAD,
            _ => false,
        }
    }

    /// Whether pieces have come since a recipe was last looked for.
    pub(super) fn has_news(&self) -> bool {
        match &self.state {
            State::Asked(known) => {
                known.complete || known.looked.is_none_or(|(_, told)| told < known.told)
            }
            _ => true,
        }
    }

    /// No more recipes: one of them was wrong.
    pub(super) fn give_up(&mut self) {
        self.state = State::Off;
    }

    /// A recipe for a chunk, which holds `bytes`, if that is worth it; one with much that is new
    /// only if no more pieces are wanted.
    pub(super) fn recipe(
        &mut self,
        id: u32,
        prefix: &ChunkPrefix,
        source: &dyn Source,
        bytes: &[u8],
    ) -> Result<Option<Recipe>, TransferError> {
        let is_final = !self.wants_more(prefix.index);
        let State::Asked(known) = &mut self.state else { return Ok(None) };
        let start = self.layout.offset(prefix.index);
        known.look_at(start, start + bytes.len() as u64, source)?;
        if known.cut > IN_VAIN && !known.is_useful {
            self.state = State::Off;
            return Ok(None);
        }
        let steps = known.steps(start, bytes);
        let cost: usize = steps.clone().map(|step| step.cost()).sum();
        // What saves less than a quarter is not worth the receiver's reading.
        let most = if is_final { bytes.len() / 4 * 3 } else { bytes.len() / 4 };
        if cost > most || steps.clone().count() > limits::RECIPE_STEPS {
            return Ok(None);
        }
        let copied: usize = steps.clone().map(|step| copied(&step)).sum();
        let frame = pieces::recipe(id, prefix, steps);
        Ok(Some(Recipe { frame, literal: bytes.len() - copied }))
    }
}

fn copied(step: &Step<'_>) -> usize {
    if let Step::Copy { length, .. } = step { *length } else { 0 }
}

impl Known {
    fn add(&mut self, page: &PiecesPage) -> Result<(), TransferError> {
        self.told += page.pieces.len();
        if self.complete || self.told > limits::PIECES {
            return Err(TransferError::Protocol("more pieces than there may be"));
        }
        for &Piece { length, hash } in &page.pieces {
            self.places.entry(hash).or_insert(self.end);
            self.end += u64::from(length);
        }
        self.complete = page.last;
        Ok(())
    }

    /// Cuts the source up to `end` and notes what the receiver has of it from `start` on.
    fn look_at(&mut self, start: u64, end: u64, source: &dyn Source) -> Result<(), TransferError> {
        while self.spans.front().is_some_and(|span| span.source + span.length <= start) {
            self.spans.pop_front();
        }
        let again = self.looked.is_some_and(|(before, told)| before == start && told < self.told);
        if again {
            self.spans.clear();
            self.cut -= self.cutter.position().saturating_sub(start);
            self.cutter.return_to(start);
        }
        self.looked = Some((start, self.told));
        self.cutter.skip_to(start);
        while self.cutter.position() < end {
            let read = |offset, buffer: &mut [u8]| source.read_at(offset, buffer);
            let Some(found) = self.cutter.next(read)? else { break };
            let length = u64::from(found.piece.length);
            self.cut += length;
            let Some(&present) = self.places.get(&found.piece.hash) else { continue };
            self.is_useful = true;
            match self.spans.back_mut() {
                Some(last)
                    if last.source + last.length == found.offset
                        && last.present + last.length == present =>
                {
                    last.length += length;
                }
                _ => self.spans.push_back(Span { source: found.offset, length, present }),
            }
        }
        Ok(())
    }

    /// The chunk of `bytes` at `start` as copies and what lies between them.
    fn steps<'a>(&'a self, start: u64, bytes: &'a [u8]) -> impl Iterator<Item = Step<'a>> + Clone {
        let end = start + bytes.len() as u64;
        let at = move |offset: u64| usize::try_from(offset - start).unwrap_or(0);
        let copies = self.spans.iter().filter_map(move |span| {
            let from = span.source.max(start);
            let to = (span.source + span.length).min(end);
            (from < to).then(|| (at(from)..at(to), span.present + (from - span.source)))
        });
        let mut written = 0;
        let closed = copies.map(Some).chain(std::iter::once(None));
        closed.flat_map(move |copy| {
            let (range, offset) = copy.unwrap_or((bytes.len()..bytes.len(), 0));
            let between = bytes.get(written..range.start).unwrap_or_default();
            written = range.end;
            let literal = (!between.is_empty()).then_some(Step::Literal(between));
            let length = range.len();
            let copy = (length > 0).then_some(Step::Copy { offset, length });
            literal.into_iter().chain(copy)
        })
    }
}
