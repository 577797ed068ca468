//! A client against a server that proved its key and lies: nothing wrong is believed, written or
//! waited for.

use std::sync::Arc;

use sealane_base::files::{FileMeta, FileSource, Source};
use sealane_base::types::{Digest, RemotePath};
use sealane_client::Client;
use sealane_client::session::SessionError;
use sealane_protocol::frame::{self, FrameError};
use sealane_protocol::message::{Accepted, Entries, Entry, Refused, SizeRoot};
use sealane_protocol::transfer::{Meter, Outcome, TransferError};
use sealane_protocol::wire::WireError;
use sealane_protocol::{Header, Kind, ServerMessage, Side, Status};

use super::downloads::{destination, download};
use super::greeting::sample;
use crate::support::pair::lying_server;
use crate::support::peer::{Peer, ack, claims, digest, soon};
use crate::support::{names, noise};

const MIB: usize = 1 << 20;

pub fn path(text: &str) -> RemotePath {
    RemotePath::parse(text).unwrap()
}

/// Asks and lets the server say something about it.
pub async fn told<T>(
    asking: impl Future<Output = T>,
    server: &mut Peer,
    kind: Kind,
    frames: impl FnOnce(u32) -> Vec<u8>,
) -> T {
    let lying = async {
        let id = server.request(kind).await;
        server.send(&frames(id)).await;
        std::future::pending().await // the rest is silence
    };
    // A client that has heard enough reads no more, so the lie need not come to its end.
    soon(async {
        tokio::select! { answer = asking => answer, never = lying => never }
    })
    .await
}

async fn upload(client: &Client, bytes: &[u8]) -> Result<Outcome, SessionError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let source: Arc<dyn Source> = Arc::new(FileSource::open(file.path()).unwrap());
    client.upload(&path("file"), source, FileMeta::default(), Arc::new(Meter::default())).await
}

fn committed(id: u32, root: Digest, size: usize) -> Vec<u8> {
    ServerMessage::Committed(SizeRoot { size: size as u64, root }).encode(id)
}

/// Asserts that the session is still good.
pub async fn assert_usable(client: &Client, server: &mut Peer) {
    let answer = told(client.usage(), server, Kind::Usage, |id| sample(Kind::UsageIs, id)).await;
    answer.unwrap();
}

fn is_broken(error: &SessionError) -> bool {
    matches!(error, SessionError::Connection(why) if matches!(**why, WireError::Frame(_)))
}

#[tokio::test(start_paused = true)]
async fn answers_nobody_asked_for_are_passed_over() {
    let (client, mut server) = lying_server().await;
    for &kind in Kind::ALL.iter().filter(|kind| kind.sender() != Some(Side::Client)) {
        for id in [0, 1, 2, 99, u32::MAX] {
            server.send(&sample(kind, id)).await;
        }
    }
    assert_usable(&client, &mut server).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_another_kind_is_an_error() {
    let (client, mut server) = lying_server().await;
    let root = path("");
    let server_kinds = Kind::ALL.iter().filter(|kind| kind.sender() == Some(Side::Server));
    for &kind in server_kinds.filter(|&&kind| kind != Kind::Refused) {
        let lie = |id| sample(kind, id);
        if kind != Kind::Entry {
            let answer = told(client.stat(&root), &mut server, Kind::Stat, lie).await;
            assert!(matches!(answer, Err(SessionError::Answer(said)) if said == kind), "{kind:?}");
        }
        if kind != Kind::Done {
            let asked = client.remove(&root, true);
            let answer = told(asked, &mut server, Kind::Remove, lie).await;
            assert!(matches!(answer, Err(SessionError::Answer(said)) if said == kind), "{kind:?}");
        }
        // With another root, `COMMITTED` is not an answer to an upload either.
        for (size, asked) in [(9, Kind::PutSmall), (2 * MIB, Kind::Put)] {
            if (asked, kind) != (Kind::Put, Kind::Accepted) {
                let bytes = noise(size, 1);
                let answer = told(upload(&client, &bytes), &mut server, asked, lie).await;
                assert!(matches!(answer, Err(SessionError::Answer(said)) if said == kind));
            }
        }
        if !matches!(kind, Kind::Offer | Kind::File) {
            let (directory, to) = destination();
            let answer = told(download(&client, &to), &mut server, Kind::Get, lie).await;
            assert!(matches!(answer, Err(SessionError::Answer(said)) if said == kind), "{kind:?}");
            assert!(names(directory.path()).is_empty());
        }
    }
    assert_usable(&client, &mut server).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_sends_what_only_clients_say_is_left() {
    for &kind in Kind::ALL.iter().filter(|kind| kind.sender() == Some(Side::Client)) {
        let (client, mut server) = lying_server().await;
        let root = path("");
        let answer = told(client.stat(&root), &mut server, Kind::Stat, |id| sample(kind, id)).await;
        assert!(is_broken(&answer.unwrap_err()), "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_answers_to_one_request_ends_the_connection() {
    let (client, mut server) = lying_server().await;
    let bytes = noise(4 * MIB, 2);
    // While the upload waits for acknowledgements nobody takes the answers.
    let answer = told(upload(&client, &bytes), &mut server, Kind::Put, |id| {
        let accepted = ServerMessage::Accepted(Accepted { claims: false, pieces: None }).encode(id);
        accepted.repeat(100)
    })
    .await;
    // The upload is told the first of the superfluous answers, everybody else why it ended.
    assert!(matches!(answer, Err(SessionError::Answer(Kind::Accepted))), "{answer:?}");
    assert!(is_broken(&client.usage().await.unwrap_err()));
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_answers_to_finished_requests_is_passed_over() {
    let (client, mut server) = lying_server().await;
    let root = path("");
    let answer = told(client.stat(&root), &mut server, Kind::Stat, |id| sample(Kind::Entry, id));
    assert_eq!(answer.await.unwrap().name, "keep");
    for _ in 0..1000 {
        server.send(&sample(Kind::Entry, 3)).await;
    }
    assert_usable(&client, &mut server).await;
}

#[tokio::test(start_paused = true)]
async fn an_upload_believes_no_other_root() {
    let bytes = noise(2 * MIB, 3);
    let wrong = Digest::of_bytes(b"other");
    let (client, mut server) = lying_server().await;
    let small =
        told(upload(&client, b"small"), &mut server, Kind::PutSmall, |id| committed(id, wrong, 5));
    assert!(matches!(small.await, Err(SessionError::Answer(Kind::Committed))));
    let large = told(upload(&client, &bytes), &mut server, Kind::Put, |id| {
        let accepted = ServerMessage::Accepted(Accepted { claims: false, pieces: None }).encode(id);
        [accepted, ack(id, 0), ack(id, 1), committed(id, wrong, bytes.len())].concat()
    })
    .await;
    assert!(large.is_err(), "{large:?}");
}

#[tokio::test(start_paused = true)]
async fn an_upload_believes_no_success_before_its_end() {
    let bytes = noise(5 * MIB, 4);
    let (client, mut server) = lying_server().await;
    let root = Digest::of_bytes(&bytes);
    let lying = async {
        let id = server.request(Kind::Put).await;
        server.say(id, ServerMessage::Accepted(Accepted { claims: false, pieces: None })).await;
        assert_eq!(server.frame_of(id).await.0.kind, Kind::Chunk);
        // The right root, which it cannot know, and then acknowledgements of what was not sent.
        server.send(&[committed(id, root, bytes.len()), ack(id, 3)].concat()).await;
        server.request(Kind::Cancel).await;
    };
    let (answer, ()) = soon(async { tokio::join!(upload(&client, &bytes), lying) }).await;
    assert!(
        matches!(answer, Err(SessionError::Transfer(TransferError::Protocol(_)))),
        "{answer:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_upload_whose_claims_are_lies_ends() {
    let bytes = noise(3 * MIB, 5);
    for (what, lies) in [("a gap", (1, 1)), ("more than the file has", (0, 4))] {
        let (client, mut server) = lying_server().await;
        let (first, count) = lies;
        let answer = told(upload(&client, &bytes), &mut server, Kind::Put, |id| {
            let accepted =
                ServerMessage::Accepted(Accepted { claims: true, pieces: None }).encode(id);
            [accepted, claims(id, first, vec![digest(&bytes, 0); count], true)].concat()
        })
        .await;
        let refused = matches!(answer, Err(SessionError::Transfer(TransferError::Protocol(_))));
        assert!(refused, "{what}: {answer:?}");
        assert_usable(&client, &mut server).await;
    }
}

fn entry(name: &str) -> Entry {
    Entry { name: name.to_owned(), kind: 0, size: 1, modified: 0, mode: 0o644 }
}

#[tokio::test(start_paused = true)]
async fn names_that_lead_elsewhere_are_left_out_of_a_list_and_counted() {
    let (client, mut server) = lying_server().await;
    let long = "x".repeat(256);
    let bad = [
        "../x",
        "/abs",
        ".",
        "..",
        "",
        "a/b",
        "a\\b",
        "\u{1b}[2J",
        "a\nb",
        "a\0",
        "\u{202e}exe",
        &long,
    ];
    let listed = ["good"].into_iter().chain(bad).chain(["other"]);
    let entries: Vec<_> = listed.map(entry).collect();
    let root = path("");
    let page = told(client.list(&root, None), &mut server, Kind::List, |id| {
        ServerMessage::Entries(Entries {
            entries,
            more: false,
            hidden: 2,
            follows: None,
            unfit: None,
        })
        .encode(id)
    });
    let page = page.await.unwrap();
    let names: Vec<_> = page.entries.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, ["good", "other"]);
    assert_eq!(page.hidden, 2 + bad.len() as u64);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_goes_in_circles_comes_to_its_end() {
    let (client, mut server) = lying_server().await;
    let (root, mut after, mut seen) = (path(""), None, Vec::new());
    for _ in 0..10 {
        let page = told(client.list(&root, after.take()), &mut server, Kind::List, |id| {
            let entries = ["a", "b"].map(entry).to_vec();
            ServerMessage::Entries(Entries {
                entries,
                more: true,
                hidden: 0,
                follows: None,
                unfit: None,
            })
            .encode(id)
        });
        let page = page.await.unwrap();
        seen.extend(page.entries.iter().map(|entry| entry.name.clone()));
        after = page.entries.last().map(|entry| entry.name.clone());
        if after.is_none() || !page.more {
            break;
        }
    }
    assert_eq!(seen, ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_moves_no_cursor() {
    let (client, mut server) = lying_server().await;
    let root = path("");
    let statuses = Status::ALL.iter().map(|status| status.number()).chain([0, 999, u16::MAX]);
    for number in statuses {
        let answer = told(client.stat(&root), &mut server, Kind::Stat, |id| {
            let text = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\r\n\u{202e}done".to_owned();
            let refused = Refused { number, text, short: None, limit: None, wait: None };
            ServerMessage::Refused(refused).encode(id)
        });
        let error = answer.await.unwrap_err();
        assert_eq!(error.status().map(Status::number), Some(number));
        let text = error.to_string();
        assert!(!text.is_empty());
        assert_eq!(text, sealane_base::types::text::printable(&text), "{number}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_ends_an_upload_at_once() {
    let (client, mut server) = lying_server().await;
    let bytes = noise(9 * MIB, 8);
    let lying = async {
        let id = server.request(Kind::Put).await;
        server.say(id, ServerMessage::Accepted(Accepted { claims: false, pieces: None })).await;
        assert_eq!(server.frame_of(id).await.0.kind, Kind::Chunk);
        server.say(id, ServerMessage::Refused(Refused::new(Status::Superseded))).await;
        // It sends no more than what was on its way: then the next question comes.
        let usage = server.request(Kind::Usage).await;
        server.send(&sample(Kind::UsageIs, usage)).await;
    };
    let asking = async {
        let answer = upload(&client, &bytes).await;
        client.usage().await.unwrap();
        answer
    };
    let (answer, ()) = soon(async { tokio::join!(asking, lying) }).await;
    assert_eq!(answer.unwrap_err().status(), Some(Status::Superseded));
}

#[tokio::test(start_paused = true)]
async fn a_message_out_of_form_ends_the_connection() {
    type Lie = fn(u32) -> Vec<u8>;
    let lies: [(&str, Lie); 4] = [
        ("above the bound", |id| {
            Header::new(Kind::Entry, id, Kind::Entry.bound() + 1).encode().to_vec()
        }),
        ("no map", |id| frame::fixed(Kind::Entry, id, b"\xff")),
        ("bytes behind", |id| frame::fixed(Kind::Done, id, b"\xa0\x00")),
        ("an unknown type", |id| {
            let mut frame = frame::fixed(Kind::Done, id, b"");
            frame[0] = 0x7e;
            frame
        }),
    ];
    for (what, lie) in lies {
        let (client, mut server) = lying_server().await;
        let root = path("");
        let answer = told(client.stat(&root), &mut server, Kind::Stat, lie).await;
        assert!(is_broken(&answer.unwrap_err()), "{what}");
        // Whoever asks later hears the same.
        let SessionError::Connection(why) = client.usage().await.unwrap_err() else { panic!() };
        let expected = matches!(
            *why,
            WireError::Frame(
                FrameError::Length { .. } | FrameError::Body(_) | FrameError::Type(0x7e)
            )
        );
        assert!(expected, "{what}: {why}");
    }
}
