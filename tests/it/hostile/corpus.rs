//! The corpora of the fuzz targets, and thousands of inputs near them, on every run and without a
//! fuzzer.

use std::path::Path;
use std::time::{Duration, Instant};

#[path = "../../../fuzz/decoders.rs"]
mod decoders;
#[path = "../../../fuzz/session.rs"]
mod session;

/// Changed inputs for each one of a corpus.
const NEAR: u64 = 200;
/// Most time for one input, on a machine that does something else besides.
const SLOW: Duration = Duration::from_secs(1);

/// The next number of a small generator (SplitMix64): the same run every time.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// `bytes` with some of it overwritten, removed, repeated, or cut.
fn changed(bytes: &[u8], state: &mut u64) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=next(state) % 3 {
        let at = (next(state) as usize) % (bytes.len() + 1);
        let up_to = (at + (next(state) as usize) % 9).min(bytes.len());
        match next(state) % 6 {
            0 if at < bytes.len() => bytes[at] ^= 1 << (next(state) % 8),
            1 if at < bytes.len() => bytes[at] = [0, 0x7f, 0x80, 0xff, 0x9f, 0xbf][at % 6],
            2 => drop(bytes.drain(at..up_to)),
            3 => {
                let piece = bytes[at..up_to].repeat(1 + (next(state) as usize) % 40);
                bytes.splice(at..at, piece);
            }
            4 => bytes.truncate(at),
            _ => bytes.insert(at, next(state) as u8),
        }
    }
    bytes
}

/// What is in the corpus of a target, in the same order every time.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let mut inputs: Vec<_> = std::fs::read_dir(corpus)
        .unwrap_or_else(|error| panic!("no corpus for {name}: {error}"))
        .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
        .collect();
    inputs.sort();
    assert!(!inputs.is_empty(), "{name}");
    inputs
}

#[test]
fn a_session_survives_the_corpus_and_what_comes_near_it() {
    let mut state = 2;
    for input in corpus("session") {
        session::session(&input);
        session::session(&changed(&input, &mut state));
    }
}

#[test]
fn every_decoder_survives_the_corpus_and_what_comes_near_it() {
    let mut state = 1;
    for (name, decode) in decoders::DECODERS {
        let inputs = corpus(name);
        for input in &inputs {
            decode(input);
            for _ in 0..NEAR {
                let near = changed(input, &mut state);
                let since = Instant::now();
                decode(&near);
                assert!(since.elapsed() < SLOW, "{name}: {near:02x?}");
            }
        }
    }
}
