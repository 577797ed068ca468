//! After the login: ids, limits, and frames that belong to nothing.

use std::sync::Arc;

use sealane_base::files::{FileMeta, FileSource};
use sealane_base::types::{Digest, RemotePath};
use sealane_protocol::frame::FrameError;
use sealane_protocol::wire::WireError;
use sealane_protocol::{Header, Kind, ServerMessage, Side, Status};
use sealane_server::sealane::Ended;

use super::greeting::sample;
use crate::support::peer::{
    Peer, ack, any_chunk, cancel, chunk, claims, digest_of, end, get, list, login, put, put_small,
    stat, status,
};
use crate::support::site::PASSWORD;
use crate::support::{Pair, names, noise};

const MIB: usize = 1 << 20;

async fn assert_breaks_the_protocol(peer: Peer, what: &str) {
    let ended = peer.closed_at_last().await;
    assert!(matches!(ended, Err(WireError::Frame(_))), "{what}: {ended:?}");
}

/// The four frames of a transfer that a client may send.
fn transfer_frames(id: u32) -> [Vec<u8>; 4] {
    [
        any_chunk(id, 0, Digest([1; 32]), b"bytes"),
        end(id, b"bytes"),
        claims(id, 0, vec![Digest([1; 32])], true),
        ack(id, 0),
    ]
}

#[tokio::test(start_paused = true)]
async fn an_id_that_does_not_grow_closes_the_connection() {
    let pair = Pair::new();
    for (used, id) in [(None, 0), (None, 1), (None, 2), (Some(3), 3), (Some(9), 5)] {
        let mut peer = pair.logged_in().await;
        if let Some(used) = used {
            peer.send(&stat("").encode(used)).await;
            peer.answer_to(used).await;
        }
        peer.send(&sample(Kind::MakeDirectory, id)).await;
        let ended = peer.closed().await.unwrap_err();
        let expected = FrameError::Id(id);
        assert!(matches!(ended, WireError::Frame(error) if error == expected), "{id}: {ended}");
    }
    assert!(names(&pair.home()).is_empty());
}

#[tokio::test(start_paused = true)]
async fn whoever_did_not_say_so_is_not_asked_for_pieces() {
    const CHUNKS: u32 = 6;
    let pair = Pair::new();
    let bytes = noise(CHUNKS as usize * MIB, 1);
    pair.file("large", &bytes);
    let mut peer = pair.logged_in().await;
    let id = peer.ask(get("large", true)).await;
    assert!(matches!(peer.answer_to(id).await, ServerMessage::Offer(_)));
    peer.send(&claims(id, 0, vec![Digest([0; 32]); CHUNKS as usize], true)).await;
    for index in 0..CHUNKS {
        let (header, body) = peer.frame_of(id).await;
        assert_eq!((header.kind, &body[..4]), (Kind::Chunk, &index.to_be_bytes()[..]));
        peer.send(&ack(id, index)).await;
    }
    assert_eq!(peer.frame_of(id).await.0.kind, Kind::End);
}

#[tokio::test(start_paused = true)]
async fn the_largest_id_is_one_like_others_and_the_last() {
    let pair = Pair::new();
    let mut peer = pair.logged_in().await;
    peer.send(&stat("").encode(u32::MAX)).await;
    assert!(matches!(peer.answer_to(u32::MAX).await, ServerMessage::Entry(_)));
    peer.send(&stat("").encode(u32::MAX)).await;
    assert_breaks_the_protocol(peer, "the same again").await;
}

#[tokio::test(start_paused = true)]
async fn a_transfer_frame_of_an_id_never_used_closes_the_connection() {
    let pair = Pair::new();
    for frame in transfer_frames(3) {
        let mut peer = pair.logged_in().await;
        peer.send(&frame).await;
        assert_breaks_the_protocol(peer, &format!("{:?}", Kind::from_byte(frame[0]))).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_transfer_frame_of_a_finished_id_is_dropped() {
    let pair = Pair::new();
    let bytes = noise(2 * MIB, 1);
    let mut peer = pair.logged_in().await;
    let id = peer.ask(put("file", bytes.len())).await;
    peer.answer_to(id).await;
    peer.send(&[chunk(id, &bytes, 0), chunk(id, &bytes, 1), end(id, &bytes)].concat()).await;
    assert!(matches!(peer.answer_to(id).await, ServerMessage::Committed(_)));
    let plain = peer.ask(stat("file")).await;
    peer.answer_to(plain).await;
    for finished in [1, 2, id, plain] {
        peer.send(&transfer_frames(finished).concat()).await;
        peer.send(&[chunk(finished, &bytes, 1), cancel(finished)].concat()).await;
    }
    peer.assert_alive().await;
    assert!(std::fs::read(pair.home().join("file")).unwrap() == bytes);
}

#[tokio::test(start_paused = true)]
async fn a_transfer_frame_of_the_wrong_direction_closes_the_connection() {
    let pair = Pair::new();
    pair.file("there", &noise(3 * MIB, 2));
    for (request, wrong) in [
        (put("new", 3 * MIB), claims(3, 0, vec![Digest([1; 32])], true)),
        (put("new", 3 * MIB), ack(3, 0)),
        (get("there", false), any_chunk(3, 0, Digest([1; 32]), b"bytes")),
        (get("there", false), end(3, b"bytes")),
    ] {
        let mut peer = pair.logged_in().await;
        let id = peer.ask(request).await;
        peer.answer_to(id).await;
        peer.send(&wrong).await;
        assert_breaks_the_protocol(peer, &format!("{:?}", Kind::from_byte(wrong[0]))).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_only_servers_say_closes_the_connection() {
    let pair = Pair::new();
    for &kind in Kind::ALL.iter().filter(|kind| kind.sender() == Some(Side::Server)) {
        let mut peer = pair.logged_in().await;
        peer.send(&sample(kind, 3)).await;
        assert_breaks_the_protocol(peer, &format!("{kind:?}")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_out_of_form_closes_the_connection_and_has_no_effect() {
    let pair = Pair::new();
    pair.file("keep", b"kept");
    for &kind in Kind::ALL.iter().filter(|kind| kind.sender() == Some(Side::Client)) {
        let good = sample(kind, 3);
        let header = Header::decode(good.first_chunk().unwrap(), Side::Client).unwrap();
        let body = &good[10..];
        let with = |header: Header, body: &[u8]| [&header.encode()[..], body].concat();
        let bound = kind.bound();
        let mut wrong = vec![
            ("a flag", with(Header { flags: 1, ..header }, body)),
            ("above the bound", with(Header { length: bound + 1, ..header }, &[])),
        ];
        if !matches!(kind, Kind::Cancel) {
            wrong.push(("no body", with(Header { length: 0, ..header }, &[])));
            let cut = Header { length: 1, ..header };
            wrong.push(("half a map", with(cut, &[0xa1])));
        }
        if !matches!(kind, Kind::Cancel | Kind::PutSmall) {
            let longer = Header { length: header.length + 1, ..header };
            wrong.push(("a byte behind", with(longer, &[body, &[0]].concat())));
        }
        for (what, frame) in wrong {
            let mut peer = pair.logged_in().await;
            peer.send(&frame).await;
            assert_breaks_the_protocol(peer, &format!("{kind:?}: {what}")).await;
        }
    }
    assert_eq!(names(&pair.home()), ["keep"]);
}

#[tokio::test(start_paused = true)]
async fn keys_that_nobody_knows_yet_are_passed_over() {
    let pair = Pair::new();
    let mut peer = pair.logged_in().await;
    // { 0: "", 24: [1] }
    let body = [0xa2, 0x00, 0x60, 0x18, 0x18, 0x81, 0x01];
    let header = Header::new(Kind::Stat, 3, body.len() as u32);
    peer.send(&[&header.encode()[..], &body].concat()).await;
    assert!(matches!(peer.answer_to(3).await, ServerMessage::Entry(_)));
}

#[tokio::test(start_paused = true)]
async fn a_second_greeting_changes_nothing() {
    let pair = Pair::new();
    let mut peer = pair.logged_in().await;
    peer.send(&[sample(Kind::Hello, 3), login(4, PASSWORD)].concat()).await;
    assert_eq!(status(&peer.answer_to(3).await), Some(Status::LoginRefused));
    assert_eq!(status(&peer.answer_to(4).await), Some(Status::LoginRefused));
    assert_eq!(pair.evaluations(), 1);
    peer.assert_alive().await;
}

#[tokio::test(start_paused = true)]
async fn a_ninth_upload_is_busy_and_a_ninth_download_waits_for_its_turn() {
    let pair = Pair::new();
    pair.file("there", &noise(3 * MIB, 3));
    let bytes = noise(2 * MIB, 4);
    let mut peer = pair.logged_in().await;
    let mut uploads = Vec::new();
    for number in 0..6 {
        uploads.push(peer.ask(put(&format!("{number}"), bytes.len())).await);
    }
    let upload = uploads[0];
    assert!(matches!(peer.answer_to(upload).await, ServerMessage::Accepted(_)));
    for _ in 0..2 {
        assert!(matches!(peer.exchange(get("there", false)).await, ServerMessage::Offer(_)));
    }
    let waiting = peer.ask(get("there", true)).await;
    assert_eq!(status(&peer.exchange(put("ninth", bytes.len())).await), Some(Status::Busy));
    // What is no transfer is admitted all the same, and so are chunks of the refused one.
    assert!(matches!(peer.exchange(stat("")).await, ServerMessage::Entry(_)));
    assert!(matches!(peer.exchange(put_small("x", b"y")).await, ServerMessage::Committed(_)));
    assert!(matches!(peer.exchange(get("x", false)).await, ServerMessage::File(..)));
    let ninth = peer.ask(put("ninth", bytes.len())).await;
    peer.send(&chunk(ninth, &bytes, 0)).await;
    assert_eq!(status(&peer.answer_to(ninth).await), Some(Status::Busy));
    let frames = [chunk(upload, &bytes, 0), chunk(upload, &bytes, 1), end(upload, &bytes)];
    peer.send(&frames.concat()).await;
    let mut answered = Vec::new();
    while answered.len() < 2 {
        let (header, _) = peer.next().await.unwrap();
        if [Kind::Committed, Kind::Offer].contains(&header.kind) {
            answered.push(header.id);
        }
    }
    assert_eq!(answered, [upload, waiting]);
    assert_eq!(names(&pair.home()), ["0", "there", "x"]);
}

#[tokio::test(start_paused = true)]
async fn more_than_sixty_four_requests_are_busy_and_break_nothing() {
    const ASKED: usize = 200;
    let pair = Pair::new();
    for number in 0..200 {
        pair.file(&format!("{number:0250}"), b"");
    }
    // Nothing is read meanwhile: a request whose answer found no room is still under way.
    let mut peer = pair.logged_in().await;
    let mut ids = Vec::new();
    for _ in 0..ASKED {
        ids.push(peer.ask(list("")).await);
    }
    let (mut answered, mut entries, mut busy) = (Vec::new(), 0, 0);
    while answered.len() < ids.len() {
        let (header, body) = peer.next().await.expect("closed");
        answered.push(header.id);
        match ServerMessage::decode(header.kind, &body).unwrap() {
            ServerMessage::Entries(page) if page.entries.len() == 200 => entries += 1,
            other if status(&other) == Some(Status::Busy) => busy += 1,
            other => panic!("{other:?}"),
        }
    }
    answered.sort_unstable();
    assert_eq!(answered, ids, "each is answered once");
    assert!(entries >= 64 && busy > 0, "{entries} answered, {busy} busy");
    assert!(matches!(peer.exchange(stat("")).await, ServerMessage::Entry(_)));
}

/// The client waits instead of being refused, whoever asks it and for how much.
#[tokio::test]
async fn a_client_that_is_asked_for_more_than_the_server_allows_waits() {
    let pair = Pair::new();
    let (client, _served) = pair.client().await;
    let (client, here) = (Arc::new(client), tempfile::NamedTempFile::new().unwrap());
    std::fs::write(here.path(), noise(MIB + 1, 3)).unwrap();
    let mut asked = tokio::task::JoinSet::new();
    for number in 0..400 {
        let asking = client.clone();
        asked.spawn(async move { asking.stat(&RemotePath::default()).await.map(drop) });
        if number % 20 == 0 {
            let (client, source) = (client.clone(), FileSource::open(here.path()).unwrap());
            let path = RemotePath::parse(&format!("file{number}")).unwrap();
            asked.spawn(async move {
                let (source, meta) = (Arc::new(source), FileMeta::default());
                client.upload(&path, source, meta, Arc::default()).await.map(drop)
            });
        }
    }
    while let Some(answer) = asked.join_next().await {
        answer.unwrap().unwrap();
    }
    assert_eq!(names(&pair.home()).len(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_hangs_up_ends_whatever_is_under_way() {
    let pair = Pair::new();
    pair.file("there", &noise(9 * MIB, 5));
    for request in
        [put("new", 5 * MIB), get("there", false), get("there", true), digest_of("there"), list("")]
    {
        // At once, and when it is under way.
        for wait in [false, true] {
            let mut peer = pair.logged_in().await;
            let id = peer.ask(request.clone()).await;
            if wait {
                peer.answer_to(id).await;
            }
            peer.shut_down().await;
            let ended = peer.closed_at_last().await;
            assert_eq!(ended.unwrap(), Ended::ByPeer, "{:?} {wait}", request.kind());
        }
    }
    assert_eq!(names(&pair.home()), ["there"]);
}
