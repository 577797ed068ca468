//! Several connections of one session, over real sockets to a server process: they share what there
//! is to move, keep to one limit, may go at any time, and end with their session.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use sealane_base::files::{FileMeta, FileSource, LocalSink, Sink, Source};
use sealane_base::types::RemotePath;
use sealane_client::Client;
use sealane_client::RateLimit;
use sealane_client::session::SessionError;
use sealane_protocol::transfer::{Meter, Outcome};
use sealane_tls::{Identity, generate};
use tokio::task::JoinHandle;

use crate::support::held::{Held, LetGo};
use crate::support::peer::soon;
use crate::support::several::Several;
use crate::support::site::until;
use crate::support::{Stage, noise, ok, result};

const MIB: usize = 1 << 20;

type Moved = Result<Outcome, SessionError>;

fn put(client: &Arc<Client>, to: &str, source: Arc<dyn Source>) -> JoinHandle<Moved> {
    let (client, path) = (client.clone(), RemotePath::parse(to).unwrap());
    tokio::spawn(
        async move { client.upload(&path, source, FileMeta::default(), Arc::default()).await },
    )
}

fn get(client: &Arc<Client>, to: PathBuf) -> JoinHandle<Moved> {
    let client = client.clone();
    let held = LocalSink::would_hold(&to);
    let open = move |size, meta| -> Result<Arc<dyn Sink>, _> {
        Ok(Arc::new(LocalSink::create(&to, size, meta, false)?))
    };
    tokio::spawn(async move {
        let path = RemotePath::parse("file").unwrap();
        client.download(&path, held, open, Arc::<Meter>::default()).await
    })
}

/// Begins to move the file `from` up or down to `to`.
fn begin(client: &Arc<Client>, up: bool, from: &Path, to: &Path) -> JoinHandle<Moved> {
    match up {
        true => put(client, "file", Arc::new(FileSource::open(from).unwrap())),
        false => get(client, to.to_owned()),
    }
}

/// Waits for the end of what was begun.
async fn done(stage: &Stage, moving: JoinHandle<Moved>) -> Outcome {
    let moved = soon(moving).await.unwrap();
    moved.unwrap_or_else(|error| panic!("{error}; the server: {}", stage.server.log()))
}

/// The source and the target.
fn ends(stage: &Stage, up: bool) -> (PathBuf, PathBuf) {
    let (local, remote) = (stage.local("file"), stage.home("file"));
    if up { (local, remote) } else { (remote, local) }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_moved_is_not_sent_again_over_several_connections() {
    for up in [true, false] {
        let stage = Stage::new();
        let (from, to) = ends(&stage, up);
        let old = noise(24 * MIB, 1);
        // Something in front, and something else in the middle.
        let new = [&b"new"[..], &old[..9 * MIB], &noise(6 * MIB, 2), &old[12 * MIB..]].concat();
        std::fs::write(&from, &new).unwrap();
        std::fs::write(&to, &old).unwrap();
        let session = Several::log_in(&stage, None, None).await;
        let _lanes = session.join(3).await;
        let before = stage.proxy.carried();
        let outcome = done(&stage, begin(&session.client, up, &from, &to)).await;
        assert!(std::fs::read(&to).unwrap() == new, "another file (up: {up})");
        assert_eq!(outcome.moved + outcome.reused, new.len() as u64);
        let after = stage.proxy.carried();
        let by_each: Vec<_> =
            after.iter().zip(before).map(|(after, before)| after - before).collect();
        let all: u64 = by_each.iter().sum();
        assert!(all < 10 * MIB as u64, "{by_each:?} bytes (up: {up})");
        let by_lanes = all - by_each[0];
        assert!(by_lanes > MIB as u64, "only {by_lanes} bytes of the new ones (up: {up})");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_connections_of_a_session_together_keep_to_the_limit() {
    for up in [true, false] {
        let stage = Stage::new();
        let (from, to) = ends(&stage, up);
        std::fs::write(&from, noise(9 * MIB, 3)).unwrap();
        let since = Instant::now();
        let session = Several::log_in(&stage, None, Some(RateLimit::new(6 << 20))).await;
        let _lanes = session.join(3).await;
        done(&stage, begin(&session.client, up, &from, &to)).await;
        // A slow machine takes longer, and is never wrong. A client is 50 ms ahead of its limit at
        // most.
        let (took, least) = (since.elapsed().as_secs_f64(), 9.0 / 6.0 - 0.1);
        assert!(took > least, "{took} s for 9 MiB (up: {up})");
        let shared = stage.proxy.carried().iter().filter(|bytes| **bytes > MIB as u64).count();
        assert!(shared > 1, "{:?}", stage.proxy.carried());
        assert!(std::fs::read(&from).unwrap() == std::fs::read(&to).unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_connection_took_with_it_goes_over_the_others() {
    for up in [true, false] {
        let stage = Stage::new();
        let (from, to) = ends(&stage, up);
        std::fs::write(&from, noise(20 * MIB + 7, 4)).unwrap();
        let session = Several::log_in(&stage, None, None).await;
        let lanes = session.join(3).await;
        stage.proxy.lose(2);
        let moving = begin(&session.client, up, &from, &to);
        until("chunks were lost", || stage.proxy.carried()[2] > MIB as u64);
        assert!(!moving.is_finished(), "without what was lost (up: {up})");
        stage.proxy.cut_one(2);
        done(&stage, moving).await;
        assert!(std::fs::read(&from).unwrap() == std::fs::read(&to).unwrap(), "up: {up}");
        until("the connection's end is seen", || lanes[1].is_over());
        assert!(!lanes[0].is_over() && !lanes[2].is_over());
        session.client.usage().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_ends_a_session_ends_all_its_connections_amid_a_transfer() {
    let stage = Stage::new();
    let made = generate::client_key(false, time::OffsetDateTime::now_utc()).unwrap();
    let (certificate, private) = (made.certificate_pem, made.key_pem);
    let key = Identity::from_pem(certificate.as_bytes(), private.expose().as_bytes()).unwrap();
    let pin = made.pin.to_string();
    ok(stage.site.admin(["account", "key", "add", "ann", &pin]));
    for strike in [
        &["sessions", "kill", "--account", "ann"][..],
        &["account", "key", "revoke", "ann", &pin],
        &["account", "disable", "ann"],
    ] {
        if strike[1] == "disable" {
            ok(stage.site.admin(["account", "key", "add", "ann", &pin]));
        }
        let first = stage.proxy.carried().len();
        let session = Several::log_in(&stage, Some(&key), None).await;
        let lanes = session.join(3).await;
        let source = Held::new(24 * MIB as u64);
        let _let_go = LetGo(source.clone());
        // By another name each time: what the one before left would not be sent again.
        let upload = put(&session.client, strike[1], source.clone());
        until("half of it is there", || {
            assert!(!upload.is_finished(), "{}", stage.server.log());
            stage.proxy.carried()[first..].iter().sum::<u64>() > 11 * MIB as u64
        });
        let by_lanes: u64 = stage.proxy.carried()[first + 1..].iter().sum();
        assert!(by_lanes > MIB as u64, "{by_lanes}");
        assert!(lanes.iter().all(|lane| !lane.is_over()));

        ok(stage.site.admin(strike));
        until("all connections end", || lanes.iter().all(|lane| lane.is_over()));
        let gone = session.client.usage().await;
        assert!(matches!(gone, Err(SessionError::Connection(_))), "{strike:?}: {gone:?}");
        source.free();
        upload.await.unwrap().unwrap_err();
        assert!(!stage.home(strike[1]).exists(), "{strike:?}");
        let status = result(&ok(stage.site.admin(["status", "--json"])));
        assert_eq!(status["sessions"], serde_json::json!([]), "{strike:?}");
    }
}
