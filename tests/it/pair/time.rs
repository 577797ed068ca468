//! How long a peer may take for what.

use std::time::Duration;

use sealane_base::types::RemotePath;
use sealane_client::session::SessionError;
use sealane_protocol::message::Hello;
use sealane_protocol::wire::WireError;
use sealane_protocol::{ClientMessage, Header, Kind, ServerMessage, Status, VERSION, frame};
use sealane_server::sealane::Ended;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep};

use crate::support::pair::lying_server;
use crate::support::peer::{
    self, Peer, chunk, end, get, hello, login, pass, put, soon, stat, status,
};
use crate::support::{Pair, noise};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const MIB: usize = 1 << 20;

/// Sends one byte a second until nobody listens.
async fn drip(peer: &mut Peer, bytes: &[u8]) {
    for byte in bytes {
        if peer.is_over() {
            return;
        }
        peer.send(&[*byte]).await;
        sleep(SECOND).await;
    }
}

fn assert_about(since: Instant, expected: Duration) {
    let took = since.elapsed();
    assert!(took >= expected && took <= expected + 2 * SECOND, "{took:?}, not {expected:?}");
}

#[tokio::test(start_paused = true)]
async fn the_login_deadline_holds_against_a_peer_that_drips() {
    let pair = Pair::new();
    let agent = Some("x".repeat(500));
    let long_hello =
        ClientMessage::Hello(Hello { version: VERSION, agent, features: None }).encode(1);
    let long_login = [hello(1), login(2, &"x".repeat(1000))].concat();
    for bytes in [long_hello, long_login] {
        let mut peer = pair.peer();
        let since = Instant::now();
        drip(&mut peer, &bytes).await;
        assert!(peer.closed_at_last().await.is_err());
        assert_about(since, 30 * SECOND);
    }
    assert_eq!(pair.evaluations(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_says_nothing_has_until_the_login_deadline() {
    let pair = Pair::new();
    for bytes in [vec![], hello(1), hello(1)[..5].to_vec()] {
        let mut peer = pair.peer();
        let since = Instant::now();
        peer.send(&bytes).await;
        assert!(peer.closed_at_last().await.is_err());
        assert_about(since, 30 * SECOND);
    }
}

#[tokio::test(start_paused = true)]
async fn the_login_deadline_ends_with_the_login() {
    let pair = Pair::new();
    let mut peer = pair.logged_in().await;
    sleep(4 * MINUTE).await;
    peer.assert_alive().await;
}

#[tokio::test(start_paused = true)]
async fn five_minutes_of_silence_end_a_session() {
    let pair = Pair::new();
    let mut peer = pair.logged_in().await;
    sleep(4 * MINUTE).await;
    peer.exchange(stat("")).await;
    let since = Instant::now();
    assert_eq!(peer.closed().await.unwrap(), Ended::Idle);
    assert_about(since, 5 * MINUTE);
}

#[tokio::test(start_paused = true)]
async fn a_session_with_a_request_under_way_is_not_idle() {
    let pair = Pair::new();
    let bytes = noise(3 * MIB, 1);
    let mut peer = pair.logged_in().await;
    let id = peer.ask(put("slow", bytes.len())).await;
    peer.answer_to(id).await;
    for index in 0..3 {
        pass(299).await;
        peer.assert_alive().await;
        peer.send(&chunk(id, &bytes, index)).await;
        peer.acknowledged(id, index).await;
    }
    peer.send(&end(id, &bytes)).await;
    peer.answer_to(id).await;
    assert!(std::fs::read(pair.home().join("slow")).unwrap() == bytes);
    // Now nothing is under way, and the time begins anew.
    let since = Instant::now();
    assert_eq!(peer.closed().await.unwrap(), Ended::Idle);
    assert_about(since, 5 * MINUTE);
}

#[tokio::test(start_paused = true)]
async fn a_transfer_that_stands_still_is_ended_whatever_its_peer_says() {
    let pair = Pair::new();
    let bytes = noise(3 * MIB, 1);
    pair.file("there", &bytes);
    let mut peer = pair.logged_in().await;
    // An upload of which one chunk comes, and two downloads: chunks are not acknowledged, and what
    // is held is announced and not told.
    let requests = [put("slow", bytes.len()), get("there", false), get("there", true)];
    let mut ids = Vec::new();
    for request in requests {
        ids.push(peer.ask(request).await);
    }
    peer.answer_to(ids[0]).await;
    peer.send(&chunk(ids[0], &bytes, 0)).await;
    let since = Instant::now();
    let mut stalled = Vec::new();
    while stalled.len() < ids.len() {
        assert!(since.elapsed() < 6 * MINUTE);
        let waited = tokio::time::timeout(MINUTE, peer.next()).await;
        let Ok(Some((header, body))) = waited else {
            peer.send(&frame::fixed(Kind::Ping, 0, b"are you?")).await;
            continue;
        };
        if header.kind == Kind::Refused {
            let answer = ServerMessage::decode(header.kind, &body).unwrap();
            assert_eq!(status(&answer), Some(Status::Stalled));
            assert_about(since, 5 * MINUTE);
            stalled.push(header.id);
        }
    }
    stalled.sort_unstable();
    assert_eq!(stalled, ids);
    peer.assert_alive().await;
    assert_eq!(pair.partials().len(), 1, "what was acknowledged is kept");
}

#[tokio::test(start_paused = true)]
async fn a_minute_without_a_byte_in_the_middle_of_a_frame_ends_it() {
    let pair = Pair::new();
    let whole = stat("file").encode(3);
    for length in [1, 5, 9, 10, whole.len() - 1] {
        let mut peer = pair.logged_in().await;
        let since = Instant::now();
        peer.send(&whole[..length]).await;
        let ended = peer.closed().await;
        assert!(matches!(ended, Err(WireError::Stalled(_))), "{length}: {ended:?}");
        assert_about(since, MINUTE);
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_peer_is_not_a_stalled_one_but_a_drip_is() {
    let pair = Pair::new();
    let mut peer = pair.logged_in().await;
    let frame = peer::put_small("slow", &noise(300_000, 3)).encode(3);
    let since = Instant::now();
    for piece in frame.chunks(2048) {
        peer.send(piece).await;
        sleep(SECOND).await;
    }
    assert!(matches!(peer.answer_to(3).await, ServerMessage::Committed(_)));
    assert!(since.elapsed() > 2 * MINUTE);

    let mut peer = pair.logged_in().await;
    let since = Instant::now();
    for piece in frame.chunks(9).take(200) {
        if !peer.is_over() {
            peer.send(piece).await;
            sleep(SECOND).await;
        }
    }
    let ended = peer.closed().await;
    assert!(matches!(ended, Err(WireError::Stalled(_))), "{ended:?}");
    assert_about(since, MINUTE);
}

#[tokio::test(start_paused = true)]
async fn pings_keep_no_session_that_asks_for_nothing() {
    let pair = Pair::new();
    let mut peer = pair.logged_in().await;
    let since = Instant::now();
    while !peer.is_over() {
        peer.send(&super::greeting::sample(Kind::Ping, 0)).await;
        sleep(20 * SECOND).await;
        assert!(since.elapsed() < 6 * MINUTE);
    }
    assert_eq!(peer.closed_at_last().await.unwrap(), Ended::Idle);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_falls_silent_in_an_upload_is_given_up() {
    let pair = Pair::new();
    let bytes = noise(2 * MIB, 4);
    let mut peer = pair.logged_in().await;
    let id = peer.ask(put("silent", bytes.len())).await;
    peer.answer_to(id).await;
    peer.send(&chunk(id, &bytes, 0)).await;
    peer.acknowledged(id, 0).await;
    pass(298).await;
    assert!(!peer.is_over());
    pass(4).await;
    // Nothing is refused: a peer that wakes up finds the connection closed, and comes back with the
    // rest.
    assert_eq!(peer.closed().await.unwrap(), Ended::Idle);
    assert_eq!(pair.partials().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_a_drip_is_given_up() {
    let pair = Pair::new();
    for number in 0..300 {
        pair.file(&format!("{number:0200}"), b"");
    }
    let (stream, served) = pair.connect(4096);
    let (mut read, mut write) = tokio::io::split(stream);
    let asks: Vec<u8> = (3..9).flat_map(|id| peer::list("").encode(id)).collect();
    let greeting = [hello(1), login(2, crate::support::site::PASSWORD), asks].concat();
    {
        let _still = peer::still();
        write.write_all(&greeting).await.unwrap();
        // The two answers to the greeting: what follows comes after the login.
        let mut first = [0; 60];
        read.read_exact(&mut first).await.unwrap();
    }
    let since = Instant::now();
    let mut byte = [0; 100];
    while !served.is_finished() && read.read(&mut byte).await.is_ok_and(|count| count > 0) {
        sleep(SECOND).await;
    }
    assert!(served.await.unwrap().is_err());
    assert!(since.elapsed() < 2 * MINUTE, "{:?}", since.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_minute_without_a_byte_in_the_middle_of_a_chunk_ends_the_session() {
    let pair = Pair::new();
    let bytes = noise(2 * MIB, 2);
    // In the header, in the prefix, in the bytes.
    for (number, length) in [5, 20, 500_000].into_iter().enumerate() {
        let mut peer = pair.logged_in().await;
        let id = peer.ask(put(&format!("file {length}"), bytes.len())).await;
        peer.answer_to(id).await;
        peer.send(&chunk(id, &bytes, 0)).await;
        peer.acknowledged(id, 0).await;
        peer.send(&chunk(id, &bytes, 1)[..length]).await;
        pass(58).await;
        assert!(!peer.is_over());
        pass(3).await;
        let ended = peer.closed_at_last().await;
        assert!(matches!(ended, Err(WireError::Stalled(_))), "{length}: {ended:?}");
        assert_eq!(pair.partials().len(), number + 1, "what was acknowledged stays");
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_for_a_minute_is_given_up() {
    let pair = Pair::new();
    for number in 0..300 {
        pair.file(&format!("{number:0200}"), b"");
    }
    let mut peer = pair.logged_in_over(4096).await;
    for _ in 0..3 {
        peer.ask(peer::list("")).await;
    }
    let since = Instant::now();
    assert!(peer.ended().await.is_err());
    assert_about(since, MINUTE);
}

#[tokio::test(start_paused = true)]
async fn a_ping_is_answered_at_once_and_whatever_is_under_way() {
    let pair = Pair::new();
    let mut peer = pair.logged_in().await;
    let since = Instant::now();
    peer.assert_alive().await;
    peer.ask(put("file", 5 * MIB)).await;
    peer.assert_alive().await;
    assert_eq!(since.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_ping_of_another_length_closes() {
    let pair = Pair::new();
    for length in [0, 7, 9] {
        let mut peer = pair.logged_in().await;
        let header = Header::new(Kind::Ping, 0, length).encode();
        peer.send(&[&header[..], &[0; 9][..length as usize]].concat()).await;
        assert!(matches!(peer.closed().await, Err(WireError::Frame(_))), "{length}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_pings_a_silent_server_and_gives_up() {
    let (client, mut server) = lying_server().await;
    let since = Instant::now();
    let root = RemotePath::default();
    let (answer, at) = soon(async {
        tokio::join!(client.stat(&root), async {
            server.request(Kind::Ping).await;
            since.elapsed()
        })
    })
    .await;
    assert_eq!(at, 15 * SECOND);
    let error = answer.unwrap_err();
    let SessionError::Connection(why) = &error else { panic!("{error}") };
    assert!(matches!(**why, WireError::Stalled(_)), "{why}");
    assert_about(since, 30 * SECOND);
    // Those that come later are told at once.
    assert!(matches!(client.usage().await, Err(SessionError::Connection(_))));
    assert_about(since, 30 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_client_waits_as_long_as_its_pings_are_answered() {
    let (client, mut server) = lying_server().await;
    let root = RemotePath::default();
    let answering = async {
        let id = server.request(Kind::Stat).await;
        for _ in 0..40 {
            server.request(Kind::Ping).await;
            server.send(&super::greeting::sample(Kind::Pong, 0)).await;
        }
        server.send(&super::greeting::sample(Kind::Entry, id)).await;
    };
    let (answer, ()) = soon(async { tokio::join!(client.stat(&root), answering) }).await;
    assert_eq!(answer.unwrap().name, "keep");
}
