//! A link that is cut at every byte, stalls, flips bits, loses, doubles and swaps records: the file
//! arrives as it is, or a clear error is said; never another file, and never for ever.
//!
//! The suite looks at a part of the places. `SEALANE_EVERY_OFFSET=1 scripts/torture` looks at all.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sealane_base::files::{FileMeta, FileSource, LocalSink, Sink, Tree};
use sealane_base::types::RemotePath;
use sealane_client::Client;
use sealane_client::tree::{
    Compare, Ends, Exclude, Listing, Plan, Preserve, Rules, download_tree, list_remote, upload_tree,
};
use sealane_protocol::transfer::Meter;
use tempfile::TempDir;

use crate::support::faults::{Fault, Line, Network, What};
use crate::support::trees::{make, same};
use crate::support::{Tally, noise};

const MIB: usize = 1 << 20;

fn everything() -> bool {
    std::env::var_os("SEALANE_EVERY_OFFSET").is_some()
}

/// One file that goes from one end to the other again and again, another one each time.
struct Stage {
    network: Arc<Network>,
    local: TempDir,
    down: bool,
    /// Three chunks of which the last one changes, else one small file.
    large: bool,
    rounds: u64,
    tally: Tally,
}

impl Stage {
    fn new(down: bool, large: bool) -> Self {
        let local = tempfile::tempdir().unwrap();
        Self { network: Network::new(), local, down, large, rounds: 0, tally: Tally::default() }
    }

    /// Brings a new version over a line with `fault` on it, and looks at what arrived.
    async fn round(&mut self, fault: Fault) -> Arc<Line> {
        self.rounds += 1;
        let mut bytes = if self.large { noise(2 * MIB, 1) } else { Vec::new() };
        bytes.extend(noise(100, self.rounds));
        let (here, there) = (self.local.path().join("file"), self.network.pair.home().join("file"));
        let (source, target) = if self.down { (&there, &here) } else { (&here, &there) };
        std::fs::write(source, &bytes).unwrap();
        let (network, down) = (self.network.clone(), self.down);
        let work = async {
            let (link, line) = network.link(fault, || None).await;
            if down {
                get(&link, here.clone()).await;
            } else {
                put(&link, &here).await;
            }
            link.close().await;
            line
        };
        let line = network.run(work).await;
        self.tally.file(std::fs::read(target).unwrap() == bytes, fault);
        assert!(self.network.pair.partials().is_empty(), "{fault:?}");
        assert_eq!(crate::support::names(self.local.path()), ["file"], "{fault:?}");
        self.tally.links += u64::from(line.struck.load(Ordering::Relaxed));
        line
    }

    /// Bytes and records of a round with nothing wrong, in both directions.
    async fn measure(&mut self) -> [(bool, u64, u64); 2] {
        let nowhere = Fault { up: true, at: u64::MAX, what: What::Lose };
        self.round(nowhere).await; // the next one has something to resume from
        let line = self.round(nowhere).await;
        let count = |up: bool| {
            let passed = if up { &line.up } else { &line.down };
            (up, passed.bytes.load(Ordering::Relaxed), passed.records.load(Ordering::Relaxed))
        };
        [count(true), count(false)]
    }

    /// `what` at every place, or at every `step`th one. Gives how many places there were.
    async fn at_every(&mut self, what: What, by_record: bool, step: u64) -> u64 {
        let (mut places, struck) = (0, self.tally.links);
        for (up, bytes, records) in self.measure().await {
            let end = if by_record { records } else { bytes };
            assert!(by_record || end > 1000, "{end}");
            for at in (self.rounds % step..end).step_by(step as usize) {
                self.round(Fault { up, at, what }).await;
                places += 1;
            }
        }
        // Handshakes differ by a few bytes, and the last ones are a farewell.
        let struck = self.tally.links - struck;
        assert!(struck * 20 >= places * 17, "{what:?} happened {struck} times at {places} places");
        places
    }
}

async fn put(link: &Client, from: &Path) {
    let source = Arc::new(FileSource::open(from).unwrap());
    let to = RemotePath::parse("file").unwrap();
    link.upload(&to, source, FileMeta::default(), Arc::default()).await.unwrap();
}

async fn get(link: &Client, to: PathBuf) {
    let open = move |size, meta| -> Result<Arc<dyn Sink>, _> {
        Ok(Arc::new(LocalSink::create(&to, size, meta, false)?))
    };
    link.download(&RemotePath::parse("file").unwrap(), true, open, Arc::default()).await.unwrap();
}

/// `what` for small and large files, up and down.
fn everywhere(what: What, by_record: bool, step: u64) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    let step = if everything() || by_record { 1 } else { step };
    runtime.unwrap().block_on(async {
        let mut places = 0;
        for (down, large) in [(false, false), (false, true), (true, false), (true, true)] {
            let mut stage = Stage::new(down, large);
            places += stage.at_every(what, by_record, step).await;
        }
        eprintln!("{what:?}: {places} places");
    });
}

#[test]
fn a_cut_at_any_byte() {
    everywhere(What::Cut, false, 173);
}

#[test]
fn a_flipped_bit_at_any_byte() {
    everywhere(What::Flip, false, 311);
}

#[test]
fn a_link_that_stands_still_from_any_byte_on() {
    everywhere(What::Stall, false, 997);
}

#[test]
fn a_lost_record() {
    everywhere(What::Lose, true, 1);
}

#[test]
fn a_doubled_record() {
    everywhere(What::Double, true, 1);
}

#[test]
fn two_records_in_the_wrong_order() {
    everywhere(What::Swap, true, 1);
}

/// A number that follows from `seed` and nothing else, below `end`.
fn any(seed: u64, end: u64) -> u64 {
    let hash = blake3::hash(&seed.to_le_bytes());
    u64::from_le_bytes(hash.as_bytes()[..8].try_into().unwrap()) % end
}

fn listed(tree: &Tree) -> Listing {
    tree.walk(&|_, _| false).into()
}

/// Brings a tree over a network that cuts every connection somewhere; gives how many it cut.
async fn tree_over_cuts(
    network: &Arc<Network>,
    local: &Path,
    down: bool,
    sync: bool,
    salt: u64,
) -> u64 {
    let count = Arc::new(AtomicU64::new(0));
    let cutting = count.clone();
    let next = move || {
        let number = cutting.fetch_add(1, Ordering::Relaxed);
        let seed = salt * 1_000_000 + number;
        // On the way of the bytes, or on that of the requests and answers.
        let with_bytes = any(seed + 500_000, 4) > 0;
        let range = match number % 3 {
            _ if !with_bytes => 6000,
            0 => 2_500_000,
            _ => 60_000,
        };
        Fault { up: with_bytes != down, at: 7000 + any(seed, range), what: What::Cut }
    };
    let first = next();
    let (link, _) = network.link(first, move || Some(next())).await;
    let base = RemotePath::parse("tree").unwrap();
    let (tree, exclude) = (Arc::new(Tree::open(local).unwrap()), Exclude::default());
    let there = list_remote(&link, &base, &exclude).await.unwrap();
    let compare = if sync { Compare::Time } else { Compare::Content };
    let preserve = match (sync, down) {
        (false, _) => Preserve::No,
        (true, true) => Preserve::Here,
        (true, false) => Preserve::There,
    };
    let rules = Rules { compare, delete: sync, preserve };
    let here = listed(&tree);
    let plan = if down { Plan::new(there, here, rules) } else { Plan::new(here, there, rules) };
    let meter = Arc::new(Meter::default());
    let ends = Ends { client: link, tree, base, preserve: sync, cache: None, meter: meter.clone() };
    let (ends, mut failed) = (Arc::new(ends), Vec::new());
    let on = |event: sealane_client::tree::Event| {
        failed.extend(event.result.err().map(|error| (event.path, error)));
    };
    let done = match down {
        true => download_tree(&ends, plan, on).await,
        false => upload_tree(&ends, plan, on).await,
    };
    done.unwrap();
    assert!(failed.is_empty(), "{failed:?}");
    assert_eq!(meter.verified_bytes(), meter.total_bytes(), "each byte counts once");
    count.load(Ordering::Relaxed) - 1
}

#[test]
fn trees_over_a_link_that_is_cut_again_and_again() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    let rounds = if everything() { 12 } else { 1 };
    runtime.unwrap().block_on(async {
        let mut cuts = 0;
        for round in 0..rounds {
            let network = Network::new();
            let local = tempfile::tempdir().unwrap();
            let mut files: Vec<_> = (0..400)
                .map(|i| (format!("d{}/e{}/{i}", i % 5, i % 3), noise(i * 13 % 9000, i as u64)))
                .collect();
            files.push(("d1/large".to_owned(), noise(5 * MIB + 3, round)));
            files.push(("d2/larger".to_owned(), noise(9 * MIB, round)));
            files.push(("hollow/".to_owned(), Vec::new()));
            let files: Vec<_> =
                files.iter().map(|(n, bytes)| (n.as_str(), bytes.clone())).collect();
            let (here, back) = (local.path().join("here"), local.path().join("back"));
            make(&here, &files);
            std::fs::create_dir_all(&back).unwrap();
            std::fs::create_dir_all(network.pair.home().join("tree")).unwrap();
            let there = network.pair.home().join("tree");
            let salt = 10 * round;
            cuts += network.run(tree_over_cuts(&network, &here, false, false, salt)).await;
            same(&here, &there);
            cuts += network.run(tree_over_cuts(&network, &back, true, false, salt + 1)).await;
            same(&here, &back);
            std::fs::remove_dir_all(back.join("d3")).unwrap();
            make(&back, &[("d1/large", noise(6 * MIB, 99)), ("new/x", noise(3 * MIB, 98))]);
            cuts += network.run(tree_over_cuts(&network, &back, false, true, salt + 2)).await;
            same(&back, &there);
            assert!(network.pair.partials().is_empty());
        }
        let mut tally = Tally::default();
        tally.links += cuts;
        eprintln!("{cuts} cuts of trees");
        assert!(cuts >= 20 * rounds, "{cuts}");
    });
}
