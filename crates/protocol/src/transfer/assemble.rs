//! The receiver's side of shifted data: tells the pieces of the present version and makes chunks of
//! them.
//!
//! It reads the present version only, which stays as it is until the commit, and writes nothing: a
//! chunk that was put together is checked and written like one that was sent.

use super::TransferError;
use super::cut::Cutter;
use super::have_list::HaveList;
use super::tell::Teller;
use crate::limits;
use crate::pieces::{self, PiecesPage, Step};
use sealane_base::files::Sink;
use sealane_base::workers::yield_turn;

/// Pieces in a page: the sender can look for its first chunks in some 16 MiB of the present
/// version.
const PAGE: usize = limits::PAGE_PIECES / 4;

/// So much is cut before others have their turn.
const AT_ONCE: u64 = 4 << 20;

/// Cuts the present version and tells its pieces, page by page. Stops quietly when it cannot be
/// read on, when nobody needs more or when the connection has ended.
pub(super) async fn tell_pieces(
    sink: &dyn Sink,
    log2: u8,
    teller: &Teller,
    have_list: Option<&HaveList>,
) {
    let mut cutter = Cutter::new(log2, sink.present());
    let mut page = PiecesPage::default();
    let (mut told, mut turn) = (0, 0);
    while told < limits::PIECES {
        // Nothing that is cut is held back while it waits.
        if page.pieces.is_empty() {
            if let Some(have_list) = have_list {
                have_list.wait_for_need(cutter.position()).await;
            }
            if teller.is_over() {
                break;
            }
        }
        let read = |offset, buffer: &mut [u8]| sink.read_present(offset, buffer);
        let Ok(Some(found)) = cutter.next(read) else { break };
        page.pieces.push(found.piece);
        told += 1;
        if page.pieces.len() == PAGE {
            if teller.pieces(&page).await.is_err() {
                return;
            }
            page.pieces.clear();
        }
        if cutter.position() >= turn + AT_ONCE {
            turn = cutter.position();
            yield_turn().await;
        }
    }
    page.last = true;
    let _ = teller.pieces(&page).await;
}

/// Follows `recipe` and fills all of `chunk`. Says `false` if the present version cannot be read.
///
/// # Errors
/// [`TransferError::Protocol`] for steps that cannot be: malformed, too many, beyond the present
/// version or not exactly as long as the chunk.
pub(super) fn follow(
    recipe: &[u8],
    sink: &dyn Sink,
    chunk: &mut [u8],
) -> Result<bool, TransferError> {
    let wrong = TransferError::Protocol;
    let present = sink.present();
    let mut rest = chunk;
    let mut is_read = true;
    for (number, step) in pieces::steps(recipe).enumerate() {
        let step = step.map_err(|_| wrong("a malformed recipe"))?;
        if number >= limits::RECIPE_STEPS {
            return Err(wrong("a recipe of too many steps"));
        }
        let length = match step {
            Step::Copy { length, .. } => length,
            Step::Literal(bytes) => bytes.len(),
        };
        let (room, behind) = std::mem::take(&mut rest)
            .split_at_mut_checked(length)
            .ok_or(wrong("a recipe for more than its chunk"))?;
        rest = behind;
        match step {
            Step::Literal(bytes) => room.copy_from_slice(bytes),
            Step::Copy { offset, length } => {
                let end = offset.checked_add(length as u64);
                if end.is_none_or(|end| end > present) {
                    return Err(wrong("a recipe from beyond the present version"));
                }
                is_read &= sink.read_present(offset, room).is_ok();
            }
        }
    }
    if rest.is_empty() { Ok(is_read) } else { Err(wrong("a recipe for less than its chunk")) }
}

/// Where in the present version a recipe's last step ends; `None` if that copies nothing.
pub(super) fn copied_until(recipe: &[u8]) -> Option<u64> {
    match pieces::steps(recipe).last() {
        Some(Ok(Step::Copy { offset, length })) => offset.checked_add(length as u64),
        _ => None,
    }
}

/// How many bytes of its chunk a recipe holds itself.
pub(super) fn literal_bytes(recipe: &[u8]) -> usize {
    let literal = |step: &Step<'_>| if let Step::Literal(bytes) = step { bytes.len() } else { 0 };
    pieces::steps(recipe).flatten().map(|step| literal(&step)).sum()
}
