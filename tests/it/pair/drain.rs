//! A server that is told to stop: what runs ends well, nothing new begins.

use sealane_protocol::{ServerMessage, Status};
use sealane_server::sealane::Ended;

use crate::support::peer::{
    chunk, digest_of, end, get, hello, list, make_directory, put, put_small, remove, rename, stat,
    status, usage,
};
use crate::support::{Pair, names, noise};

const MIB: usize = 1 << 20;

#[tokio::test(start_paused = true)]
async fn an_upload_under_way_is_committed_and_everything_new_refused() {
    let pair = Pair::new();
    pair.file("keep", b"kept");
    let bytes = noise(3 * MIB, 1);
    let mut peer = pair.logged_in().await;
    let id = peer.ask(put("file", bytes.len())).await;
    peer.answer_to(id).await;
    peer.send(&chunk(id, &bytes, 0)).await;
    peer.acknowledged(id, 0).await;
    pair.drain.cancel();
    for request in [
        put("new", 2 * MIB),
        put_small("new", b"new"),
        get("keep", false),
        list(""),
        stat("keep"),
        make_directory("new"),
        remove("keep"),
        rename("keep", "new"),
        usage(),
        digest_of("keep"),
    ] {
        let kind = request.kind();
        let answer = peer.exchange(request).await;
        assert_eq!(status(&answer), Some(Status::ShuttingDown), "{kind:?}");
    }
    peer.assert_alive().await;
    peer.send(&[chunk(id, &bytes, 1), chunk(id, &bytes, 2), end(id, &bytes)].concat()).await;
    assert!(matches!(peer.answer_to(id).await, ServerMessage::Committed(_)));
    assert_eq!(peer.closed().await.unwrap(), Ended::Drained);
    assert_eq!(names(&pair.home()), ["file", "keep"]);
    assert!(std::fs::read(pair.home().join("file")).unwrap() == bytes);
}

#[tokio::test(start_paused = true)]
async fn a_session_with_nothing_under_way_ends_at_once() {
    let pair = Pair::new();
    let peer = pair.logged_in().await;
    let since = tokio::time::Instant::now();
    pair.drain.cancel();
    assert_eq!(peer.closed().await.unwrap(), Ended::Drained);
    assert_eq!(since.elapsed().as_secs(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_has_not_logged_in_holds_nothing_up() {
    let pair = Pair::new();
    for bytes in [vec![], hello(1)[..3].to_vec(), hello(1)] {
        let mut peer = pair.peer();
        peer.send(&bytes).await;
        tokio::task::yield_now().await;
        let since = tokio::time::Instant::now();
        pair.drain.cancel();
        assert_eq!(peer.closed_at_last().await.unwrap(), Ended::Drained);
        assert_eq!(since.elapsed().as_secs(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_download_under_way_is_finished() {
    let pair = Pair::new();
    let bytes = noise(4 * MIB, 2);
    pair.file("file", &bytes);
    let mut peer = pair.logged_in().await;
    let id = peer.ask(get("file", false)).await;
    assert!(matches!(peer.answer_to(id).await, ServerMessage::Offer(_)));
    pair.drain.cancel();
    let mut received = Vec::new();
    for index in 0..4 {
        let (_, body) = peer.frame_of(id).await;
        received.extend_from_slice(&body[36..]);
        peer.send(&crate::support::peer::ack(id, index)).await;
    }
    assert!(received == bytes);
    assert_eq!(peer.closed().await.unwrap(), Ended::Drained);
}
