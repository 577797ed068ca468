//! A session that is had again, on a clock that tests move: how often it is sought, how long, and
//! what a link that stalls costs.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sealane_base::files::{FileMeta, FileSource};
use sealane_base::types::RemotePath;
use sealane_client::session::{Session, SessionError};
use sealane_client::{Client, ConnectError, Dial, Event, Reconnect, Retry};
use sealane_protocol::transfer::Meter;
use sealane_protocol::{Kind, Status};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::Instant;

use super::liar::path;
use crate::support::pair::{lying_session, session};
use crate::support::peer::{soon, still};
use crate::support::{Pair, noise};

const MIB: usize = 1 << 20;

fn refused() -> ConnectError {
    ConnectError::Network(std::io::ErrorKind::ConnectionRefused.into())
}

fn reconnect(retry: Retry, dial: impl Fn() -> Dial + Send + Sync + 'static) -> Option<Reconnect> {
    let (jitter, events) = (Box::new(|| u32::MAX), Box::new(|_: Event<'_>| {}));
    Some(Reconnect { dial: Box::new(dial), retry, once: false, jitter, events })
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_come_back_is_sought_ever_less_often_and_given_up() {
    let (client, server) = lying_session().await;
    let times = Arc::new(Mutex::new(Vec::new()));
    let (since, noted) = (Instant::now(), times.clone());
    let link = Client::new(
        client,
        reconnect(Retry::default(), move || {
            noted.lock().unwrap().push(since.elapsed());
            Box::pin(async { Err(refused()) })
        }),
    );
    drop(server);
    let (one, other) = (link.clone(), link.clone());
    let (root, path) = (RemotePath::default(), path("a"));
    // Two that wait for it at once seek it once.
    let asked = soon(async { tokio::join!(one.stat(&root), other.digest(&path)) }).await;
    assert!(matches!(asked, (Err(SessionError::Connection(_)), Err(SessionError::Connection(_)))));
    let times: Vec<_> = times.lock().unwrap().iter().map(Duration::as_millis).collect();
    assert_eq!(times[..7], [250, 750, 1750, 3750, 7750, 15_750, 30_750]);
    assert!((280_000..=300_000).contains(times.last().unwrap()), "{times:?}");
    assert!(matches!(link.failure(), Some(ConnectError::Network(_))));
    // Whoever comes later is told at once.
    let since = Instant::now();
    assert!(link.stat(&root).await.is_err());
    assert_eq!(since.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_lets_in_and_hangs_up_is_given_up_as_well() {
    let (client, server) = lying_session().await;
    drop(server);
    let logins = Arc::new(AtomicUsize::new(0));
    let counting = logins.clone();
    let retry = Retry { deadline: Duration::from_secs(60), ..Retry::default() };
    let link = Client::new(
        client,
        reconnect(retry, move || {
            counting.fetch_add(1, Ordering::Relaxed);
            Box::pin(async { Ok(lying_session().await.0) })
        }),
    );
    assert!(soon(link.stat(&RemotePath::default())).await.is_err());
    assert!((7..20).contains(&logins.load(Ordering::Relaxed)), "{logins:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_final_is_not_tried_again() {
    let finals = || -> [ConnectError; 2] {
        let no = sealane_protocol::message::Refused::new(Status::LoginRefused);
        [sealane_tls::TlsError::BadProof.into(), SessionError::Refused(no).into()]
    };
    for number in 0..2 {
        let (client, server) = lying_session().await;
        drop(server);
        let dials = Arc::new(AtomicUsize::new(0));
        let counting = dials.clone();
        let link = Client::new(
            client,
            reconnect(Retry::default(), move || {
                counting.fetch_add(1, Ordering::Relaxed);
                Box::pin(async move { Err(finals().into_iter().nth(number).unwrap()) })
            }),
        );
        assert!(soon(link.stat(&RemotePath::default())).await.is_err());
        assert_eq!(dials.load(Ordering::Relaxed), 1);
    }
    // Nor is a server that breaks the protocol, or refuses.
    let (client, mut server) = lying_session().await;
    let link = Client::new(client, reconnect(Retry::default(), || unreachable!()));
    let root = RemotePath::default();
    let lie = async {
        let id = server.request(Kind::Stat).await;
        server.send(&super::greeting::sample(Kind::Refused, id)).await;
        let id = server.request(Kind::Stat).await;
        server.send(&super::greeting::sample(Kind::Hello, id)).await;
    };
    let (asked, ()) = soon(async {
        tokio::join!(async { (link.stat(&root).await, link.stat(&root).await) }, lie)
    })
    .await;
    assert!(matches!(asked.0, Err(SessionError::Refused(_))), "{asked:?}");
    assert!(matches!(asked.1, Err(SessionError::Connection(_))), "{asked:?}");
    assert!(link.failure().is_none());
}

/// Passes everything on until `after` bytes went to the server; then nothing more, in either
/// direction.
fn falls_silent(pair: &Pair, after: u64) -> DuplexStream {
    let (near, inner) = duplex(64 * 1024);
    let (far, _served) = pair.connect(64 * 1024);
    let (mut near_read, mut near_write) = tokio::io::split(inner);
    let (mut far_read, mut far_write) = tokio::io::split(far);
    let passed = Arc::new(AtomicU64::new(0));
    let stopped = passed.clone();
    tokio::spawn(async move {
        let mut buffer = vec![0; 4096];
        while let Ok(count @ 1..) = near_read.read(&mut buffer).await {
            if passed.fetch_add(count as u64, Ordering::Relaxed) >= after {
                std::future::pending::<()>().await;
            }
            if far_write.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    });
    tokio::spawn(async move {
        let mut buffer = vec![0; 4096];
        while let Ok(count @ 1..) = far_read.read(&mut buffer).await {
            if stopped.load(Ordering::Relaxed) > after {
                std::future::pending::<()>().await;
            }
            if near_write.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    });
    near
}

async fn log_in(stream: DuplexStream) -> Session {
    let _still = still();
    session(stream).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_upload_over_a_link_that_stalls_goes_on_over_the_next_one() {
    let pair = Arc::new(Pair::new());
    let bytes = noise(5 * MIB + 7, 1);
    let local = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(local.path(), &bytes).unwrap();
    for (number, after) in [300, 100_000, 2 * MIB + 99, 5 * MIB].into_iter().enumerate() {
        let client = log_in(falls_silent(&pair, after as u64)).await;
        let next = pair.clone();
        let link = Client::new(
            client,
            reconnect(Retry::default(), move || {
                let next = next.clone();
                Box::pin(async move { Ok(log_in(next.connect(64 * 1024).0).await) })
            }),
        );
        let source = Arc::new(FileSource::open(local.path()).unwrap());
        let (to, meter) = (path(&format!("file {number}")), Arc::new(Meter::default()));
        // Threads wait for the link, so the clock does not move by itself.
        let upload = link.upload(&to, source, FileMeta::default(), meter.clone());
        let outcome = soon(async {
            tokio::pin!(upload);
            loop {
                let turns = async {
                    for _ in 0..200 {
                        tokio::task::yield_now().await;
                    }
                };
                tokio::select! {
                    outcome = &mut upload => return outcome,
                    () = turns => tokio::time::advance(Duration::from_millis(20)).await,
                }
            }
        })
        .await
        .unwrap();
        assert_eq!(outcome.size, bytes.len() as u64);
        assert_eq!(meter.verified_bytes(), outcome.size, "neither less nor twice");
        assert!(std::fs::read(pair.home().join(format!("file {number}"))).unwrap() == bytes);
    }
    assert!(pair.partials().is_empty());
}
