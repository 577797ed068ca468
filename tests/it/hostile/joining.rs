//! Further connections: who did not open the session may not join it, whatever was overheard.

use std::time::Duration;

use sealane::protocol::join::{self, Exporter, proof};
use sealane::protocol::message::{Join, Tokens};
use sealane::protocol::{ClientMessage, Kind, ServerMessage, Side, Status};
use sealane::session::Limits;
use sealane::tls;
use sealane::types::Digest;
use tokio::net::TcpStream;

use super::{piped, service};
use crate::support::Service;
use crate::support::pair::USER;
use crate::support::peer::{self, Peer, hello, login, status};
use crate::support::site::PASSWORD;
use crate::support::{names, noise};

/// A connection that is past TLS, and what TLS names it by.
async fn named(service: &Service) -> (Peer, Exporter) {
    let stream = TcpStream::connect(service.address).await.unwrap();
    let config = tls::client_config(service.pins.clone()).unwrap();
    let stream = tls::connect(config, stream).await.unwrap();
    let exporter = tls::exporter(&stream, join::EXPORTER).unwrap();
    (Peer::new(piped(stream), Side::Server, None), exporter)
}

async fn logged_in(service: &Service) -> (Peer, Exporter) {
    let (mut session, own) = named(service).await;
    session.send(&[hello(1), login(2, PASSWORD)].concat()).await;
    assert!(matches!(session.answer_to(1).await, ServerMessage::Welcome(_)));
    assert!(matches!(session.answer_to(2).await, ServerMessage::LoggedIn(_)));
    (session, own)
}

async fn token(session: &mut Peer) -> Digest {
    match session.exchange(ClientMessage::Tokens(Tokens { count: 1 })).await {
        ServerMessage::TokensAre(answer) => answer.tokens[0],
        other => panic!("{other:?}"),
    }
}

fn joining(token: Digest, session: &Exporter, lane: &Exporter) -> Vec<u8> {
    let proof = proof(&token, session, lane);
    ClientMessage::Join(Join { token, proof }).encode(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn row_23_a_stolen_token_opens_no_data_connection() {
    let service = service().await;
    let (mut session, own) = logged_in(&service).await;
    // With the token alone; and with all of a `JOIN` that was made for another connection.
    for knows_all in [false, true] {
        let stolen = token(&mut session).await;
        let (mut thief, exporter) = named(&service).await;
        let (_, other) = named(&service).await;
        let frame = match knows_all {
            false => joining(stolen, &exporter, &exporter),
            true => joining(stolen, &own, &other),
        };
        thief.send(&frame).await;
        assert_eq!(status(&thief.answer_to(0).await), Some(Status::JoinRefused));
        assert!(thief.next().await.is_none(), "the connection goes on");
        // What was stolen is spent: for its owner as well.
        let (mut lane, exporter) = named(&service).await;
        lane.send(&joining(stolen, &own, &exporter)).await;
        assert_eq!(status(&lane.answer_to(0).await), Some(Status::JoinRefused));
    }
    // Its owner opens one with the next token, and moves a file of the session over it.
    let (mut lane, exporter) = named(&service).await;
    let good = token(&mut session).await;
    lane.send(&joining(good, &own, &exporter)).await;
    assert_eq!(lane.next().await.unwrap().0.kind, Kind::Joined);
    let bytes = noise(1 << 20, 23);
    let id = session.ask(peer::put("mine", bytes.len())).await;
    assert!(matches!(session.answer_to(id).await, ServerMessage::Accepted(_)));
    lane.send(&peer::chunk(id, &bytes, 0)).await;
    lane.acknowledged(id, 0).await;
    session.send(&peer::end(id, &bytes)).await;
    assert!(matches!(session.answer_to(id).await, ServerMessage::Committed(_)));
    assert_eq!(names(&service.home(USER)), ["keep", "mine"]);
    // The connection ends with its session.
    drop(session);
    assert!(lane.next().await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_further_connection_is_nobodys_session() {
    let limits = Limits { sessions: 2, ..Limits::default() };
    let service = Service::with(limits, Duration::from_secs(30)).await;
    service.account(USER, 1 << 20);
    let (mut session, own) = logged_in(&service).await;
    let mut lanes = Vec::new();
    for _ in 0..2 {
        let (mut lane, exporter) = named(&service).await;
        let token = token(&mut session).await;
        lane.send(&joining(token, &own, &exporter)).await;
        assert_eq!(lane.next().await.unwrap().0.kind, Kind::Joined);
        lanes.push(lane);
    }
    let _second = service.login(USER).await;
    let refused = service.try_login(USER, PASSWORD).await.unwrap_err();
    assert!(refused.to_string().contains("busy"), "{refused}");
}
