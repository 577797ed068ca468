//! Messages there and back, and the vectors that other implementations can use.

use super::*;
use crate::frame::Side;
use crate::status::Status;
use proptest::prelude::*;
use sealane_base::types::{Digest, Secret};

fn put() -> Put {
    Put { path: "a/b".into(), size: 5, chunk_log2: 20, modified: Some(-7), mode: None }
}

fn body(frame: &[u8], side: Side) -> (Header, Vec<u8>) {
    let header = Header::decode(frame[..HEADER].try_into().unwrap(), side).unwrap();
    (header, frame[HEADER..].to_vec())
}

#[test]
fn messages_of_both_directions_read_back() {
    let client = [
        ClientMessage::Hello(Hello {
            version: 1,
            agent: Some("sealane/0.1".into()),
            features: Some(vec![7]),
        }),
        ClientMessage::Login(Login {
            user: "ahpu".into(),
            password: Some(Secret::new("111111".into())),
        }),
        ClientMessage::Put(put()),
        ClientMessage::PutSmall(
            PutSmall {
                path: "x".into(),
                digest: Digest([1; 32]),
                modified: None,
                mode: Some(0o644),
            },
            b"hello".to_vec(),
        ),
        ClientMessage::Usage(Empty {}),
        ClientMessage::Rename(Rename { from: "a".into(), to: "b".into(), replace: true }),
    ];
    for message in client {
        let (header, body) = body(&message.encode(9), Side::Client);
        assert_eq!(
            (header.kind, header.id, header.length as usize),
            (message.kind(), 9, body.len())
        );
        assert_eq!(ClientMessage::decode(header.kind, &body), Ok(message));
    }
    let refused = ServerMessage::Refused(Refused { short: Some(4), ..Refused::new(Status::Quota) });
    let (header, body) = body(&refused.encode(3), Side::Server);
    assert_eq!(ServerMessage::decode(header.kind, &body), Ok(refused));
}

#[test]
fn bytes_behind_a_map_are_refused() {
    let (header, mut body) = body(&ClientMessage::Put(put()).encode(1), Side::Client);
    body.push(0);
    assert_eq!(ClientMessage::decode(header.kind, &body), Err(FrameError::Body(Kind::Put)));
}

#[test]
fn unknown_keys_are_skipped_and_missing_ones_are_not() {
    // { 0: "a", 1: 5, 2: 20, 99: [1, {2: 3}] } and the same without key 1.
    let longer = b"\xa4\x00\x61a\x01\x05\x02\x14\x18\x63\x82\x01\xa1\x02\x03";
    let ClientMessage::Put(read) = ClientMessage::decode(Kind::Put, longer).unwrap() else {
        panic!("another message")
    };
    assert_eq!((read.path.as_str(), read.size, read.chunk_log2), ("a", 5, 20));
    let shorter = b"\xa2\x00\x61a\x02\x14";
    assert_eq!(ClientMessage::decode(Kind::Put, shorter), Err(FrameError::Body(Kind::Put)));
}

#[test]
fn a_digest_has_32_bytes() {
    let short = b"\xa2\x00\x61x\x01\x43abc";
    assert_eq!(ClientMessage::decode(Kind::PutSmall, short), Err(FrameError::Body(Kind::PutSmall)));
}

#[test]
fn a_full_page_fits_its_bound() {
    let entry =
        Entry { name: "é".repeat(127), kind: 3, size: u64::MAX, modified: i64::MIN, mode: 0o777 };
    let entries = vec![entry; crate::limits::PAGE_ENTRIES];
    let page = ServerMessage::Entries(Entries {
        entries,
        more: true,
        hidden: u64::MAX,
        follows: Some(true),
        unfit: Some(vec!["é".repeat(400); 64]),
    });
    assert!(page.encode(1).len() - HEADER <= Kind::Entries.bound() as usize);
}

#[test]
fn a_login_does_not_print_its_password() {
    let login = ClientMessage::Login(Login {
        user: "u".into(),
        password: Some(Secret::new("hunter2".into())),
    });
    assert!(!format!("{login:?}").contains("hunter2"));
}

/// Vectors that other implementations can use: `tests/vectors/accept/NAME.hex` is a whole frame,
/// `tests/vectors/reject/NAME.hex` one that must be refused for the reason it is named after.
#[test]
fn vectors_are_accepted_and_rejected() {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors");
    for (name, good) in [("accept", true), ("reject", false)] {
        let mut count = 0;
        for file in std::fs::read_dir(directory.join(name)).unwrap() {
            let path = file.unwrap().path();
            #[expect(clippy::disallowed_methods, reason = "a test reads its own vectors")]
            let text = std::fs::read_to_string(&path).unwrap();
            let frame = unhex(text.split_whitespace().collect::<String>().as_bytes());
            assert_eq!(read_vector(&frame), good, "{}", path.display());
            count += 1;
        }
        assert!(count >= 5, "{name} has {count} vectors");
    }
}

/// What no sender says and every receiver takes.
const LENIENT: [&str; 3] =
    ["put_with_unknown_key", "unknown_key_with_anything", "keys_in_another_order"];

#[test]
fn every_type_has_a_vector_that_is_written_as_we_write_it() {
    let directory =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/accept");
    let mut kinds = std::collections::HashSet::new();
    for file in std::fs::read_dir(directory).unwrap() {
        let path = file.unwrap().path();
        #[expect(clippy::disallowed_methods, reason = "a test reads its own vectors")]
        let text = std::fs::read_to_string(&path).unwrap();
        let frame = unhex(text.split_whitespace().collect::<String>().as_bytes());
        let kind = Kind::from_byte(frame[0]).unwrap();
        kinds.insert(kind);
        let name = path.file_stem().unwrap().to_str().unwrap();
        if LENIENT.contains(&name) {
            continue;
        }
        let side = kind.sender().unwrap_or(Side::Client);
        let header = Header::decode(frame[..HEADER].try_into().unwrap(), side).unwrap();
        let body = &frame[HEADER..];
        let again = match side {
            Side::Client => {
                ClientMessage::decode(kind, body).map(|message| message.encode(header.id))
            }
            Side::Server => {
                ServerMessage::decode(kind, body).map(|message| message.encode(header.id))
            }
        };
        // The others have no map.
        if let Ok(again) = again {
            assert!(again == frame, "{name}");
        }
    }
    let missing: Vec<_> = Kind::ALL.iter().filter(|kind| !kinds.contains(kind)).collect();
    assert!(missing.is_empty(), "no vector of {missing:?}");
}

fn unhex(digits: &[u8]) -> Vec<u8> {
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn read_vector(frame: &[u8]) -> bool {
    let Some(bytes) = frame.first_chunk::<HEADER>() else { return false };
    let body = &frame[HEADER..];
    let whole = |header: &Header| header.length as usize == body.len();
    if let Ok(header) = Header::decode(bytes, Side::Client).filter_whole(whole) {
        return match header.kind {
            Kind::Claims => crate::frame::ClaimsPage::decode(&header, body).is_ok(),
            Kind::Pieces => crate::pieces::PiecesPage::decode(&header, body).is_ok(),
            Kind::Seek => crate::frame::exactly::<1>(header.kind, body).is_ok(),
            Kind::Recipe => body
                .split_at_checked(crate::limits::CHUNK_PREFIX as usize)
                .is_some_and(|(_, steps)| crate::pieces::steps(steps).all(|it| it.is_ok())),
            Kind::Chunk => body.len() >= crate::limits::CHUNK_PREFIX as usize,
            Kind::End => crate::frame::exactly::<32>(header.kind, body).is_ok(),
            Kind::Ack => crate::frame::exactly::<4>(header.kind, body).is_ok(),
            Kind::Ping | Kind::Pong => crate::frame::exactly::<8>(header.kind, body).is_ok(),
            Kind::Cancel => body.is_empty(),
            kind => ClientMessage::decode(kind, body).is_ok(),
        };
    }
    Header::decode(bytes, Side::Server)
        .filter_whole(whole)
        .is_ok_and(|header| ServerMessage::decode(header.kind, body).is_ok())
}

trait FilterWhole {
    fn filter_whole(self, whole: impl Fn(&Header) -> bool) -> Result<Header, FrameError>;
}

impl FilterWhole for Result<Header, FrameError> {
    fn filter_whole(self, whole: impl Fn(&Header) -> bool) -> Result<Header, FrameError> {
        self.and_then(
            |header| if whole(&header) { Ok(header) } else { Err(FrameError::Body(header.kind)) },
        )
    }
}

proptest! {
    #[test]
    fn any_body_is_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..200)) {
        for &kind in Kind::ALL {
            let _ = ClientMessage::decode(kind, &body);
            let _ = ServerMessage::decode(kind, &body);
        }
    }
}
