//! Data that has moved within its file: little is sent, and nothing wrong is ever made of it.

use proptest::prelude::*;

use super::*;
use crate::limits;
use crate::pieces::{self, Piece, PiecesPage, Step};
use sealane_base::types::digest::chunk_digest;

/// Bytes that repeat nowhere.
fn noise(size: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; size];
    blake3::Hasher::new().update(&seed.to_be_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// A sink that replaces `present`: what fits of it is held.
fn replacing(present: &[u8], size: usize) -> MemorySink {
    let held = &present[..present.len().min(size)];
    MemorySink { present: present.to_vec(), ..MemorySink::holding(held) }
}

async fn replace(present: &[u8], new: &[u8]) -> Outcome {
    let sink = Arc::new(replacing(present, new.len()));
    let (sent, received) = transfer(source(new), sink.clone(), true).await;
    let (sent, received) = (sent.unwrap(), received.unwrap());
    assert_eq!(sent, received);
    assert_eq!(sent.moved + sent.reused, new.len() as u64);
    assert!(sink.content()[..new.len()] == *new);
    received
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shift_costs_what_is_new_and_not_the_rest() {
    let old = noise(40 * MIB, 1);
    let new = noise(100, 2);
    let cases = [
        ("inserted in front", [&new, &old[..]].concat(), 3 * MIB),
        ("inserted in the middle", [&old[..20 * MIB], &new, &old[20 * MIB..]].concat(), 3 * MIB),
        ("taken out", [&old[..9 * MIB], &old[9 * MIB + 12_345..]].concat(), 3 * MIB),
        ("blocks changed places", [&old[24 * MIB + 5..], &old[..24 * MIB + 5]].concat(), 3 * MIB),
        ("twice", [&old[7..], &old[..]].concat(), 3 * MIB),
        // A change in place pays for its chunk alone.
        ("one chunk", [&old[..9 * MIB], &noise(MIB, 3), &old[10 * MIB..]].concat(), MIB),
        ("something else", noise(40 * MIB, 4), 40 * MIB),
    ];
    for (name, new, most) in cases {
        let outcome = replace(&old, &new).await;
        assert!(outcome.moved <= most as u64, "{name}: {}", outcome.moved);
    }
}

#[derive(Clone, Debug)]
enum Edit {
    Insert(usize, usize),
    Remove(usize, usize),
    Copy(usize, usize, usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    let place = 0usize..8 * MIB;
    let length = 1usize..2 * MIB;
    prop_oneof![
        (place.clone(), length.clone()).prop_map(|(at, length)| Edit::Insert(at, length / 20)),
        (place.clone(), length.clone()).prop_map(|(at, length)| Edit::Remove(at, length)),
        (place.clone(), place, length).prop_map(|(from, to, length)| Edit::Copy(from, to, length)),
    ]
}

fn edited(mut bytes: Vec<u8>, edits: &[Edit]) -> Vec<u8> {
    for (number, edit) in edits.iter().enumerate() {
        let end = bytes.len();
        match *edit {
            Edit::Insert(at, length) => {
                let at = at.min(end);
                bytes.splice(at..at, noise(length, 100 + number as u64));
            }
            Edit::Remove(at, length) => drop(bytes.drain(at.min(end)..(at + length).min(end))),
            Edit::Copy(from, to, length) => {
                let piece = bytes[from.min(end)..(from + length).min(end)].to_vec();
                bytes.splice(to.min(end)..to.min(end), piece);
            }
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_was_edited_the_result_is_the_source(edits in prop::collection::vec(edit(), 1..5)) {
        let old = noise(8 * MIB + 123, 5);
        let new = edited(old.clone(), &edits);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(replace(&old, &new));
    }
}

/// A recipe for chunk 0 of `bytes`.
fn recipe_frame(bytes: &[u8], steps: &[Step<'_>]) -> Vec<u8> {
    let layout = Layout::for_size(bytes.len() as u64).unwrap();
    let digest = chunk_digest(&layout, 0, &bytes[..MIB]);
    pieces::recipe(ID, &ChunkPrefix { index: 0, digest }, steps.iter().copied())
}

#[tokio::test(flavor = "multi_thread")]
async fn recipes_that_cannot_be_end_the_transfer() {
    let bytes = noise(2 * MIB, 6);
    let copy = |offset, length| Step::Copy { offset, length };
    let many: Vec<_> = (0..limits::RECIPE_STEPS as u64 + 1).map(|at| copy(at, 1000)).collect();
    for (name, steps) in [
        ("beyond the present version", vec![copy(2 * MIB as u64 - 1, MIB)]),
        ("at the end of numbers", vec![copy(u64::MAX, MIB)]),
        ("less than the chunk", vec![copy(0, MIB - 1)]),
        ("more than the chunk", vec![copy(0, MIB), copy(0, 1)]),
        ("much more than the chunk", vec![copy(0, 0x7fff_ffff)]),
        ("nothing", vec![]),
        ("too many steps", many),
    ] {
        let sink = replacing(&bytes, bytes.len());
        let frames = [recipe_frame(&bytes, &steps)];
        let error = receive_into(sink, bytes.len(), &frames).await;
        assert!(matches!(error, TransferError::Protocol(_)), "{name}: {error}");
    }
    // As long as a chunk, or for no chunk: not even read.
    let long = recipe_frame(&bytes, &[Step::Literal(&bytes[..MIB])]);
    let mut stray = recipe_frame(&bytes, &[copy(0, MIB)]);
    stray[13] = 9;
    for frame in [long, stray] {
        let error = receive_into(replacing(&bytes, bytes.len()), bytes.len(), &[frame]).await;
        assert!(matches!(error, TransferError::Interrupted), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_may_ask_once_and_is_told_when_a_recipe_is_wrong_once() {
    let bytes = noise(2 * MIB, 7);
    let seek = |log2: u8| frame::fixed(Kind::Seek, ID, &[log2]);
    for frames in [vec![seek(16), seek(16)], vec![seek(15)], vec![seek(20)]] {
        let sink = replacing(&bytes, bytes.len());
        let error = receive_into(sink, bytes.len(), &frames).await;
        assert!(matches!(error, TransferError::Protocol(_)), "{error}");
    }
    // The second recipe for a chunk whose first was wrong; the end without its bytes.
    let wrong = recipe_frame(&bytes, &[Step::Copy { offset: 1, length: MIB }]);
    let end = frame::fixed(Kind::End, ID, &Digest::of_bytes(&bytes).0);
    for frames in [vec![wrong.clone(), wrong.clone()], vec![wrong, end]] {
        let sink = replacing(&bytes, bytes.len());
        let error = receive_into(sink, bytes.len(), &frames).await;
        assert!(matches!(error, TransferError::Protocol(_)), "{error}");
    }
}

/// A receiver whose present version is not what it says when it is read once more.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_copy_is_sent_as_bytes_and_never_written() {
    let old = noise(12 * MIB, 8);
    let new = [&b"x"[..], &old].concat();
    let sink = Arc::new(replacing(&old, new.len()));
    sink.spoiled.store(true, Ordering::Relaxed);
    let (sent, received) = transfer(source(&new), sink.clone(), true).await;
    assert_eq!(sent.unwrap(), received.unwrap());
    assert!(sink.content()[..new.len()] == new);
    assert!(sink.committed.load(Ordering::Relaxed));
}

#[tokio::test(flavor = "multi_thread")]
async fn receivers_that_lie_about_their_pieces_are_found_out() {
    let page = |count: usize, last| {
        let piece = Piece { length: 70_000, hash: [3; 16] };
        PiecesPage { pieces: vec![piece; count], last }.encode(ID)
    };
    let claims = |last| ClaimsPage { first: 0, digests: vec![Digest([0; 32]); 6], last }.encode(ID);
    let acks = || (0..2u32).map(|index| frame::fixed(Kind::Ack, ID, &index.to_be_bytes()));
    let asked = |after: Vec<Vec<u8>>| -> Vec<Vec<u8>> {
        std::iter::once(claims(true)).chain(acks()).chain(after).collect()
    };
    let flood = std::iter::repeat_n(page(1024, false), limits::PIECES / 1024 + 1).collect();
    let refusal = frame::acknowledgement(ID, 2, true).to_vec();
    for (name, frames) in [
        ("nobody asked", vec![page(1, true)]),
        ("after the last", asked(vec![page(1, true), page(1, true)])),
        ("without end", asked(flood)),
        ("refuses a chunk", asked(vec![page(1, true), refusal])),
    ] {
        let (sent, _) = send_to(true, frames).await;
        assert!(matches!(sent, Err(TransferError::Protocol(_))), "{name}: {sent:?}");
    }
}
