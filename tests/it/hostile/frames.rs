//! Lengths, counts and numbers: each end against the other's, over real TLS.

use std::time::{Duration, Instant};

use sealane_base::files::{LocalSink, Sink};
use sealane_base::types::{Digest, Layout, RemotePath, Secret, Username};
use sealane_client::Client;
use sealane_client::session::SessionError;
use sealane_client::{ConnectError, Target};
use sealane_protocol::frame::{self, FrameError};
use sealane_protocol::message::{Accepted, Hello, Offer, Put, SizeRoot, Welcome};
use sealane_protocol::transfer::{Meter, TransferError};
use sealane_protocol::{ClientMessage, Header, Kind, ServerMessage, Side, Status, VERSION};

use super::{FalseServer, MIB, assert_closed, insider, insider_at, pins_of, service, stranger};
use crate::sessions::upload;
use crate::support::pair::USER;
use crate::support::peer::{
    self, Peer, ack, any_chunk, claims, get, put, soon, stat, status, usage,
};
use crate::support::service::connect;
use crate::support::site::PASSWORD;
use crate::support::{Site, names, noise};

/// Numbers at which arithmetic goes wrong.
const NUMBERS: [u64; 12] = [
    0,
    1,
    (1 << 20) - 1,
    (1 << 20) + 1,
    (1 << 31) - 1,
    1 << 31,
    u32::MAX as u64,
    1 << 32,
    (1 << 42) + 1,
    i64::MAX as u64,
    1 << 63,
    u64::MAX,
];

/// The largest file, 4 TiB, as `docs/PROTOCOL.md` has it.
const LARGEST: u64 = 1 << 42;

async fn connected(server: &FalseServer) -> Result<Client, ConnectError> {
    let target = Target {
        host: server.address.ip().to_string(),
        port: server.address.port(),
        user: Username::parse(USER).unwrap(),
        pins: server.pins.clone(),
    };
    soon(connect(&target, &Secret::new(PASSWORD.to_owned()))).await
}

/// Lengths that are a lie: above the bound, and as much as fits the field.
fn lying_headers(side: Side) -> Vec<(String, Vec<u8>)> {
    let kinds = Kind::ALL.iter().filter(|kind| kind.sender().is_none_or(|sender| sender == side));
    let lies = kinds.flat_map(|&kind| {
        [kind.bound() + 1, u32::MAX].map(|length| {
            (format!("{kind:?} of {length}"), Header::new(kind, 3, length).encode().to_vec())
        })
    });
    lies.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn row_03_lengths_beyond_the_bound() {
    let service = service().await;
    for (what, header) in lying_headers(Side::Client) {
        let mut peer = insider(&service).await;
        // Only the header: whoever waits for the body, or makes room for it, has lost.
        peer.send(&header).await;
        assert_closed(peer, &what).await;
    }
    // A byte less and a byte more than the message has; nothing at all.
    let whole = stat("keep").encode(3);
    for (length, is_cut) in [(0, false), (whole.len() - 11, false), (whole.len() - 9, true)] {
        let mut peer = insider(&service).await;
        let header = Header::new(Kind::Stat, 3, length as u32).encode();
        peer.send(&[&header[..], &whole[10..], &[0][..usize::from(is_cut)]].concat()).await;
        assert_closed(peer, &format!("STAT of {length}")).await;
    }
    assert_eq!(names(&service.home(USER)), ["keep"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn row_03_lengths_beyond_the_bound_from_a_server() {
    for (what, header) in lying_headers(Side::Server) {
        let server = FalseServer::start(move |mut peer| {
            let header = header.clone();
            async move {
                peer.let_in().await;
                let _ = peer.request(Kind::Usage).await;
                peer.send(&header).await;
                std::future::pending::<()>().await;
            }
        });
        let server = server.await;
        let client = connected(&server).await.unwrap();
        let error = soon(client.usage()).await.unwrap_err();
        assert!(matches!(error, SessionError::Connection(_)), "{what}: {error}");
    }
}

/// A map of `count` entries that are not there; an array, a text, nothing but beginnings.
fn counts() -> Vec<Vec<u8>> {
    let mut all = vec![
        [&[0xbb][..], &[0xff; 8]].concat(),
        [&[0xa1, 0x00, 0x9b][..], &[0xff; 8]].concat(),
        [&[0xa1, 0x00, 0x9a][..], &[0xff; 4]].concat(),
        [&[0xa1, 0x00, 0x7b][..], &[0xff; 8]].concat(),
        [&[0xa1, 0x00, 0x5b][..], &[0x7f; 8]].concat(),
        [&[0xa1, 0x18, 0x63, 0xbb][..], &[0xff; 8]].concat(),
        vec![0xbf; 900],
    ];
    // Depth where an unknown key may hold anything.
    for opening in [0x81, 0x9f, 0xbf, 0xd8] {
        all.push([&[0xa1, 0x18, 0x63][..], &[opening; 900]].concat());
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn row_06_counts_beyond_what_came() {
    let service = service().await;
    let client_kinds = Kind::ALL.iter().filter(|kind| kind.sender() == Some(Side::Client));
    for &kind in client_kinds.filter(|&&kind| kind != Kind::Cancel) {
        for body in counts() {
            let since = Instant::now();
            let _ = ClientMessage::decode(kind, &body);
            assert!(since.elapsed() < Duration::from_millis(100), "{kind:?} {:?}", since.elapsed());
        }
    }
    let server_kinds = Kind::ALL.iter().filter(|kind| kind.sender() == Some(Side::Server));
    for &kind in server_kinds {
        for body in counts() {
            let since = Instant::now();
            let _ = ServerMessage::decode(kind, &body);
            assert!(since.elapsed() < Duration::from_millis(100), "{kind:?} {:?}", since.elapsed());
        }
    }
    for body in counts() {
        let mut peer = insider(&service).await;
        peer.send(&frame::fixed(Kind::List, 3, &body)).await;
        assert_closed(peer, &format!("{:02x?}", &body[..5])).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_06_counts_beyond_what_came_from_a_server() {
    for body in counts() {
        let server = FalseServer::start(move |mut peer| {
            let body = body.clone();
            async move {
                peer.let_in().await;
                let id = peer.request(Kind::List).await;
                peer.send(&frame::fixed(Kind::Entries, id, &body)).await;
                std::future::pending::<()>().await;
            }
        });
        let server = server.await;
        let client = connected(&server).await.unwrap();
        let error = soon(client.list(&RemotePath::default(), None)).await.unwrap_err();
        assert!(matches!(error, SessionError::Connection(_)), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_05_numbers_at_the_edge() {
    let service = service().await;
    let mut peer = insider(&service).await;
    for size in NUMBERS {
        for chunk_log2 in [0, 19, 20, 21, 22, 63, 64, 255] {
            let path = "new".to_owned();
            let request = Put { path, size, chunk_log2, modified: Some(i64::MIN), mode: None };
            let id = peer.ask(ClientMessage::Put(request)).await;
            let answer = peer.answer_to(id).await;
            // As large as is allowed, and cut as such a file is: nothing else is accepted.
            let cut = Layout::for_size(size).is_ok_and(|layout| layout.chunk_log2() == chunk_log2);
            let sound = matches!(answer, ServerMessage::Accepted(_)) && size <= 1 << 30 && cut;
            assert!(sound || status(&answer).is_some(), "{size} {chunk_log2}: {answer:?}");
            // By what a file can be, before any quota is asked.
            let is_file = size <= LARGEST;
            assert!(is_file || status(&answer) == Some(Status::TooLarge), "{size}: {answer:?}");
            peer.send(&frame::fixed(Kind::Cancel, id, &[])).await;
            peer.assert_alive().await;
        }
    }
    let bytes = noise(3 * MIB, 1);
    let root = Digest([7; 32]);
    for index in NUMBERS.iter().filter_map(|number| u32::try_from(*number).ok()) {
        let mut frames = vec![
            (put("new", bytes.len()), claims(3, index, vec![root], false)),
            (get("keep", true), ack(3, index)),
            (get("keep", true), claims(3, index, vec![root; 2], true)),
        ];
        if index > 0 {
            frames.push((put("new", bytes.len()), any_chunk(3, index, root, &bytes[..9])));
        }
        for (request, wrong) in frames {
            let mut peer = insider(&service).await;
            let id = peer.ask(request).await;
            peer.answer_to(id).await;
            peer.send(&wrong).await;
            peer.shut_down().await;
            while let Some((header, body)) = soon(peer.next()).await {
                assert!(header.kind != Kind::Committed, "{index}: {body:?}");
            }
        }
    }
    assert_eq!(names(&service.home(USER)), ["keep"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn row_05_numbers_at_the_edge_from_a_server() {
    for number in NUMBERS {
        for chunk_log2 in [0u8, 20, 22, 63, 255] {
            let server = FalseServer::start(move |peer| lie_in_numbers(peer, number, chunk_log2));
            let server = server.await;
            let client = connected(&server).await.unwrap();
            let directory = tempfile::tempdir().unwrap();
            let to = directory.path().join("file");
            // Nothing is begun for an offer that no sender would make.
            let layout = Layout::for_size(number).ok().filter(|_| number <= LARGEST);
            let cut = layout.is_some_and(|it| it.chunk_log2() == chunk_log2);
            let open = move |size, meta| {
                assert!(cut, "{number} {chunk_log2} was believed");
                LocalSink::create(&to, size, meta, false)
                    .map(|sink| std::sync::Arc::new(sink) as std::sync::Arc<dyn Sink>)
            };
            let path = RemotePath::parse("file").unwrap();
            let meter = std::sync::Arc::new(Meter::default());
            let got = soon(client.download(&path, false, open, meter)).await;
            assert!(got.is_err(), "{number} {chunk_log2}");
            let died = matches!(got, Err(SessionError::Transfer(TransferError::Thread)));
            assert!(!died, "{number} {chunk_log2}");
            let sent = soon(upload(&client, "file", &noise(3 * MIB, 2))).await;
            assert!(sent.is_err(), "{number} {chunk_log2}");
            assert!(!directory.path().join("file").exists());
        }
    }
}

/// To a download an offer and an end, to an upload acknowledgements and a success, all of them
/// wrong.
async fn lie_in_numbers(mut peer: Peer, number: u64, chunk_log2: u8) {
    let index = u32::try_from(number).unwrap_or(u32::MAX);
    peer.let_in().await;
    while let Some((header, _)) = peer.next().await {
        let id = header.id;
        match header.kind {
            Kind::Get => {
                let offer =
                    Offer { size: number, chunk_log2, modified: Some(i64::MIN), mode: None };
                let chunk = any_chunk(id, index, Digest([1; 32]), b"evil");
                peer.say(id, ServerMessage::Offer(offer)).await;
                peer.send(&[chunk, frame::fixed(Kind::End, id, &[1; 32])].concat()).await;
                peer.say(id, super::refused(Status::Internal)).await;
            }
            Kind::Put => {
                peer.say(id, ServerMessage::Accepted(Accepted { claims: true, pieces: None }))
                    .await;
                peer.send(&claims(id, index, vec![Digest([1; 32])], false)).await;
                peer.send(&ack(id, index)).await;
                let done = SizeRoot { size: number, root: Digest([1; 32]) };
                peer.say(id, ServerMessage::Committed(done)).await;
            }
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_08_no_peer_sets_our_limits() {
    let service = service().await;
    let mut said = Vec::new();
    for features in [None, Some(Vec::new()), Some(vec![u64::MAX; 20])] {
        for agent in [None, Some(String::new()), Some("max_requests=9999999".repeat(40))] {
            let mut peer = stranger(service.address, &service.pins).await;
            let features = features.clone();
            let hello = Hello { version: VERSION, agent, features };
            peer.send(&ClientMessage::Hello(hello).encode(1)).await;
            let ServerMessage::Welcome(welcome) = peer.answer_to(1).await else { panic!() };
            assert_eq!((welcome.version, welcome.features), (VERSION, None));
            said.push((welcome.max_requests, welcome.max_transfers));
        }
    }
    assert!(said.iter().all(|limits| *limits == said[0]), "{said:?}");
    // 0 is not unlimited, and much is not too much.
    for number in [0, 1, u32::MAX] {
        let server = FalseServer::start(move |mut peer| async move {
            let id = peer.request(Kind::Hello).await;
            let welcome =
                Welcome { max_requests: number, max_transfers: number, ..peer::welcome() };
            peer.say(id, ServerMessage::Welcome(welcome)).await;
            let id = peer.request(Kind::Login).await;
            let user = sealane_protocol::message::LoggedIn { user: USER.to_owned() };
            peer.say(id, ServerMessage::LoggedIn(user)).await;
            std::future::pending::<()>().await;
        });
        let client = connected(&server.await).await.unwrap();
        assert!((1..=4096).contains(&client.max_requests()), "{number}");
        assert!((1..=64).contains(&client.max_transfers()), "{number}");
    }
}

/// Bytes that a process has in memory.
fn resident(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn row_03_a_length_is_not_memory() {
    let site = Site::new();
    site.account(USER, "1G");
    let server = site.start();
    let pins = pins_of(&site.address(&server, USER, ""));
    let mut sessions = Vec::new();
    for _ in 0..15 {
        sessions.push(insider_at(server.address, &pins).await);
    }
    let before = resident(server.child.id());
    // Announced, and hardly begun: 1 MiB each.
    for peer in &mut sessions {
        peer.send(&Header::new(Kind::PutSmall, 3, Kind::PutSmall.bound()).encode()).await;
        peer.send(&[0xa0; 100]).await;
    }
    // Somebody else is served meanwhile, so the server has seen what came before.
    let mut other = insider_at(server.address, &pins).await;
    assert!(matches!(other.exchange(usage()).await, ServerMessage::UsageIs(_)));
    let grown = resident(server.child.id()).saturating_sub(before);
    assert!(grown < 8 * MIB, "{grown} bytes");
}

#[test]
fn row_03_no_length_passes_unchecked() {
    for &kind in Kind::ALL {
        let header = Header::new(kind, 1, kind.bound() + 1).encode();
        let side = kind.sender().unwrap_or(Side::Client);
        assert!(matches!(Header::decode(&header, side), Err(FrameError::Length { .. })));
    }
}
