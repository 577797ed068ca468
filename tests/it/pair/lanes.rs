//! Further connections to a session, by hand: who may open them, and what they may say.

use sealane_base::types::Digest;
use sealane_protocol::frame::{self, FrameError};
use sealane_protocol::join::{Exporter, proof};
use sealane_protocol::message::{Join, Tokens};
use sealane_protocol::wire::WireError;
use sealane_protocol::{ClientMessage, Kind, ServerMessage, Side, Status};
use sealane_server::sealane::Ended;
use tokio::io::duplex;
use tokio::time::advance;

use super::greeting::sample;
use crate::support::peer::{self, Peer, hello, login, status, still};
use crate::support::site::PASSWORD;
use crate::support::{Pair, noise};

const MIB: usize = 1 << 20;
/// What TLS would call the session's own connection, and the one that joins.
const OWN: Exporter = [1; 32];
const JOINING: Exporter = [2; 32];

async fn logged_in(pair: &Pair) -> Peer {
    let _still = still();
    let (near, far) = duplex(64 * 1024);
    let mut peer = Peer::new(near, Side::Server, Some(pair.serve_as(far, Some(OWN))));
    peer.send(&hello(1)).await;
    peer.send(&login(2, PASSWORD)).await;
    assert!(matches!(peer.answer_to(1).await, ServerMessage::Welcome(_)));
    assert!(matches!(peer.answer_to(2).await, ServerMessage::LoggedIn(_)));
    peer
}

fn stranger(pair: &Pair, exporter: Exporter) -> Peer {
    let (near, far) = duplex(64 * 1024);
    Peer::new(near, Side::Server, Some(pair.serve_as(far, Some(exporter))))
}

async fn tokens(peer: &mut Peer, count: u8) -> Vec<Digest> {
    match peer.exchange(ClientMessage::Tokens(Tokens { count })).await {
        ServerMessage::TokensAre(answer) => answer.tokens,
        other => panic!("{other:?}"),
    }
}

async fn token(peer: &mut Peer) -> Digest {
    tokens(peer, 1).await[0]
}

fn join(token: Digest, session: &Exporter, joining: &Exporter) -> Vec<u8> {
    let proof = proof(&token, session, joining);
    ClientMessage::Join(Join { token, proof }).encode(0)
}

async fn joined(pair: &Pair, peer: &mut Peer) -> Peer {
    let token = token(peer).await;
    let mut lane = stranger(pair, JOINING);
    lane.send(&join(token, &OWN, &JOINING)).await;
    assert_eq!(lane.next().await.unwrap().0.kind, Kind::Joined);
    lane
}

/// Asserts that the server says what it says to anybody who does not belong to a session.
async fn refused(pair: &Pair, exporter: Exporter, first: Vec<u8>) {
    let mut thief = stranger(pair, exporter);
    thief.send(&first).await;
    assert_eq!(status(&thief.answer_to(0).await), Some(Status::JoinRefused));
    assert_eq!(thief.closed().await.unwrap(), Ended::NotLoggedIn);
}

#[tokio::test]
async fn chunks_go_over_any_connection_in_any_order_and_are_answered_where_they_came() {
    let (pair, bytes) = (Pair::new(), noise(5 * MIB + 7, 1));
    let mut own = logged_in(&pair).await;
    let mut lane = joined(&pair, &mut own).await;
    let id = own.ask(peer::put("f", bytes.len())).await;
    assert!(matches!(own.answer_to(id).await, ServerMessage::Accepted(_)));
    for index in [3, 1] {
        lane.send(&peer::chunk(id, &bytes, index)).await;
        lane.acknowledged(id, index).await;
    }
    for index in [5, 0] {
        own.send(&peer::chunk(id, &bytes, index)).await;
        own.acknowledged(id, index).await;
    }
    // One whose acknowledgement was lost comes again.
    own.send(&peer::chunk(id, &bytes, 3)).await;
    own.acknowledged(id, 3).await;
    for index in [4, 2] {
        lane.send(&peer::chunk(id, &bytes, index)).await;
        lane.acknowledged(id, index).await;
    }
    own.send(&peer::end(id, &bytes)).await;
    assert!(matches!(own.answer_to(id).await, ServerMessage::Committed(_)));
    assert_eq!(std::fs::read(pair.home().join("f")).unwrap(), bytes);
    assert!(!lane.is_over());
    drop(own);
    assert_eq!(lane.closed().await.unwrap(), Ended::WithSession);
}

/// A chunk that overtook the offer would be dropped, and the next acknowledgement be one too far.
#[tokio::test]
async fn a_download_keeps_to_the_sessions_own_connection_until_the_client_is_heard() {
    let (pair, bytes) = (Pair::new(), noise(6 * MIB, 3));
    pair.file("f", &bytes);
    let mut own = logged_in(&pair).await;
    let mut lane = joined(&pair, &mut own).await;
    let id = own.ask(peer::get("f", false)).await;
    assert!(matches!(own.answer_to(id).await, ServerMessage::Offer(_)));
    for index in 0..2u32 {
        let (header, body) = own.frame_of(id).await;
        assert_eq!((header.kind, &body[..4]), (Kind::Chunk, &index.to_be_bytes()[..]));
    }
    own.send(&peer::ack(id, 0)).await;
    let (header, body) = lane.frame_of(id).await;
    assert_eq!((header.kind, &body[..4]), (Kind::Chunk, &2u32.to_be_bytes()[..]));
}

#[tokio::test]
async fn a_token_is_worth_nothing_without_the_sessions_own_connection() {
    let pair = Pair::new();
    let mut own = logged_in(&pair).await;
    let stolen = token(&mut own).await;
    refused(&pair, [9; 32], join(stolen, &[9; 32], &[9; 32])).await;
    // The whole frame, on another connection than it was made for.
    let stolen = token(&mut own).await;
    refused(&pair, [9; 32], join(stolen, &OWN, &JOINING)).await;
    own.assert_alive().await;
}

#[tokio::test]
async fn a_token_opens_one_connection_and_unknown_ones_none() {
    let pair = Pair::new();
    let mut own = logged_in(&pair).await;
    let once = token(&mut own).await;
    let mut lane = stranger(&pair, JOINING);
    lane.send(&join(once, &OWN, &JOINING)).await;
    assert_eq!(lane.next().await.unwrap().0.kind, Kind::Joined);
    refused(&pair, JOINING, join(once, &OWN, &JOINING)).await;
    refused(&pair, JOINING, join(Digest([7; 32]), &OWN, &JOINING)).await;
    // With its session a token ends too.
    let late = token(&mut own).await;
    drop(own);
    assert_eq!(lane.closed().await.unwrap(), Ended::WithSession);
    refused(&pair, JOINING, join(late, &OWN, &JOINING)).await;
    // Three failures are tolerated; the next one is not.
    assert_eq!(pair.blocked_sources(), 0);
    refused(&pair, JOINING, join(late, &OWN, &JOINING)).await;
    assert_eq!(pair.blocked_sources(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_lasts_thirty_seconds() {
    let pair = Pair::new();
    let mut own = logged_in(&pair).await;
    let _still = still();
    for (seconds, good) in [(29, true), (30, false)] {
        let token = token(&mut own).await;
        advance(std::time::Duration::from_secs(seconds)).await;
        if good {
            let mut lane = stranger(&pair, JOINING);
            lane.send(&join(token, &OWN, &JOINING)).await;
            assert_eq!(lane.next().await.unwrap().0.kind, Kind::Joined);
        } else {
            refused(&pair, JOINING, join(token, &OWN, &JOINING)).await;
        }
    }
}

#[tokio::test]
async fn a_session_has_sixteen_connections() {
    let pair = Pair::new();
    let mut own = logged_in(&pair).await;
    let many = tokens(&mut own, 20).await;
    assert_eq!(many.len(), 15);
    let mut lanes = Vec::new();
    for token in many {
        let mut lane = stranger(&pair, JOINING);
        lane.send(&join(token, &OWN, &JOINING)).await;
        assert_eq!(lane.next().await.unwrap().0.kind, Kind::Joined);
        lanes.push(lane);
    }
    let one_more = own.exchange(ClientMessage::Tokens(Tokens { count: 1 })).await;
    assert_eq!(status(&one_more), Some(Status::Busy));
    let mut first = lanes.remove(0);
    first.shut_down().await;
    assert_eq!(first.ended().await.unwrap(), Ended::ByPeer);
    assert_eq!(tokens(&mut own, 20).await.len(), 1);
}

#[tokio::test]
async fn a_connection_that_joined_can_ask_for_nothing() {
    let pair = Pair::new();
    pair.file("keep", b"bytes");
    let mut own = logged_in(&pair).await;
    for &kind in Kind::ALL.iter().filter(|kind| kind.sender() != Some(Side::Server)) {
        if [Kind::Chunk, Kind::Ack, Kind::Ping, Kind::Pong].contains(&kind) {
            continue;
        }
        let mut lane = joined(&pair, &mut own).await;
        lane.send(&sample(kind, 3)).await;
        let ended = lane.closed().await;
        assert!(
            matches!(ended, Err(WireError::Frame(FrameError::State(said))) if said == kind),
            "{kind:?}: {ended:?}"
        );
    }
    // Nor name a transfer that its session has not begun.
    for kind in [Kind::Chunk, Kind::Ack] {
        let mut lane = joined(&pair, &mut own).await;
        lane.send(&sample(kind, 1 << 30)).await;
        assert!(lane.closed().await.is_err());
    }
    let mut lane = joined(&pair, &mut own).await;
    lane.assert_alive().await;
    own.assert_alive().await;
    assert_eq!(crate::support::names(&pair.home()), ["keep"]);
}

#[tokio::test]
async fn what_is_sent_to_a_transfer_that_is_over_is_dropped() {
    let (pair, bytes) = (Pair::new(), noise(3 * MIB, 2));
    let mut own = logged_in(&pair).await;
    let mut lane = joined(&pair, &mut own).await;
    let id = own.ask(peer::put("f", bytes.len())).await;
    assert!(matches!(own.answer_to(id).await, ServerMessage::Accepted(_)));
    own.send(&peer::cancel(id)).await;
    assert!(status(&own.answer_to(id).await).is_some());
    lane.send(&peer::chunk(id, &bytes, 0)).await;
    lane.assert_alive().await;
}

#[tokio::test]
async fn a_client_of_before_gets_no_tokens_from_a_connection_without_a_name() {
    let pair = Pair::new();
    let mut own = pair.logged_in().await;
    let answer = own.exchange(ClientMessage::Tokens(Tokens { count: 1 })).await;
    assert_eq!(status(&answer), Some(Status::Busy));
    own.send(&frame::fixed(Kind::Join, 0, &[])).await;
    assert!(own.closed().await.is_err());
}
