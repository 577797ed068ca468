//! Further connections: who did not open the session may not join it, whatever was overheard.

use std::net::SocketAddr;
use std::time::Duration;

use sealane_base::types::{Digest, Network, PinSet, Username};
use sealane_core::accounts::{AccountKey, AccountManager};
use sealane_protocol::join::{self, Exporter, proof};
use sealane_protocol::message::{Join, Login, Tokens};
use sealane_protocol::{ClientMessage, Kind, ServerMessage, Side, Status};
use sealane_server::sealane::Limits;
use sealane_tls as tls;
use sealane_tls::Identity;
use tokio::net::TcpSocket;

use super::{aside, pins_of, piped, service};
use crate::support::pair::USER;
use crate::support::peer::{self, Peer, hello, login, status};
use crate::support::service::COST;
use crate::support::site::PASSWORD;
use crate::support::{Service, Site, names, noise, ok, result};

/// A server, to whom it connects.
struct Door<'a> {
    address: SocketAddr,
    pins: PinSet,
    key: Option<&'a Identity>,
    /// The last byte of where it connects from.
    from: u8,
}

impl Door<'_> {
    fn of(service: &Service) -> Self {
        Self { address: service.address, pins: service.pins.clone(), key: None, from: 1 }
    }
}

/// A connection that is past TLS, and what TLS names it by.
async fn named(service: &Service) -> (Peer, Exporter) {
    named_at(&Door::of(service)).await
}

async fn named_at(door: &Door<'_>) -> (Peer, Exporter) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, door.from], 0).into()).unwrap();
    let stream = socket.connect(door.address).await.unwrap();
    let config = tls::client_config_with(door.pins.clone(), door.key).unwrap();
    let stream = tls::connect(config, stream).await.unwrap();
    let exporter = tls::exporter(&stream, join::EXPORTER).unwrap();
    (Peer::new(piped(stream), Side::Server, None), exporter)
}

async fn logged_in(service: &Service) -> (Peer, Exporter) {
    logged_in_at(&Door::of(service)).await
}

/// With the key, if there is one, else with the password.
async fn logged_in_at(door: &Door<'_>) -> (Peer, Exporter) {
    let (mut session, own) = named_at(door).await;
    let by_key = ClientMessage::Login(Login { user: USER.to_owned(), password: None });
    let login = door.key.map_or_else(|| login(2, PASSWORD), |_| by_key.encode(2));
    session.send(&[hello(1), login].concat()).await;
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
    let service = Service::with(Limits::default(), 2, Duration::from_secs(30)).await;
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

/// A key that is good in some networks is no better for a connection that joins what it opened
/// there.
#[tokio::test(flavor = "multi_thread")]
async fn a_further_connection_comes_from_where_its_key_may() {
    let service = service().await;
    let pair = tls::generate::key_pair(time::OffsetDateTime::now_utc()).unwrap();
    let (certificate, secret) = (pair.certificate_pem.as_bytes(), pair.key_pem.expose());
    let identity = Identity::from_pem(certificate, secret.as_bytes()).unwrap();
    let from = vec![Network::parse("127.0.0.1/32").unwrap()];
    let key = AccountKey { from, ..AccountKey::new(pair.pin, String::new(), None) };
    let manager = AccountManager::new(service.store.clone(), COST, Default::default()).unwrap();
    manager.add_key(&Username::parse(USER).unwrap(), &key).unwrap();
    let mut door = Door { key: Some(&identity), ..Door::of(&service) };
    let (mut session, own) = logged_in_at(&door).await;
    for (from, expected) in [(1, Kind::Joined), (2, Kind::Refused)] {
        door.from = from;
        let token = token(&mut session).await;
        let (mut lane, exporter) = named_at(&door).await;
        lane.send(&joining(token, &own, &exporter)).await;
        assert_eq!(lane.next().await.unwrap().0.kind, expected, "from {from}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_administrator_sees_a_session_once_and_how_many_connections_it_has() {
    let site = Site::new();
    site.account(USER, "1M");
    let server = site.start();
    let pins = pins_of(&site.address(&server, USER, ""));
    let door = Door { address: server.address, pins, key: None, from: 1 };
    let (mut session, own) = logged_in_at(&door).await;
    let mut lanes = Vec::new();
    for _ in 0..2 {
        let (mut lane, exporter) = named_at(&door).await;
        let token = token(&mut session).await;
        lane.send(&joining(token, &own, &exporter)).await;
        assert_eq!(lane.next().await.unwrap().0.kind, Kind::Joined);
        lanes.push(lane);
    }
    let (status, killed) = aside(move || {
        let ask = |arguments: &[&str]| result(&ok(site.admin(arguments)));
        let status = ask(&["status", "--json"]);
        (status, ask(&["sessions", "kill", "--account", USER, "--json"]))
    })
    .await;
    let sessions = status["sessions"].as_array().unwrap();
    assert_eq!((sessions.len(), &sessions[0]["connections"]), (1, &3.into()), "{status}");
    assert_eq!(killed["ended"], 1);
    for mut peer in lanes.into_iter().chain([session]) {
        assert!(peer.next().await.is_none());
    }
}

async fn logged_in_as(service: &Service, user: &str) -> Peer {
    let (mut session, _) = named(service).await;
    session.send(&[hello(1), peer::login_as(2, user, PASSWORD)].concat()).await;
    assert!(matches!(session.answer_to(1).await, ServerMessage::Welcome(_)));
    assert!(matches!(session.answer_to(2).await, ServerMessage::LoggedIn(_)));
    session
}

/// Unused tokens, in as many sessions as one likes, leave others their further connections.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_are_hoarded_are_taken_from_who_has_most_of_them() {
    let service = service().await;
    let mut hoard = Vec::new();
    for user in ["eve", "mallory"] {
        service.account(user, 1 << 20);
        let mut tokens = 0;
        for _ in 0..12 {
            let mut session = logged_in_as(&service, user).await;
            match session.exchange(ClientMessage::Tokens(Tokens { count: 15 })).await {
                ServerMessage::TokensAre(answer) => tokens += answer.tokens.len(),
                other => assert_eq!(status(&other), Some(Status::Busy)),
            }
            hoard.push(session);
        }
        // The service has places for 256 further connections; one account gets half of them.
        assert_eq!(tokens, 128, "{user}");
    }
    let (mut session, own) = logged_in(&service).await;
    for _ in 0..3 {
        let token = token(&mut session).await;
        let (mut lane, exporter) = named(&service).await;
        lane.send(&joining(token, &own, &exporter)).await;
        assert_eq!(lane.next().await.unwrap().0.kind, Kind::Joined);
    }
}
