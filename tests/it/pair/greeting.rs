//! Before the login: two frames in one order, and nothing else has any effect.

use sealane_base::types::{Digest, Secret};
use sealane_protocol::frame::{self, ChunkPrefix, ClaimsPage, FrameError};
use sealane_protocol::message::{
    Accepted, DiscardPartial, Empty, Enroll, Entries, Entry, File, Hello, Join, Keys, LoggedIn,
    Login, Offer, Partials, PartialsAre, ReceiptIs, ReceiptOf, Refused, SizeRoot, Tokens,
    TokensAre, UsageIs, Welcome,
};
use sealane_protocol::pieces::{self, Piece, PiecesPage, Step};
use sealane_protocol::wire::WireError;
use sealane_protocol::{ClientMessage, Header, Kind, ServerMessage, Side, Status, VERSION};
use sealane_server::sealane::Ended;

use crate::support::pair::USER;
use crate::support::peer::{self, Peer, hello, login, status, still};
use crate::support::site::PASSWORD;
use crate::support::{Pair, names};

/// A well-formed frame of each type, most of which would do harm to a home.
pub fn sample(kind: Kind, id: u32) -> Vec<u8> {
    let root = Digest([7; 32]);
    let name = "keep".to_owned();
    let size_root = SizeRoot { size: 1, root };
    let client = |message: ClientMessage| message.encode(id);
    let server = |message: ServerMessage| message.encode(id);
    match kind {
        Kind::Hello => hello(id),
        Kind::Login => login(id, PASSWORD),
        Kind::Put => client(peer::put("new", 5 << 20)),
        Kind::PutSmall => client(peer::put_small("new", b"bytes")),
        Kind::Get => client(peer::get("keep", false)),
        Kind::List => client(peer::list("")),
        Kind::Stat => client(peer::stat("keep")),
        Kind::MakeDirectory => client(peer::make_directory("new")),
        Kind::Remove => client(peer::remove("keep")),
        Kind::Rename => client(peer::rename("keep", "new")),
        Kind::Usage => client(peer::usage()),
        Kind::DigestOf => client(peer::digest_of("keep")),
        Kind::Partials => client(ClientMessage::Partials(Partials::default())),
        Kind::DiscardPartial => {
            client(ClientMessage::DiscardPartial(DiscardPartial { id: "0a".repeat(16) }))
        }
        Kind::Join => client(ClientMessage::Join(Join { token: root, proof: root })),
        Kind::Tokens => client(ClientMessage::Tokens(Tokens { count: 1 })),
        Kind::SetMeta => client(peer::set_meta("keep")),
        Kind::ReceiptOf => {
            client(ClientMessage::ReceiptOf(ReceiptOf { path: name, pin: Some(root) }))
        }
        Kind::Enroll => client(ClientMessage::Enroll(Enroll { comment: None })),
        Kind::Welcome => server(ServerMessage::Welcome(Welcome {
            version: VERSION,
            agent: None,
            max_requests: 1,
            max_transfers: 1,
            features: None,
        })),
        Kind::LoggedIn => server(ServerMessage::LoggedIn(LoggedIn { user: name })),
        Kind::Keys => {
            server(ServerMessage::Keys(Keys { epoch: 1, keys: Vec::new(), statements: None }))
        }
        Kind::Joined => server(ServerMessage::Joined(Empty {})),
        Kind::TokensAre => server(ServerMessage::TokensAre(TokensAre { tokens: vec![root] })),
        Kind::Accepted => server(ServerMessage::Accepted(Accepted { claims: false, pieces: None })),
        Kind::Offer => server(ServerMessage::Offer(Offer {
            size: 5 << 20,
            chunk_log2: 20,
            modified: None,
            mode: None,
        })),
        Kind::File => {
            let file = File { digest: Digest::of_bytes(b"x"), modified: None, mode: None };
            server(ServerMessage::File(file, b"x".to_vec()))
        }
        Kind::Entries => server(ServerMessage::Entries(Entries::default())),
        Kind::Entry => {
            server(ServerMessage::Entry(Entry { name, kind: 0, size: 1, modified: 0, mode: 0 }))
        }
        Kind::Done => server(ServerMessage::Done(Empty {})),
        Kind::UsageIs => server(ServerMessage::UsageIs(UsageIs { used: 1, reserved: 1, limit: 1 })),
        Kind::PartialsAre => server(ServerMessage::PartialsAre(PartialsAre::default())),
        Kind::ReceiptIs => server(ServerMessage::ReceiptIs(ReceiptIs {
            account: name,
            size: 1,
            root,
            time: 1,
            public_key: vec![1],
            signature: vec![2],
        })),
        Kind::DigestIs => server(ServerMessage::DigestIs(size_root)),
        Kind::Committed => server(ServerMessage::Committed(size_root)),
        Kind::Refused => server(ServerMessage::Refused(Refused::new(Status::Busy))),
        Kind::Cancel => peer::cancel(id),
        Kind::Ping | Kind::Pong => frame::fixed(kind, 0, &[1; 8]),
        _ => sample_of_a_transfer(kind, id),
    }
}

fn sample_of_a_transfer(kind: Kind, id: u32) -> Vec<u8> {
    let root = Digest([7; 32]);
    match kind {
        Kind::Chunk => peer::any_chunk(id, 0, root, b"bytes"),
        Kind::End => frame::fixed(kind, id, &root.0),
        Kind::Claims => ClaimsPage { first: 0, digests: vec![root], last: true }.encode(id),
        Kind::Ack => peer::ack(id, 0),
        Kind::Seek => frame::fixed(kind, id, &[16]),
        Kind::Pieces => {
            let pieces = vec![Piece { length: 70_000, hash: [7; 16] }];
            PiecesPage { pieces, last: true }.encode(id)
        }
        Kind::Recipe => {
            let prefix = ChunkPrefix { index: 0, digest: root };
            pieces::recipe(id, &prefix, [Step::Copy { offset: 0, length: 1 << 20 }].into_iter())
        }
        other => panic!("no sample of {other:?}"),
    }
}

/// Asserts that nobody got as far as an account or a home.
fn assert_untouched(pair: &Pair) {
    assert_eq!(pair.evaluations(), 0);
    assert_eq!(names(&pair.home()), ["keep"]);
    assert_eq!(std::fs::read(pair.home().join("keep")).unwrap(), b"kept");
    assert!(pair.partials().is_empty());
}

fn pair() -> Pair {
    let pair = Pair::new();
    pair.file("keep", b"kept");
    pair
}

async fn assert_breaks_the_protocol(peer: Peer, what: &str) {
    let ended = peer.closed().await;
    assert!(matches!(ended, Err(WireError::Frame(_))), "{what}: {ended:?}");
}

#[tokio::test(start_paused = true)]
async fn nothing_but_hello_opens_a_session() {
    let pair = pair();
    for &kind in Kind::ALL.iter().filter(|&&kind| kind != Kind::Hello) {
        let mut peer = pair.peer();
        // What follows would be welcome if the first frame had been.
        let rest = [hello(2), login(3, PASSWORD), sample(Kind::MakeDirectory, 4)].concat();
        peer.send(&[sample(kind, 1), rest].concat()).await;
        assert_breaks_the_protocol(peer, &format!("{kind:?}")).await;
    }
    assert_untouched(&pair);
}

#[tokio::test(start_paused = true)]
async fn nothing_but_login_follows_hello() {
    let pair = pair();
    for &kind in Kind::ALL.iter().filter(|&&kind| kind != Kind::Login) {
        let mut peer = pair.peer();
        let rest = [login(3, PASSWORD), sample(Kind::MakeDirectory, 4)].concat();
        peer.send(&[hello(1), sample(kind, 2), rest].concat()).await;
        assert!(matches!(peer.answer_to(1).await, ServerMessage::Welcome(_)));
        assert_breaks_the_protocol(peer, &format!("{kind:?}")).await;
    }
    assert_untouched(&pair);
}

#[tokio::test(start_paused = true)]
async fn what_follows_a_refused_login_has_no_effect() {
    let (pair, _still) = (pair(), still());
    let mut peer = pair.peer();
    let frames = [hello(1), login(2, "wrong"), login(3, PASSWORD), sample(Kind::Remove, 4)];
    peer.send(&frames.concat()).await;
    assert!(matches!(peer.answer_to(1).await, ServerMessage::Welcome(_)));
    assert_eq!(status(&peer.answer_to(2).await), Some(Status::LoginRefused));
    assert_eq!(peer.closed().await.unwrap(), Ended::NotLoggedIn);
    assert_eq!(pair.evaluations(), 1, "the second password was not even looked at");
    assert_eq!(names(&pair.home()), ["keep"]);
}

#[tokio::test(start_paused = true)]
async fn any_other_version_is_refused_before_the_password_is_looked_at() {
    let pair = pair();
    for version in [0, 2, 3, u64::MAX] {
        let mut peer = pair.peer();
        let hello = ClientMessage::Hello(Hello { version, agent: None, features: None }).encode(1);
        peer.send(&[hello, login(2, PASSWORD)].concat()).await;
        assert_eq!(status(&peer.answer_to(1).await), Some(Status::Version), "{version}");
        assert_eq!(peer.closed().await.unwrap(), Ended::NotLoggedIn);
    }
    assert_untouched(&pair);
}

#[tokio::test(start_paused = true)]
async fn features_of_a_client_that_are_not_known_are_passed_over() {
    let (pair, _still) = (pair(), still());
    for features in [vec![], vec![1, u64::MAX]] {
        let mut peer = pair.peer();
        let features = Some(features);
        let hello = ClientMessage::Hello(Hello { version: VERSION, agent: None, features });
        peer.send(&[hello.encode(1), login(2, PASSWORD)].concat()).await;
        let ServerMessage::Welcome(welcome) = peer.answer_to(1).await else { panic!() };
        assert_eq!((welcome.version, welcome.features), (VERSION, None));
        assert!(matches!(peer.answer_to(2).await, ServerMessage::LoggedIn(_)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_greeting_out_of_form_closes_the_connection() {
    let pair = pair();
    let longer = |mut frame: Vec<u8>| {
        let header: &[u8; 10] = frame.first_chunk().unwrap();
        let mut header = Header::decode(header, Side::Client).unwrap();
        header.length += 1;
        frame[..10].copy_from_slice(&header.encode());
        frame.push(0);
        frame
    };
    let flagged = |mut frame: Vec<u8>| {
        frame[1] = 0x01;
        frame
    };
    let too_long = |kind: Kind, id| Header::new(kind, id, kind.bound() + 1).encode().to_vec();
    let after_hello = |frame: Vec<u8>| [hello(1), frame].concat();
    for (what, bytes) in [
        ("bytes behind HELLO", longer(hello(1))),
        ("bytes behind LOGIN", after_hello(longer(login(2, PASSWORD)))),
        ("a flag on HELLO", flagged(hello(1))),
        ("a flag on LOGIN", after_hello(flagged(login(2, PASSWORD)))),
        // Only the header: the server must not wait for the body.
        ("a HELLO above its bound", too_long(Kind::Hello, 1)),
        ("a LOGIN above its bound", after_hello(too_long(Kind::Login, 2))),
        ("a type nobody knows", Header::new(Kind::Hello, 1, 3).encode().map(|b| b | 0x60).to_vec()),
        ("an empty HELLO", Header::new(Kind::Hello, 1, 0).encode().to_vec()),
        ("id 0", hello(0)),
        ("the same id twice", after_hello(login(1, PASSWORD))),
        ("another protocol", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
    ] {
        let mut peer = pair.peer();
        peer.send(&bytes).await;
        if bytes.starts_with(&hello(1)) {
            assert!(matches!(peer.answer_to(1).await, ServerMessage::Welcome(_)), "{what}");
        }
        assert_breaks_the_protocol(peer, what).await;
    }
    assert_untouched(&pair);
}

#[tokio::test(start_paused = true)]
async fn a_login_above_its_bound_is_named_so() {
    let pair = pair();
    let mut peer = pair.peer();
    let header = Header::new(Kind::Login, 2, 4097).encode();
    peer.send(&[hello(1), header.to_vec()].concat()).await;
    peer.answer_to(1).await;
    let ended = peer.closed().await.unwrap_err();
    let expected = FrameError::Length { kind: Kind::Login, length: 4097, bound: 4096 };
    assert!(matches!(ended, WireError::Frame(error) if error == expected), "{ended}");
}

#[tokio::test(start_paused = true)]
async fn a_password_of_no_possible_length_is_refused_like_a_wrong_one() {
    let (pair, _still) = (pair(), still());
    for password in ["", &"x".repeat(1025)] {
        let mut peer = pair.peer();
        peer.send(&[hello(1), login(2, password)].concat()).await;
        assert_eq!(status(&peer.answer_to(2).await), Some(Status::LoginRefused));
        assert_eq!(peer.closed().await.unwrap(), Ended::NotLoggedIn);
    }
    assert_eq!(pair.evaluations(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_account_that_is_none_is_refused_like_a_wrong_password() {
    let (pair, _still) = (pair(), still());
    let mut answers = Vec::new();
    for (user, password) in
        [(USER, "wrong"), ("bob", PASSWORD), ("../ann", PASSWORD), ("\u{1b}[2J", "x")]
    {
        let mut peer = pair.peer();
        let login =
            Login { user: user.to_owned(), password: Some(Secret::new(password.to_owned())) };
        peer.send(&[hello(1), ClientMessage::Login(login).encode(2)].concat()).await;
        answers.push(peer.answer_to(2).await);
        assert_eq!(peer.closed().await.unwrap(), Ended::NotLoggedIn);
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!(pair.evaluations(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_goes_away_early_leaves_nothing() {
    let pair = pair();
    for bytes in [Vec::new(), hello(1), hello(1)[..4].to_vec(), [hello(1), vec![2, 0]].concat()] {
        let mut peer = pair.peer();
        peer.send(&bytes).await;
        peer.shut_down().await;
        let ended = peer.closed_at_last().await;
        assert!(matches!(ended, Ok(Ended::NotLoggedIn) | Err(WireError::Truncated)), "{ended:?}");
    }
    assert_untouched(&pair);
}
