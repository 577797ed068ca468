//! A transfer over several connections with the real client: all are used, and one that is lost
//! costs little.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sealane_base::files::{FileMeta, FileSource, LocalSink, Sink};
use sealane_base::types::RemotePath;
use sealane_client::Client;
use sealane_client::session::{JoinedConnection, Joiner};
use sealane_protocol::join::Exporter;
use sealane_protocol::transfer::{Meter, Outcome};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use crate::support::pair::session;
use crate::support::peer::soon;
use crate::support::{Pair, noise};

const MIB: usize = 1 << 20;
/// What TLS would call the session's own connection, and the one that joins.
const OWN: Exporter = [1; 32];
const JOINING: Exporter = [2; 32];

/// A pipe that passes on so many bytes of the client and is then cut, and how many it has passed
/// on.
struct Pipe {
    near: DuplexStream,
    far: DuplexStream,
    up: Arc<AtomicUsize>,
    down: Arc<AtomicUsize>,
}

fn pipe(up_to: usize, down_to: usize) -> Pipe {
    let ((near, mut one), (mut other, far)) = (duplex(64 * 1024), duplex(64 * 1024));
    let (up, down) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let counters = (up.clone(), down.clone());
    tokio::spawn(async move {
        let (mut there, mut back) = (vec![0; 16 * 1024], vec![0; 16 * 1024]);
        while counters.0.load(Ordering::Relaxed) < up_to
            && counters.1.load(Ordering::Relaxed) < down_to
        {
            let passed = tokio::select! {
                count = one.read(&mut there) => {
                    let count = count.unwrap_or(0);
                    counters.0.fetch_add(count, Ordering::Relaxed);
                    count > 0 && other.write_all(&there[..count]).await.is_ok()
                }
                count = other.read(&mut back) => {
                    let count = count.unwrap_or(0);
                    counters.1.fetch_add(count, Ordering::Relaxed);
                    count > 0 && one.write_all(&back[..count]).await.is_ok()
                }
            };
            if !passed {
                break;
            }
        }
    });
    Pipe { near, far, up, down }
}

const FOR_EVER: usize = usize::MAX;

/// The real client on a connection that is cut after so many bytes, and what opens further ones.
async fn client(pair: &Pair, own: Pipe) -> (Client, Joiner) {
    pair.serve_as(own.far, Some(OWN));
    let session = session(own.near).await.unwrap();
    let control = session.joiner();
    (Client::new(session, None), control)
}

async fn lane(pair: &Pair, control: &Joiner, pipe: Pipe) -> JoinedConnection {
    let token = control.tokens(1).await.unwrap()[0];
    pair.serve_as(pipe.far, Some(JOINING));
    control.join(pipe.near, &token, (&OWN, &JOINING)).await.unwrap()
}

async fn put(client: &Client, pair: &Pair, bytes: &[u8]) -> Result<Outcome, String> {
    let here = pair.directory.path().join("here");
    std::fs::write(&here, bytes).unwrap();
    let (source, to) = (FileSource::open(&here).unwrap(), RemotePath::parse("f").unwrap());
    let meter = Arc::new(Meter::default());
    let sent = client.upload(&to, Arc::new(source), FileMeta::default(), meter.clone()).await;
    if let Ok(outcome) = &sent {
        assert_eq!(meter.verified_bytes(), outcome.size);
        assert!(std::fs::read(pair.home().join("f")).unwrap() == bytes);
    }
    sent.map_err(|error| error.to_string())
}

async fn get(client: &Client, pair: &Pair, bytes: &[u8]) -> Result<Outcome, String> {
    pair.file("g", bytes);
    let (there, here) = (RemotePath::parse("g").unwrap(), pair.directory.path().join("got"));
    let (to, meter) = (here.clone(), Arc::new(Meter::default()));
    let holds = LocalSink::would_hold(&here);
    let open = move |size, meta| {
        let sink: Arc<dyn Sink> = Arc::new(LocalSink::create(&to, size, meta, false)?);
        Ok(sink)
    };
    let received = client.download(&there, holds, open, meter.clone()).await;
    if let Ok(outcome) = &received {
        assert_eq!(meter.verified_bytes(), outcome.size);
        assert!(std::fs::read(&here).unwrap() == bytes);
    }
    received.map_err(|error| error.to_string())
}

/// Frames around chunks, acknowledgements and whatever else is said.
const TALK: usize = 64 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn both_directions_use_every_connection() {
    let (pair, bytes) = (Pair::new(), noise(24 * MIB + 5, 3));
    soon(async {
        let (own, other) = (pipe(FOR_EVER, FOR_EVER), pipe(FOR_EVER, FOR_EVER));
        let (up, down) = (other.up.clone(), other.down.clone());
        let (client, control) = client(&pair, own).await;
        let _lane = lane(&pair, &control, other).await;
        put(&client, &pair, &bytes).await.unwrap();
        assert!(up.load(Ordering::Relaxed) > 2 * MIB, "nothing went up the other one");
        get(&client, &pair, &bytes).await.unwrap();
        assert!(down.load(Ordering::Relaxed) > 2 * MIB, "nothing came down the other one");
        assert_eq!(control.progress().0.bytes, 2 * bytes.len() as u64);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_cut_costs_its_window_and_the_transfer_goes_on() {
    let (pair, bytes) = (Pair::new(), noise(24 * MIB, 4));
    for upload in [true, false] {
        for at in [MIB / 2, MIB + TALK, 3 * MIB + 99] {
            soon(async {
                let (own, other) = match upload {
                    true => (pipe(FOR_EVER, FOR_EVER), pipe(at, FOR_EVER)),
                    false => (pipe(FOR_EVER, FOR_EVER), pipe(FOR_EVER, at)),
                };
                let pick = |pipe: &Pipe| if upload { pipe.up.clone() } else { pipe.down.clone() };
                let counters = [pick(&own), pick(&other)];
                let (client, control) = client(&pair, own).await;
                let joined = lane(&pair, &control, other).await;
                let outcome = match upload {
                    true => put(&client, &pair, &bytes).await.unwrap(),
                    false => get(&client, &pair, &bytes).await.unwrap(),
                };
                assert_eq!((outcome.moved, outcome.reused), (bytes.len() as u64, 0));
                let sent: usize = counters.iter().map(|one| one.load(Ordering::Relaxed)).sum();
                assert!(counters[1].load(Ordering::Relaxed) >= at.min(2 * MIB), "it was not used");
                assert!(sent <= bytes.len() + 2 * MIB + TALK, "{sent} for {}", bytes.len());
                drop(joined);
                let made =
                    if upload { pair.home().join("f") } else { pair.directory.path().join("got") };
                std::fs::remove_file(made).unwrap();
            })
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_every_connection_is_cut_the_next_session_sends_what_is_missing() {
    let (pair, bytes) = (Pair::new(), noise(16 * MIB, 5));
    soon(async {
        let (own, other) = (pipe(4 * MIB, FOR_EVER), pipe(3 * MIB, FOR_EVER));
        let counters = [own.up.clone(), other.up.clone()];
        let first = {
            let (client, control) = client(&pair, own).await;
            let _lane = lane(&pair, &control, other).await;
            put(&client, &pair, &bytes).await.unwrap_err();
            counters.iter().map(|one| one.load(Ordering::Relaxed)).sum::<usize>()
        };
        let again = pipe(FOR_EVER, FOR_EVER);
        let counter = again.up.clone();
        let (client, _control) = client(&pair, again).await;
        let outcome = put(&client, &pair, &bytes).await.unwrap();
        assert_eq!(outcome.moved + outcome.reused, bytes.len() as u64);
        let all = first + counter.load(Ordering::Relaxed);
        assert!(all <= bytes.len() + 4 * MIB + 2 * TALK, "{all} for {}", bytes.len());
    })
    .await;
}

/// Two uploads at once share what there is: neither is left with nothing.
#[tokio::test(flavor = "multi_thread")]
async fn transfers_share_the_connections() {
    let pair = Pair::new();
    soon(async {
        let (own, other) = (pipe(FOR_EVER, FOR_EVER), pipe(FOR_EVER, FOR_EVER));
        let (client, control) = client(&pair, own).await;
        let _lane = lane(&pair, &control, other).await;
        let meters: [Arc<Meter>; 2] = Default::default();
        let here = |number: usize| pair.directory.path().join(format!("here{number}"));
        for number in 0..2 {
            std::fs::write(here(number), noise(16 * MIB, number as u64)).unwrap();
        }
        let upload = |number: usize| {
            let (client, meters, here) = (&client, &meters, here(number));
            async move {
                let source = Arc::new(FileSource::open(&here).unwrap());
                let to = RemotePath::parse(&format!("f{number}")).unwrap();
                let meta = FileMeta::default();
                client.upload(&to, source, meta, meters[number].clone()).await.unwrap();
                meters[1 - number].verified_bytes()
            }
        };
        let (one, other) = tokio::join!(upload(0), upload(1));
        // Whoever was done first found the other one well on its way.
        let behind = one.min(other) as usize;
        assert!(behind >= 4 * MIB, "{behind}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_stands_still_holds_up_its_own_chunks_only() {
    let (pair, bytes) = (Pair::new(), noise(12 * MIB, 6));
    soon(async {
        let (client, control) = client(&pair, pipe(FOR_EVER, FOR_EVER)).await;
        let token = control.tokens(1).await.unwrap()[0];
        let ((near, mut one), (mut other, far)) = (duplex(64 * 1024), duplex(64 * 1024));
        pair.serve_as(far, Some(JOINING));
        // Passes the greeting on, then nothing.
        let greeting = tokio::spawn(async move {
            let mut first = vec![0; 10 + 71];
            one.read_exact(&mut first).await.unwrap();
            other.write_all(&first).await.unwrap();
            let mut answer = vec![0; 11];
            other.read_exact(&mut answer).await.unwrap();
            one.write_all(&answer).await.unwrap();
            (one, other)
        });
        let lane = control.join(near, &token, (&OWN, &JOINING)).await.unwrap();
        let ends = greeting.await.unwrap();
        let putting = put(&client, &pair, &bytes);
        let cutting = async {
            // All but the two chunks that stand still arrive.
            while control.progress().0.bytes < 10 * MIB as u64 {
                tokio::task::yield_now().await;
            }
            lane.close().await;
            drop(ends);
        };
        let (sent, ()) = tokio::join!(putting, cutting);
        assert_eq!(sent.unwrap().moved, bytes.len() as u64);
    })
    .await;
}
