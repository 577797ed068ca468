//! Where a file is cut: the rule of the document, written once more, against what a server says.

use md5::{Digest as _, Md5};
use sealane_protocol::pieces::{Piece, PiecesPage};
use sealane_protocol::{Header, Kind, ServerMessage, frame};
use serde_json::{Value, json};

use super::vectors::{checked, hex, input};
use super::{document, table};
use crate::support::Pair;
use crate::support::peer::put;

const SEED: &str = "cuts";
/// Odd, so that the last byte stands alone.
const SIZE: usize = (3 << 20) + 70_001;

/// The masks that the document gives for 2^`log2`.
fn masks(log2: u8) -> (u64, u64) {
    let rows = table(&document(), &["n", "strict", "loose"]);
    let row = rows.iter().find(|row| row[0] == log2.to_string()).unwrap();
    let mask = |cell: &str| u64::from_str_radix(cell.strip_prefix("0x").unwrap(), 16).unwrap();
    (mask(&row[1]), mask(&row[2]))
}

/// The lengths of the pieces of `bytes`, by the words of the document.
fn lengths(mut bytes: &[u8], log2: u8) -> Vec<usize> {
    let gear = |byte: u8| {
        let digest = Md5::digest([byte; 64]);
        u64::from_be_bytes(digest[..8].try_into().unwrap())
    };
    let gear: Vec<u64> = (0..=255).map(gear).collect();
    let ((strict, loose), average) = (masks(log2), 1usize << log2);
    let mut lengths = Vec::new();
    while !bytes.is_empty() {
        let (rest, least) = (bytes.len(), average / 4);
        let most = rest.min(4 * average);
        let mut hash = 0u64;
        let is_cut = |index: &usize| {
            hash = (hash << 1).wrapping_add(gear[usize::from(bytes[*index])]);
            hash & if *index < average { strict } else { loose } == 0
        };
        let cut = (least..most / 2 * 2).find(is_cut);
        let length = if rest <= least { rest } else { cut.unwrap_or(most) };
        lengths.push(length);
        bytes = &bytes[length..];
    }
    lengths
}

fn pieces(bytes: &[u8], log2: u8) -> Vec<Piece> {
    let mut at = 0;
    let piece = |length: usize| {
        let hash = blake3::hash(&bytes[at..at + length]);
        at += length;
        Piece { length: length as u32, hash: hash.as_bytes()[..16].try_into().unwrap() }
    };
    lengths(bytes, log2).into_iter().map(piece).collect()
}

/// What a server says of its present version, which is `bytes`.
async fn told(bytes: &[u8], log2: u8) -> Vec<u8> {
    let pair = Pair::new();
    pair.file("file", bytes);
    let mut peer = pair.logged_in().await;
    let id = peer.ask(put("file", bytes.len())).await;
    let ServerMessage::Accepted(accepted) = peer.answer_to(id).await else { panic!() };
    assert_eq!(accepted.pieces, Some(true));
    peer.send(&frame::fixed(Kind::Seek, id, &[log2])).await;
    let mut all = Vec::new();
    loop {
        let (header, body) = peer.frame_of(id).await;
        if header.kind == Kind::Pieces {
            all.extend(body);
            if header.flags != 0 {
                return all;
            }
        }
    }
}

fn vector(bytes: &[u8], log2: u8) -> Value {
    let pieces = pieces(bytes, log2);
    let list = pieces.iter().map(|piece| json!([piece.length, hex(&piece.hash)]));
    let list: Vec<_> = list.collect();
    let frame = PiecesPage { pieces, last: true }.encode(1);
    json!({ "n": log2, "pieces": list, "frame": hex(&frame) })
}

#[tokio::test]
async fn a_server_cuts_where_the_document_says() {
    let bytes = input(SEED, SIZE);
    for log2 in 16..=19 {
        let expected = PiecesPage { pieces: pieces(&bytes, log2), last: true }.encode(1);
        let header = Header::new(Kind::Pieces, 1, 0).encode().len();
        assert!(told(&bytes, log2).await == expected[header..], "{log2}");
    }
    // A file without a place to cut, and ends that are short or odd.
    for bytes in [vec![0; 3 << 20], input("odd", (1 << 20) + 1), input("short", (1 << 20) + 4096)] {
        let expected: Vec<u32> = pieces(&bytes, 16).iter().map(|piece| piece.length).collect();
        let told = told(&bytes, 16).await;
        let lengths =
            told.chunks(20).map(|piece| u32::from_be_bytes(piece[..4].try_into().unwrap()));
        assert_eq!(lengths.collect::<Vec<_>>(), expected);
    }
}

#[test]
fn the_vectors_of_cuts() {
    let bytes = input(SEED, SIZE);
    let cuts: Vec<_> = (16..=19).map(|log2| vector(&bytes, log2)).collect();
    checked("cuts.json", &json!({ "seed": SEED, "size": SIZE, "cuts": cuts }));
}
