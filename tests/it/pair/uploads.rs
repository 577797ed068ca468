//! What an upload may say, and what is under the name whatever it says.

use std::time::Duration;

use sealane_base::types::chunk::MAX_FILE_SIZE;
use sealane_base::types::{Digest, Layout};
use sealane_protocol::limits::WINDOW;
use sealane_protocol::message::{PathFlag, Put, PutSmall};
use sealane_protocol::transfer::Routes;
use sealane_protocol::wire::{FrameReader, WireError};
use sealane_protocol::{ClientMessage, Header, Kind, ServerMessage, Side, Status};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::support::peer::{
    Peer, any_chunk, cancel, chunk, digest, digest_of, end, get, list, make_directory, put,
    put_small, remove, rename, stat, status,
};
use crate::support::{Pair, names, noise};

const MIB: usize = 1 << 20;

/// Begins an upload that holds nothing from before.
async fn accepted(peer: &mut Peer, path: &str, size: usize) -> u32 {
    let id = peer.ask(put(path, size)).await;
    match peer.answer_to(id).await {
        ServerMessage::Accepted(accepted) => assert!(!accepted.claims),
        other => panic!("{other:?}"),
    }
    id
}

#[tokio::test(start_paused = true)]
async fn a_chunk_size_other_than_the_smallest_is_refused() {
    let pair = Pair::new();
    let mut peer = pair.logged_in().await;
    for (size, chunk_log2) in
        [(5 << 20, 21), (5 << 20, 22), (5 << 20, 19), (5 << 20, 0), (5 << 20, 255), (2 << 40, 20)]
    {
        let path = "file".to_owned();
        let put = Put { path, size, chunk_log2, modified: None, mode: None };
        let answer = peer.exchange(ClientMessage::Put(put)).await;
        assert!(status(&answer).is_some(), "2^{chunk_log2}: {answer:?}");
    }
    assert!(names(&pair.home()).is_empty() && pair.partials().is_empty());
    peer.assert_alive().await;
}

#[tokio::test(start_paused = true)]
async fn a_file_above_the_largest_is_refused() {
    let pair = Pair::new();
    let mut peer = pair.logged_in().await;
    for size in [MAX_FILE_SIZE + 1, u64::MAX] {
        let path = "file".to_owned();
        let put = Put { path, size, chunk_log2: 22, modified: None, mode: None };
        let answer = peer.exchange(ClientMessage::Put(put)).await;
        assert_eq!(status(&answer), Some(Status::TooLarge), "{size}");
    }
    assert!(pair.partials().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_path_that_breaks_a_rule_is_refused_by_every_request() {
    let pair = Pair::new();
    pair.file("keep", b"kept");
    let mut peer = pair.logged_in().await;
    let long = "x".repeat(256);
    let deep = "d/".repeat(64) + "d";
    let endless = ["y"; 2049].join("/");
    for path in [
        "..",
        "../keep",
        "a/../../keep",
        ".",
        "./keep",
        "a//b",
        "//etc/passwd",
        "a\0b",
        "a\\b",
        "a\u{1b}[2J",
        "a\u{202e}b",
        &long,
        &deep,
        &endless,
    ] {
        let flag = |flag| PathFlag { path: path.to_owned(), flag };
        for request in [
            put(path, 5 * MIB),
            put_small(path, b"bytes"),
            get(path, false),
            get(path, true),
            list(path),
            stat(path),
            make_directory(path),
            ClientMessage::MakeDirectory(flag(true)),
            remove(path),
            ClientMessage::Remove(flag(false)),
            rename(path, "new"),
            rename("keep", path),
            digest_of(path),
        ] {
            let kind = request.kind();
            let answer = peer.exchange(request).await;
            assert_eq!(status(&answer), Some(Status::Path), "{kind:?} {path:?}: {answer:?}");
        }
    }
    assert_eq!(names(&pair.home()), ["keep"]);
    assert_eq!(names(pair.directory.path()), ["accounts", "data"]);
}

#[tokio::test(start_paused = true)]
async fn a_chunk_that_does_not_fit_the_layout_closes_the_connection() {
    let pair = Pair::new();
    let bytes = noise(2 * MIB + 5, 1);
    let good = digest(&bytes, 0);
    for (number, (what, index, length)) in [
        ("short", 0, MIB - 1),
        ("long", 0, MIB + 1),
        ("empty", 0, 0),
        ("a full last one", 2, MIB),
        ("a last one of no bytes", 2, 0),
        ("past the end", 3, 5),
        ("far past the end", u32::MAX, MIB),
    ]
    .into_iter()
    .enumerate()
    {
        let mut peer = pair.logged_in().await;
        let id = accepted(&mut peer, &format!("{number}"), bytes.len()).await;
        peer.send(&any_chunk(id, index, good, &bytes[..length])).await;
        let ended = peer.closed_at_last().await;
        assert!(matches!(ended, Err(WireError::Frame(_))), "{what}: {ended:?}");
    }
    let mut peer = pair.logged_in().await;
    let id = accepted(&mut peer, "prefix", bytes.len()).await;
    let header = Header::new(Kind::Chunk, id, 35).encode();
    peer.send(&[&header[..], &[0; 35]].concat()).await;
    assert!(matches!(peer.closed_at_last().await, Err(WireError::Frame(_))));
    assert!(names(&pair.home()).is_empty() && pair.partials().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_chunk_with_another_digest_is_refused_and_never_under_the_name() {
    let pair = Pair::new();
    let bytes = noise(3 * MIB, 2);
    let old = noise(100, 3);
    pair.file("file", &old);
    let mut peer = pair.logged_in().await;
    let id = accepted(&mut peer, "file", bytes.len()).await;
    let wrong = any_chunk(id, 1, digest(&bytes, 1), &bytes[..MIB]);
    let frames = [chunk(id, &bytes, 0), wrong, chunk(id, &bytes, 2), end(id, &bytes)];
    peer.send(&frames.concat()).await;
    peer.acknowledged(id, 0).await;
    // The next word is the refusal: the wrong chunk was not acknowledged.
    let (header, body) = peer.frame_of(id).await;
    let refused = ServerMessage::decode(header.kind, &body).unwrap();
    assert_eq!(status(&refused), Some(Status::Integrity));
    assert_eq!(std::fs::read(pair.home().join("file")).unwrap(), old);
    // The session goes on, and what was good is still there.
    let id = peer.ask(put("file", bytes.len())).await;
    let ServerMessage::Accepted(again) = peer.answer_to(id).await else { panic!() };
    assert!(again.claims);
    let (_, claims) = peer.frame_of(id).await;
    assert_eq!(claims, [&[0; 4][..], &digest(&bytes, 0).0].concat());
}

#[tokio::test(start_paused = true)]
async fn a_small_file_with_another_digest_is_refused_and_never_under_the_name() {
    let pair = Pair::new();
    pair.file("file", b"old");
    let mut peer = pair.logged_in().await;
    let digest = Digest::of_bytes(b"other");
    let small = PutSmall { path: "file".to_owned(), digest, modified: None, mode: None };
    let answer = peer.exchange(ClientMessage::PutSmall(small, b"bytes".to_vec())).await;
    assert_eq!(status(&answer), Some(Status::Integrity));
    assert_eq!(std::fs::read(pair.home().join("file")).unwrap(), b"old");
    assert!(pair.partials().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_small_file_of_more_than_one_chunk_is_refused() {
    let pair = Pair::new();
    let mut peer = pair.logged_in().await;
    let answer = peer.exchange(put_small("file", &noise(MIB + 1, 4))).await;
    assert_eq!(status(&answer), Some(Status::TooLarge));
    let answer = peer.exchange(put_small("file", &noise(MIB, 4))).await;
    assert!(matches!(answer, ServerMessage::Committed(_)));
}

#[tokio::test(start_paused = true)]
async fn an_end_that_comes_early_or_with_another_root_commits_nothing() {
    let pair = Pair::new();
    let bytes = noise(3 * MIB, 5);
    let other = noise(3 * MIB, 6);
    pair.file("held", b"old");
    let mut peer = pair.logged_in().await;
    for (number, (sent, ending)) in
        [(0..0, &bytes), (0..2, &bytes), (1..3, &bytes), (0..3, &other), (0..1, &other)]
            .into_iter()
            .enumerate()
    {
        let id = accepted(&mut peer, &format!("{number}"), bytes.len()).await;
        for index in sent {
            peer.send(&chunk(id, &bytes, index)).await;
        }
        peer.send(&end(id, ending)).await;
        let answer = peer.answer_to(id).await;
        assert!(status(&answer).is_some(), "{number}: {answer:?}");
    }
    assert_eq!(names(&pair.home()), ["held"]);
    peer.assert_alive().await;
}

#[tokio::test(start_paused = true)]
async fn chunks_out_of_order_commit_nothing() {
    let pair = Pair::new();
    let bytes = noise(3 * MIB, 7);
    let mut peer = pair.logged_in().await;
    for (number, order) in [[1, 0, 2], [0, 0, 1], [0, 2, 1]].into_iter().enumerate() {
        let id = accepted(&mut peer, &format!("{number}"), bytes.len()).await;
        for index in order {
            peer.send(&chunk(id, &bytes, index)).await;
        }
        peer.send(&end(id, &bytes)).await;
        assert!(status(&peer.answer_to(id).await).is_some());
    }
    assert!(names(&pair.home()).is_empty());
}

#[tokio::test(start_paused = true)]
async fn chunks_beyond_the_window_wait_their_turn() {
    let pair = Pair::new();
    let bytes = noise(24 * MIB, 8);
    let mut peer = pair.logged_in().await;
    let id = accepted(&mut peer, "file", bytes.len()).await;
    // No acknowledgement is read or waited for.
    for index in 0..24 {
        peer.send(&chunk(id, &bytes, index)).await;
    }
    peer.send(&end(id, &bytes)).await;
    for index in 0..24 {
        peer.acknowledged(id, index).await;
    }
    assert!(matches!(peer.answer_to(id).await, ServerMessage::Committed(_)));
    assert!(std::fs::read(pair.home().join("file")).unwrap() == bytes);
}

#[tokio::test(start_paused = true)]
async fn no_more_than_the_window_is_taken_in_while_the_disk_is_busy() {
    let bytes = noise(5 * MIB, 9);
    let layout = Layout::for_size(bytes.len() as u64).unwrap();
    let routes = Routes::default();
    // Nobody takes anything from this end: a disk that stands still.
    let (_route, _end) = routes.receive(7, layout);
    let (mut far, near) = tokio::io::duplex(64 * MIB);
    let stall = Duration::from_secs(60);
    let mut reader = FrameReader::new(near, Side::Client, stall);
    for index in 0..5 {
        far.write_all(&chunk(7, &bytes, index)).await.unwrap();
    }
    let mut taken = 0;
    loop {
        let header = reader.header().await.unwrap().unwrap();
        match timeout(stall * 10, routes.deliver(&header, &mut reader)).await {
            Ok(delivered) => delivered.unwrap(),
            Err(_) => break,
        }
        taken += 1;
    }
    assert_eq!(taken, WINDOW);
}

#[tokio::test(start_paused = true)]
async fn what_was_acknowledged_survives_and_is_not_asked_for_again() {
    let pair = Pair::new();
    let bytes = noise(4 * MIB + 9, 10);
    let mut peer = pair.logged_in().await;
    let id = accepted(&mut peer, "file", bytes.len()).await;
    peer.send(&[chunk(id, &bytes, 0), chunk(id, &bytes, 1), chunk(id, &bytes, 2)].concat()).await;
    for index in 0..3 {
        peer.acknowledged(id, index).await;
    }
    drop(peer); // as a cable is pulled
    let mut peer = pair.logged_in().await;
    let id = peer.ask(put("file", bytes.len())).await;
    let ServerMessage::Accepted(again) = peer.answer_to(id).await else { panic!() };
    assert!(again.claims);
    let (header, claims) = peer.frame_of(id).await;
    assert_eq!((header.kind, header.flags), (Kind::Claims, 1));
    let held: Vec<u8> = (0..3).flat_map(|index| digest(&bytes, index).0).collect();
    assert_eq!(claims, [&[0; 4][..], &held].concat());
    peer.send(&[chunk(id, &bytes, 3), chunk(id, &bytes, 4), end(id, &bytes)].concat()).await;
    assert!(matches!(peer.answer_to(id).await, ServerMessage::Committed(_)));
    assert!(std::fs::read(pair.home().join("file")).unwrap() == bytes);
    peer.send(&cancel(id)).await;
    peer.assert_alive().await;
    assert_eq!(names(&pair.home()), ["file"]);
    assert!(pair.partials().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_last_page_of_claims_is_never_one_without_claims() {
    let pair = Pair::new();
    // As many claims as a page of ours has.
    let bytes = noise(16 * MIB, 11);
    pair.file("file", &bytes);
    let mut peer = pair.logged_in().await;
    let id = peer.ask(put("file", bytes.len())).await;
    let ServerMessage::Accepted(accepted) = peer.answer_to(id).await else { panic!() };
    assert!(accepted.claims);
    let mut claimed = Vec::new();
    loop {
        let (header, body) = peer.frame_of(id).await;
        assert_eq!(header.kind, Kind::Claims);
        assert!(body.len() > 4, "no claims after {}", claimed.len() / 32);
        claimed.extend_from_slice(&body[4..]);
        if header.flags != 0 {
            break;
        }
    }
    let expected: Vec<u8> = (0..16).flat_map(|index| digest(&bytes, index).0).collect();
    assert!(claimed == expected);
    peer.send(&end(id, &bytes)).await;
    assert!(matches!(peer.answer_to(id).await, ServerMessage::Committed(_)));
}
