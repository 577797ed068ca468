//! The whole service against a simple model: real sessions over TLS do anything in any order, and
//! after each step the outcome, at intervals the homes, the ledgers and the disk, must be what the
//! model says.
//!
//! `SEALANE_CASES` says how many sequences are tried. The model knows nothing of chunks, claims or
//! locks; what a cut or a race leaves open it takes from the disk, if it is one of the things it
//! may be.

mod limits;
mod line;
mod look;
mod reference;
mod steps;
mod world;

use proptest::prelude::*;

use world::World;

/// Sequences in the suite.
const CASES: u32 = 32;

fn cases() -> u32 {
    std::env::var("SEALANE_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(CASES)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(),
        failure_persistence: None,
        max_shrink_iters: 400,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_service_does_what_the_model_does(later in prop::collection::vec(steps::step(), 1..50)) {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.unwrap().block_on(async {
            let mut world = World::new().await;
            let beginning = (0..2).flat_map(steps::beginning);
            for (number, step) in beginning.chain(later).enumerate() {
                world.take(step).await;
                if number % 8 == 7 {
                    world.look().await;
                }
            }
            world.look().await;
        });
    }
}
