//! Whatever comes after a login: the session neither panics nor lingers.

use proptest::prelude::*;
use sealane_base::types::{Digest, RemotePath};
use sealane_client::session::SessionError;
use sealane_protocol::wire::WireError;
use sealane_protocol::{ClientMessage, Kind, ServerMessage, Side};
use tokio::time::Instant;

use super::greeting::sample;
use crate::support::Pair;
use crate::support::pair::lying_server;
use crate::support::peer::{
    Peer, ack, any_chunk, cancel, claims, digest_of, end, get, list, make_directory, put,
    put_small, remove, rename, set_meta, soon, stat, usage,
};

/// Seconds of a session's own time after which it lingers.
const LINGERS: u64 = 5;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

/// A path of a small world, so that requests meet; now and then a bad one.
fn path() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["", "a", "b", "d", "d/a", "a/x", "..", "large", "d/e/f", "a\u{7}"])
        .prop_map(str::to_owned)
}

fn request() -> impl Strategy<Value = ClientMessage> {
    let size = prop::sample::select(vec![0, 1, 5, 1 << 20, (1 << 20) + 1, 3 << 20, 1 << 33]);
    prop_oneof![
        3 => (path(), size).prop_map(|(path, size)| put(&path, size)),
        1 => path().prop_map(|path| put_small(&path, b"small")),
        3 => (path(), any::<bool>()).prop_map(|(path, claims)| get(&path, claims)),
        1 => path().prop_map(|path| list(&path)),
        1 => path().prop_map(|path| stat(&path)),
        1 => path().prop_map(|path| make_directory(&path)),
        1 => path().prop_map(|path| remove(&path)),
        1 => (path(), path()).prop_map(|(from, to)| rename(&from, &to)),
        1 => path().prop_map(|path| set_meta(&path)),
        1 => Just(usage()),
        1 => path().prop_map(|path| digest_of(&path)),
    ]
}

/// What belongs to a transfer, to an id that may or may not have one.
fn transfer_frame() -> impl Strategy<Value = Vec<u8>> {
    let id = 0u32..14;
    let digest = any::<[u8; 32]>().prop_map(Digest);
    let length = prop::sample::select(vec![0, 1, 5, 100, 1 << 20]);
    prop_oneof![
        1 => (id.clone(), 0u32..4, digest.clone(), length)
            .prop_map(|(id, index, digest, length)| any_chunk(id, index, digest, &vec![7; length])),
        1 => id.clone().prop_map(|id| end(id, b"")),
        1 => (id.clone(), 0u32..4, prop::collection::vec(digest, 0..4), any::<bool>())
            .prop_map(|(id, first, digests, last)| claims(id, first, digests, last)),
        1 => (id.clone(), 0u32..4).prop_map(|(id, index)| ack(id, index)),
        1 => (id.clone(), prop::sample::select(vec![Kind::Seek, Kind::Pieces, Kind::Recipe]))
            .prop_map(|(id, kind)| sample(kind, id)),
        3 => id.prop_map(cancel),
    ]
}

/// Something a peer may write: mostly well-formed, so that it gets far.
#[derive(Clone, Debug)]
enum Word {
    Request(ClientMessage),
    Frame(Vec<u8>),
}

fn word() -> impl Strategy<Value = Word> {
    prop_oneof![request().prop_map(Word::Request), transfer_frame().prop_map(Word::Frame)]
}

/// Something a peer had better not write.
fn rubbish() -> impl Strategy<Value = Word> {
    let header = (any::<u8>(), 0u8..2, 0u32..20, 0u32..64);
    (header, prop::collection::vec(any::<u8>(), 0..64)).prop_map(
        |((kind, flags, id, length), body)| {
            let header = [&[kind, flags][..], &id.to_be_bytes(), &length.to_be_bytes()].concat();
            Word::Frame([header, body].concat())
        },
    )
}

/// Says it all while somebody listens, then hangs up.
async fn say(peer: &mut Peer, words: Vec<Word>) {
    for word in words {
        match word {
            Word::Request(message) => {
                peer.ask(message).await;
            }
            Word::Frame(frame) => peer.send(&frame).await,
        }
    }
    peer.shut_down().await;
}

async fn serve(words: Vec<Word>) {
    let pair = Pair::new();
    pair.file("a", b"bytes");
    pair.file("large", &vec![3; 3 << 20]);
    std::fs::create_dir(pair.home().join("d")).unwrap();
    // Room for all that is said and answered, so that one end can speak before it listens.
    let mut peer = pair.logged_in_over(256 << 20).await;
    let since = Instant::now();
    say(&mut peer, words).await;
    let ended = peer.closed_at_last().await;
    assert!(since.elapsed().as_secs() < LINGERS, "{:?}", since.elapsed());
    // A request that panicked ends its session so.
    assert!(!matches!(ended, Err(WireError::Closed)), "{ended:?}");
    // The server is as good as before.
    let mut next = pair.logged_in().await;
    assert!(matches!(next.exchange(stat("")).await, ServerMessage::Entry(_)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn well_formed_frames_in_any_order_end_with_their_session(
        words in prop::collection::vec(word(), 1..40)
    ) {
        runtime().block_on(serve(words));
    }

    #[test]
    fn any_bytes_end_with_their_session(words in
            prop::collection::vec(prop_oneof![4 => word(), 1 => rubbish()], 1..20)
        ) {
        runtime().block_on(serve(words));
    }

    #[test]
    fn a_client_told_anything_comes_back_from_every_question(
        answers in prop::collection::vec((0..Kind::ALL.len(), 1u32..8), 0..12),
        noise in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        runtime().block_on(async {
            let (client, mut server) = lying_server().await;
            for (kind, id) in answers {
                let kind = Kind::ALL[kind];
                if kind.sender() != Some(Side::Client) {
                    server.send(&sample(kind, id)).await;
                }
            }
            server.send(&noise).await;
            let root = RemotePath::default();
            let asked = async {
                let _ = client.stat(&root).await;
                let _ = client.list(&root, None).await;
                client.usage().await
            };
            // A server that says nothing more is given up; only a lucky answer is believed.
            let last = soon(asked).await;
            let fine = matches!(last, Ok(_) | Err(SessionError::Connection(_) | SessionError::Answer(_)
                | SessionError::Refused(_)));
            assert!(fine, "{last:?}");
        });
    }
}
