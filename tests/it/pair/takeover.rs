//! A newer upload to a path takes over from the older one, however dead that one's connection is.

use sealane_base::files::{FileMeta, FileSource, Source};
use sealane_base::types::{Digest, RemotePath};
use sealane_client::Client;
use sealane_client::session::SessionError;
use sealane_protocol::message::Accepted;
use sealane_protocol::transfer::{Meter, Outcome};
use sealane_protocol::{Kind, ServerMessage, Status};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

use crate::support::peer::{Peer, cancel, chunk, end, list, put, put_small, soon, status};
use crate::support::{Pair, names, noise};

const MIB: usize = 1 << 20;

/// An upload of `bytes` to "file" that stopped after chunk 0 and `more` bytes of the next frame.
async fn stopped(pair: &Pair, bytes: &[u8], more: usize) -> (Peer, u32) {
    let mut peer = pair.logged_in().await;
    let id = peer.ask(put("file", bytes.len())).await;
    let accepted = peer.answer_to(id).await;
    assert_eq!(accepted, ServerMessage::Accepted(Accepted { claims: false, pieces: None }));
    peer.send(&chunk(id, bytes, 0)).await;
    peer.acknowledged(id, 0).await;
    peer.send(&chunk(id, bytes, 1)[..more]).await;
    (peer, id)
}

async fn upload(client: &Client, bytes: &[u8]) -> Result<Outcome, SessionError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let source: Arc<dyn Source> = Arc::new(FileSource::open(file.path()).unwrap());
    let path = RemotePath::parse("file").unwrap();
    soon(client.upload(&path, source, FileMeta::default(), Arc::new(Meter::default()))).await
}

#[tokio::test(start_paused = true)]
async fn a_silent_upload_is_taken_over_at_once_wherever_it_fell_silent() {
    let bytes = noise(4 * MIB, 1);
    // Between frames, in the header, in the prefix, in the bytes of a chunk.
    for more in [0, 4, 10, 30, 46, 700_000] {
        let pair = Pair::new();
        let (mut first, id) = stopped(&pair, &bytes, more).await;
        let (client, _served) = pair.client().await;
        let since = Instant::now();
        let outcome =
            upload(&client, &bytes).await.unwrap_or_else(|error| panic!("{more}: {error}"));
        assert_eq!(since.elapsed().as_secs(), 0);
        assert_eq!(outcome.root, Digest::of_bytes(&bytes));
        assert_eq!(outcome.reused, MIB as u64, "{more}: what was acknowledged is not sent again");
        assert!(std::fs::read(pair.home().join("file")).unwrap() == bytes);
        assert_eq!(status(&first.answer_to(id).await), Some(Status::Superseded));
        // Its session is as good as before, and what it still sends of the upload is dropped.
        let rest = [&chunk(id, &bytes, 1)[more..], &end(id, &bytes)].concat();
        first.send(&rest).await;
        first.assert_alive().await;
        assert_eq!(names(&pair.home()), ["file"]);
        assert!(pair.partials().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_small_file_takes_over_too() {
    let pair = Pair::new();
    let bytes = noise(4 * MIB, 2);
    let (mut first, id) = stopped(&pair, &bytes, 700_000).await;
    let mut second = pair.logged_in().await;
    let answer = second.exchange(put_small("file", b"small")).await;
    assert!(matches!(answer, ServerMessage::Committed(_)), "{answer:?}");
    assert_eq!(status(&first.answer_to(id).await), Some(Status::Superseded));
    assert_eq!(std::fs::read(pair.home().join("file")).unwrap(), b"small");
}

#[tokio::test(start_paused = true)]
async fn a_session_may_take_over_from_itself() {
    let pair = Pair::new();
    let bytes = noise(2 * MIB, 3);
    let (mut peer, first) = stopped(&pair, &bytes, 0).await;
    let second = peer.ask(put("file", bytes.len())).await;
    // Which of the two is told first is open.
    let mut kinds = Vec::new();
    while kinds.len() < 3 {
        let (header, _) = peer.next().await.expect("closed");
        kinds.push((header.id, header.kind));
    }
    kinds.sort_unstable_by_key(|&(id, kind)| (id, kind as u8));
    let expected = [(first, Kind::Refused), (second, Kind::Accepted), (second, Kind::Claims)];
    assert_eq!(kinds, expected);
    peer.send(&[chunk(second, &bytes, 1), end(second, &bytes)].concat()).await;
    assert!(matches!(peer.answer_to(second).await, ServerMessage::Committed(_)));
}

#[tokio::test(start_paused = true)]
async fn the_last_of_many_wins_and_each_other_is_told() {
    let pair = Pair::new();
    let bytes = noise(2 * MIB, 4);
    let mut losers = Vec::new();
    for _ in 0..5 {
        let mut peer = pair.logged_in().await;
        let id = peer.ask(put("file", bytes.len())).await;
        peer.answer_to(id).await;
        losers.push((peer, id));
    }
    let (client, _served) = pair.client().await;
    upload(&client, &bytes).await.unwrap();
    for (mut peer, id) in losers {
        assert_eq!(status(&peer.answer_to(id).await), Some(Status::Superseded));
    }
    assert!(std::fs::read(pair.home().join("file")).unwrap() == bytes);
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_cannot_begin_takes_nothing_over() {
    let pair = Pair::new();
    let bytes = noise(2 * MIB, 5);
    let (mut first, id) = stopped(&pair, &bytes, 0).await;
    std::fs::create_dir(pair.home().join("other")).unwrap();
    let mut second = pair.logged_in().await;
    let refused = second.exchange(put("other", 2 * MIB)).await;
    assert_eq!(status(&refused), Some(Status::IsDirectory));
    second.send(&cancel(id)).await; // an id of another session is not its own
    second.assert_alive().await;
    first.send(&[chunk(id, &bytes, 1), end(id, &bytes)].concat()).await;
    assert!(matches!(first.answer_to(id).await, ServerMessage::Committed(_)));
}

/// A peer with `answers` to take, of which it takes none. One is being written and 32 may wait.
async fn takes_nothing(pair: &Pair, answers: usize) -> Peer {
    for number in 0..400 {
        pair.file(&format!("{number:0200}"), b"");
    }
    let mut peer = pair.logged_in_over(4096).await;
    for _ in 0..answers {
        peer.ask(list("")).await;
    }
    sleep(Duration::from_secs(1)).await; // until nothing moves any more
    peer
}

#[tokio::test(start_paused = true)]
async fn an_upload_whose_peer_takes_nothing_any_more_is_taken_over_at_once() {
    let bytes = noise(4 * MIB, 6);
    // Its acceptance waits for the peer, or is the last thing there is room for and its claims
    // wait.
    for (old, answers) in [(None, 40), (Some(noise(4 * MIB, 7)), 32)] {
        let pair = Pair::new();
        let mut dead = takes_nothing(&pair, answers).await;
        if let Some(old) = &old {
            pair.file("file", old);
        }
        dead.ask(put("file", bytes.len())).await;
        let (client, _served) = pair.client().await;
        let reserved = || async { soon(client.usage()).await.unwrap().reserved };
        while reserved().await == 0 {}
        let place = pair.directory.path().join("data/partials/ann");
        let part = |name: &String| std::fs::metadata(place.join(name)).map_or(0, |it| it.len());
        let all = bytes.len() as u64;
        // Asking lets the server get on, which lives on this thread as well.
        while old.is_some() && !pair.partials().iter().any(|p| part(p) == all) {
            reserved().await;
        }
        let since = Instant::now();
        upload(&client, &bytes).await.unwrap();
        assert!(since.elapsed().as_secs() < 2, "{:?}", since.elapsed());
        assert!(std::fs::read(pair.home().join("file")).unwrap() == bytes);
    }
}
