//! Giving up: in whatever phase it happens, the place is free again and what is there stays.

use sealane_protocol::message::Accepted;
use sealane_protocol::{ClientMessage, Kind, ServerMessage, Status};
use sealane_server::sealane::Ended;

use crate::support::peer::{
    Peer, ack, cancel, chunk, claims, digest, digest_of, end, get, put, soon, status,
};
use crate::support::{Pair, names, noise};

const MIB: usize = 1 << 20;
/// Transfers a session may have.
const PLACES: usize = 8;

/// How far an upload has come.
#[derive(Clone, Copy, Debug)]
enum Upload {
    Asked,
    Accepted,
    HalfSent,
}

/// How far a download has come.
#[derive(Clone, Copy, Debug)]
enum Download {
    Asked,
    Offered,
    WaitsForClaims,
    WindowSent,
}

/// Asks until there is a place: those that were given up may take a moment to be free.
async fn admitted(peer: &mut Peer, request: ClientMessage) -> (u32, ServerMessage) {
    soon(async {
        loop {
            let id = peer.ask(request.clone()).await;
            let answer = peer.answer_to(id).await;
            if status(&answer) != Some(Status::Busy) {
                return (id, answer);
            }
        }
    })
    .await
}

/// Asserts that every place for a transfer is free, or will be in a moment: takes them all.
async fn assert_all_places_free(peer: &mut Peer) {
    let mut ids = Vec::new();
    for number in 0..PLACES {
        let (id, answer) = admitted(peer, put(&format!("place {number}"), 5 * MIB)).await;
        assert!(matches!(answer, ServerMessage::Accepted(_)), "{answer:?}");
        ids.push(id);
    }
    for id in ids {
        peer.send(&cancel(id)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn cancelled_uploads_of_every_phase_leave_their_places() {
    let bytes = noise(3 * MIB, 1);
    for phase in [Upload::Asked, Upload::Accepted, Upload::HalfSent] {
        let pair = Pair::new();
        let mut peer = pair.logged_in().await;
        for round in 0..2 {
            for number in 0..PLACES {
                let request = put(&format!("{number} {round}"), bytes.len());
                let id = match phase {
                    Upload::Asked => peer.ask(request).await,
                    _ => admitted(&mut peer, request).await.0,
                };
                if matches!(phase, Upload::HalfSent) {
                    peer.send(&chunk(id, &bytes, 0)).await;
                    peer.acknowledged(id, 0).await;
                }
                peer.send(&cancel(id)).await;
                // What was under way when it was cancelled.
                peer.send(&[chunk(id, &bytes, 1), end(id, &bytes)].concat()).await;
            }
            assert_all_places_free(&mut peer).await;
        }
        peer.assert_alive().await;
        assert!(names(&pair.home()).is_empty(), "{phase:?}");
        let kept = if matches!(phase, Upload::HalfSent) { 2 * PLACES } else { 0 };
        peer.shut_down().await;
        peer.closed_at_last().await.unwrap();
        assert_eq!(pair.partials().len(), kept, "{phase:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn cancelled_downloads_of_every_phase_leave_their_places() {
    let pair = Pair::new();
    pair.file("there", &noise(5 * MIB, 2));
    for phase in
        [Download::Asked, Download::Offered, Download::WaitsForClaims, Download::WindowSent]
    {
        let mut peer = pair.logged_in().await;
        for _ in 0..2 {
            for _ in 0..PLACES {
                let claiming = matches!(phase, Download::WaitsForClaims);
                let request = get("there", claiming);
                let id = match phase {
                    Download::Asked => peer.ask(request).await,
                    _ => admitted(&mut peer, request).await.0,
                };
                if matches!(phase, Download::WindowSent) {
                    for _ in 0..2 {
                        assert_eq!(peer.frame_of(id).await.0.kind, Kind::Chunk);
                    }
                }
                let late = [ack(id, 0), claims(id, 0, vec![], true)].concat();
                peer.send(&[cancel(id), late].concat()).await;
            }
            assert_all_places_free(&mut peer).await;
        }
        peer.assert_alive().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_digest_stops_and_says_no_root() {
    let pair = Pair::new();
    // Large enough that reading it all takes seconds; nothing of it is on the disk.
    let sparse = std::fs::File::create(pair.home().join("large")).unwrap();
    sparse.set_len(4 << 30).unwrap();
    let mut peer = pair.logged_in().await;
    for _ in 0..3 {
        let id = peer.ask(digest_of("large")).await;
        peer.assert_alive().await;
        peer.send(&cancel(id)).await;
        assert!(status(&peer.answer_to(id).await).is_some());
    }
    // So does one whose session ends.
    peer.ask(digest_of("large")).await;
    peer.shut_down().await;
    peer.closed_at_last().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_next_upload_claims_what_a_cancelled_one_left() {
    let pair = Pair::new();
    let bytes = noise(3 * MIB + 1, 3);
    let mut peer = pair.logged_in().await;
    for held in 0..3u32 {
        let id = peer.ask(put("file", bytes.len())).await;
        let accepted = peer.answer_to(id).await;
        assert_eq!(accepted, ServerMessage::Accepted(Accepted { claims: held > 0, pieces: None }));
        if held > 0 {
            let (header, body) = peer.frame_of(id).await;
            let all: Vec<u8> = (0..held).flat_map(|index| digest(&bytes, index).0).collect();
            assert_eq!((header.flags, body), (1, [&[0; 4][..], &all].concat()));
        }
        peer.send(&chunk(id, &bytes, held)).await;
        peer.acknowledged(id, held).await;
        peer.send(&cancel(id)).await;
        assert!(status(&peer.answer_to(id).await).is_some());
    }
    let id = peer.ask(put("file", bytes.len())).await;
    peer.answer_to(id).await;
    assert_eq!(peer.frame_of(id).await.0.kind, Kind::Claims);
    peer.send(&[chunk(id, &bytes, 3), end(id, &bytes)].concat()).await;
    assert!(matches!(peer.answer_to(id).await, ServerMessage::Committed(_)));
    assert!(std::fs::read(pair.home().join("file")).unwrap() == bytes);
}

#[tokio::test(start_paused = true)]
async fn a_cancel_after_the_end_leaves_the_whole_file_or_none_of_it() {
    let bytes = noise(2 * MIB, 4);
    for _ in 0..10 {
        let pair = Pair::new();
        let mut peer = pair.logged_in().await;
        let id = peer.ask(put("file", bytes.len())).await;
        peer.answer_to(id).await;
        let frames = [chunk(id, &bytes, 0), chunk(id, &bytes, 1), end(id, &bytes), cancel(id)];
        peer.send(&frames.concat()).await;
        match peer.answer_to(id).await {
            ServerMessage::Committed(_) => {
                assert!(std::fs::read(pair.home().join("file")).unwrap() == bytes);
            }
            refused => {
                assert!(status(&refused).is_some(), "{refused:?}");
                assert!(names(&pair.home()).is_empty());
            }
        }
        peer.assert_alive().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancel_of_nothing_is_nothing() {
    let pair = Pair::new();
    let mut peer = pair.logged_in().await;
    for id in [0, 1, 2, 3, u32::MAX] {
        peer.send(&cancel(id)).await;
    }
    peer.assert_alive().await;
    assert!(matches!(peer.exchange(put("file", 5 * MIB)).await, ServerMessage::Accepted(_)));
}

#[tokio::test]
async fn a_client_that_is_dropped_closes_its_connection() {
    let pair = Pair::new();
    let (client, served) = pair.client().await;
    drop(client);
    assert_eq!(soon(served).await.unwrap().unwrap(), Ended::ByPeer);
}
