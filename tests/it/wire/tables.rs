//! The tables of the document against the code's.

use sealane_protocol::frame::{AGAIN, FrameError, LAST};
use sealane_protocol::{Header, Kind, Side, Status};

use super::{document, table};

/// The name that a type has in the document.
fn name(kind: Kind) -> String {
    let name = format!("{kind:?}");
    let name = name.strip_suffix("Of").unwrap_or(&name);
    let mut upper = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !upper.is_empty() {
            upper.push('_');
        }
        upper.extend(letter.to_uppercase());
    }
    upper
}

/// `8 Ki + 1 Mi` as a number.
fn bytes(text: &str) -> u32 {
    let one = |part: &str| {
        let (number, unit) = part.split_once(' ').unwrap_or((part, ""));
        let factor = match unit {
            "" => 1,
            "Ki" => 1 << 10,
            "Mi" => 1 << 20,
            other => panic!("unit {other}"),
        };
        number.parse::<u32>().unwrap() * factor
    };
    text.split(" + ").map(one).sum()
}

#[test]
fn the_frames_are_those_of_the_code() {
    let said: Vec<_> = table(&document(), &["type", "name", "sent by"])
        .into_iter()
        .map(|row| {
            let number = u8::from_str_radix(row[0].strip_prefix("0x").unwrap(), 16).unwrap();
            let sender = match row[2].as_str() {
                "client" => Some(Side::Client),
                "server" => Some(Side::Server),
                _ => None,
            };
            let flags = if row[3].contains("flag 0x01") { 1 } else { 0 };
            (number, row[1].clone(), sender, bytes(&row[4]), flags)
        })
        .collect();
    let flags = |kind| {
        let side = kind_side(kind);
        let allowed = |flag: &u8| {
            let header = Header { kind, flags: *flag, id: 1, length: 0 };
            Header::decode(&header.encode(), side) != Err(FrameError::Flags(*flag))
        };
        (0..8).map(|bit| 1u8 << bit).filter(allowed).sum::<u8>()
    };
    let ours = Kind::ALL
        .iter()
        .map(|&kind| (kind as u8, name(kind), kind.sender(), kind.bound(), flags(kind)));
    assert_eq!(said, ours.collect::<Vec<_>>());
    assert_eq!((LAST, AGAIN), (1, 1));
}

fn kind_side(kind: Kind) -> Side {
    kind.sender().unwrap_or(Side::Client)
}

#[test]
fn the_statuses_are_those_of_the_code() {
    let said: Vec<_> = table(&document(), &["status", "name", "meaning", "connection"])
        .into_iter()
        .map(|row| (row[0].parse::<u16>().unwrap(), row[1].clone()))
        .collect();
    let ours = Status::ALL.iter().map(|status| (status.number(), format!("{status:?}")));
    assert_eq!(said, ours.collect::<Vec<_>>());
}

#[test]
fn every_request_has_a_row_with_answers_that_exist() {
    let rows = table(&document(), &["request", "allowed when", "id"]);
    let said: Vec<_> = rows.iter().map(|row| row[0].clone()).collect();
    for &kind in Kind::ALL.iter().filter(|kind| kind.sender() == Some(Side::Client)) {
        assert!(said.contains(&name(kind)), "{kind:?} is in no row");
    }
    let known: Vec<_> = Kind::ALL.iter().map(|kind| name(*kind)).collect();
    let mut answered = Vec::new();
    for row in &rows {
        let words = row[3..].join(" ");
        let words = words.split(|letter: char| !(letter.is_uppercase() || letter == '_'));
        for word in words.filter(|word| word.len() > 1) {
            assert!(known.contains(&word.to_owned()), "{word}");
            answered.push(word.to_owned());
        }
    }
    for &kind in Kind::ALL.iter().filter(|kind| kind.sender() == Some(Side::Server)) {
        let is_answer = answered.contains(&name(kind)) || kind == Kind::Refused;
        assert!(is_answer, "{kind:?} answers nothing");
    }
}
