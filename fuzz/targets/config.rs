//! Feeds `decoders::config`; see `scripts/fuzz`.
#![no_main]

#[allow(dead_code, reason = "each target uses one of them")]
#[path = "../decoders.rs"]
mod decoders;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| decoders::config(bytes));
