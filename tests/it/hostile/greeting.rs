//! Before the login, and what only a login opens: rows 12, 17, 18 and 19.

use sealane_base::types::{Secret, Username};
use sealane_core::accounts::Hasher;
use sealane_protocol::frame::HEADER;
use sealane_protocol::message::{LoggedIn, Put};
use sealane_protocol::{ClientMessage, Kind, ServerMessage, Side, Status};

use super::{FalseServer, MIB, assert_closed, insider, service, stranger};
use crate::pair::greeting::sample;
use crate::support::noise;
use crate::support::pair::USER;
use crate::support::peer::{self, any_chunk, cancel, digest, hello, login, put, soon, status};
use crate::support::service::COST;
use crate::support::site::PASSWORD;
use crate::support::trees::content;

#[tokio::test(flavor = "multi_thread")]
async fn row_12_nothing_but_a_login_opens_a_session() {
    let service = service().await;
    let before = (content(&service.home(USER)), service.authenticator.evaluations());
    let said = |kind: Kind, id| {
        if kind.sender() == Some(Side::Server) {
            // As if the client could tell itself that it is logged in.
            ServerMessage::LoggedIn(LoggedIn { user: USER.to_owned() }).encode(id)
        } else {
            sample(kind, id)
        }
    };
    for &kind in Kind::ALL {
        if kind != Kind::Hello {
            let mut peer = stranger(service.address, &service.pins).await;
            let rest = [hello(2), login(3, PASSWORD), sample(Kind::Remove, 4)].concat();
            peer.send(&[said(kind, 1), rest].concat()).await;
            assert_closed(peer, &format!("{kind:?} first")).await;
        }
        if kind != Kind::Login {
            let mut peer = stranger(service.address, &service.pins).await;
            let rest = [login(3, PASSWORD), sample(Kind::Remove, 4)].concat();
            peer.send(&[hello(1), said(kind, 2), rest].concat()).await;
            assert!(matches!(peer.answer_to(1).await, ServerMessage::Welcome(_)));
            assert_closed(peer, &format!("{kind:?} second")).await;
        }
    }
    assert!((content(&service.home(USER)), service.authenticator.evaluations()) == before);
    // Once inside, what servers say is still not the client's to say.
    for &kind in Kind::ALL.iter().filter(|kind| kind.sender() == Some(Side::Server)) {
        let mut peer = insider(&service).await;
        // The header is enough: no body of it is waited for.
        peer.send(&sample(kind, 3)[..HEADER]).await;
        assert_closed(peer, &format!("{kind:?} inside")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_12_a_client_believes_no_other_answer_to_its_login() {
    let password = Secret::new(PASSWORD.to_owned());
    let kinds = Kind::ALL.iter().filter(|kind| kind.sender() == Some(Side::Server));
    for &kind in kinds.filter(|kind| !matches!(kind, Kind::LoggedIn | Kind::Keys)) {
        let server = FalseServer::start(move |mut peer| async move {
            let id = peer.request(Kind::Hello).await;
            peer.send(&sample(Kind::Welcome, id)).await;
            let id = peer.request(Kind::Login).await;
            peer.send(&sample(kind, id)).await;
            // Whatever else it is asked.
            while let Some((header, _)) = peer.next().await {
                assert!(header.kind == Kind::Ping, "{kind:?}: then {:?}", header.kind);
            }
        });
        let server = server.await;
        let target = sealane_client::Target {
            host: server.address.ip().to_string(),
            port: server.address.port(),
            user: Username::parse(USER).unwrap(),
            pins: server.pins.clone(),
        };
        assert!(
            soon(crate::support::service::connect(&target, &password)).await.is_err(),
            "{kind:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_17_every_verb_stays_in_its_own_home() {
    let service = service().await;
    service.account("bob", 1 << 30);
    drop(service.login("bob").await);
    let home = service.home("bob");
    for name in ["keep", "new", "other"] {
        std::fs::write(home.join(name), b"of bob").unwrap();
    }
    let before = content(&home);
    let kinds = Kind::ALL.iter().filter(|kind| kind.sender() == Some(Side::Client));
    for &kind in kinds.filter(|kind| !matches!(kind, Kind::Hello | Kind::Login)) {
        let mut peer = insider(&service).await;
        peer.send(&sample(kind, 3)).await;
        if kind == Kind::Put {
            peer.send(&cancel(3)).await;
        }
        peer.assert_alive().await;
    }
    assert!(content(&home) == before);
    // And its partials: not even whether there are any can be told.
    let mut bob = stranger(service.address, &service.pins).await;
    bob.send(&[hello(1), peer::login_as(2, "bob", PASSWORD)].concat()).await;
    assert!(matches!(bob.answer_to(2).await, ServerMessage::LoggedIn(_)));
    let bytes = noise(3 * MIB, 4);
    bob.send(&put("large", bytes.len()).encode(3)).await;
    assert!(matches!(bob.answer_to(3).await, ServerMessage::Accepted(_)));
    bob.send(&peer::chunk(3, &bytes, 0)).await;
    bob.acknowledged(3, 0).await;
    let partials = service.directory.path().join("data/partials/bob");
    let names = crate::support::names(&partials);
    let partial = names.iter().find_map(|name| name.strip_suffix(".part")).unwrap().to_owned();
    let mut ann = insider(&service).await;
    let mut said = Vec::new();
    for id in [partial, "0a".repeat(16)] {
        let discard = sealane_protocol::message::DiscardPartial { id };
        said.push(ann.exchange(ClientMessage::DiscardPartial(discard)).await);
    }
    assert!(status(&said[0]).is_some() && said[0] == said[1], "{said:?}");
    assert_eq!(crate::support::names(&partials), names);
}

#[tokio::test(flavor = "multi_thread")]
async fn row_18_uploads_side_by_side_share_one_quota() {
    let service = service().await;
    service.account("bob", 10 * MIB as u64);
    let mut sessions = Vec::new();
    for _ in 0..4 {
        let mut bob = stranger(service.address, &service.pins).await;
        bob.send(&[hello(1), peer::login_as(2, "bob", PASSWORD)].concat()).await;
        assert!(matches!(bob.answer_to(2).await, ServerMessage::LoggedIn(_)));
        sessions.push(bob);
    }
    // 32 uploads, each just under what is left: one has it.
    let (mut accepted, mut refused) = (Vec::new(), 0);
    for (number, bob) in sessions.iter_mut().enumerate() {
        for file in 0..8 {
            let id = 3 + file;
            bob.send(&put(&format!("{number}-{file}"), 10 * MIB - 1).encode(id)).await;
            match bob.answer_to(id).await {
                ServerMessage::Accepted(_) => accepted.push((number, id)),
                answer => {
                    assert_eq!(status(&answer), Some(Status::Quota));
                    refused += 1;
                }
            }
        }
    }
    assert_eq!((accepted.len(), refused), (1, 31));
    // More than was declared is not taken: neither a longer chunk nor one behind the last.
    let (number, id) = accepted[0];
    let bytes = noise(2 * MIB, 5);
    let bob = &mut sessions[number];
    bob.send(&any_chunk(id, 10, digest(&bytes, 0), &bytes[..MIB])).await;
    while let Some((header, _)) = bob.next().await {
        assert!(header.kind != Kind::Ack);
    }
    let usage = service.login("bob").await.usage().await.unwrap();
    assert!(usage.used + usage.reserved <= usage.limit, "{usage:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn row_18_a_size_is_not_changed_later() {
    let service = service().await;
    let mut peer = insider(&service).await;
    for size in [0, (1 << 42) + 1, u64::MAX] {
        let request =
            Put { path: "new".to_owned(), size, chunk_log2: 20, modified: None, mode: None };
        let id = peer.ask(ClientMessage::Put(request)).await;
        let answer = peer.answer_to(id).await;
        if matches!(answer, ServerMessage::Accepted(_)) {
            peer.send(&any_chunk(id, 0, digest(&[1; 9], 0), &[1; 9])).await;
            break;
        }
        assert!(status(&answer).is_some());
    }
    while let Some((header, _)) = soon(peer.next()).await {
        assert!(header.kind != Kind::Committed && header.kind != Kind::Ack);
    }
    assert_eq!(crate::support::names(&service.home(USER)), ["keep"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn row_19_an_empty_password_opens_nothing() {
    let service = service().await;
    let place = service.directory.path().join("accounts/old.db");
    let (source, old) = (Some(service.address.ip()), Username::parse("old").unwrap());
    let empty_md5 = "d41d8cd98f00b204e9800998ecf8427e";
    // Also where a record has a good hash of no password at all, which somebody else wrote or
    // wrapped.
    let hasher = Hasher::new(COST).unwrap();
    let md5: Vec<_> = empty_md5.as_bytes().chunks(2).collect();
    let md5 = md5.iter().map(|hex| u8::from_str_radix(str::from_utf8(hex).unwrap(), 16).unwrap());
    let wrapped = hasher.wrap(&md5.collect::<Vec<_>>().try_into().unwrap()).unwrap();
    let native = hasher.hash("").unwrap();
    for stored in
        ["", empty_md5, &empty_md5.to_uppercase(), "null", "*", "!", native.as_str(), &wrapped]
    {
        let record = serde_json::json!({"username": "old", "password": stored, "limitsize": 1000,
            "homepath": "homes/old"});
        std::fs::write(&place, record.to_string()).unwrap();
        for typed in ["", stored] {
            let before = service.authenticator.evaluations();
            let mut peer = stranger(service.address, &service.pins).await;
            peer.send(&[hello(1), peer::login_as(2, "old", typed)].concat()).await;
            let answer = peer.answer_to(2).await;
            assert_eq!(status(&answer), Some(Status::LoginRefused), "{stored:?} {typed:?}");
            // Each attempt is seen, and costs the same.
            assert_eq!(service.authenticator.evaluations(), before + 1);
            service.authenticator.unblock(&old, source);
        }
    }
    let _ = Username::parse(USER).map(|ann| service.authenticator.unblock(&ann, source));
    let mut peer = stranger(service.address, &service.pins).await;
    peer.send(&[hello(1), login(2, "")].concat()).await;
    assert_eq!(status(&peer.answer_to(2).await), Some(Status::LoginRefused));
}
