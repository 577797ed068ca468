//! Every decoder that reads what a stranger wrote, as a function of bytes. The fuzz targets call
//! them, and so does a test that replays the corpora. A decoder may refuse; it may not panic, hang,
//! or grow beyond its input.

use std::path::Path;

use sealane_base::types::{Address, Pin, RemotePath, Username};
use sealane_core::accounts::Record;
use sealane_protocol::frame::{ClaimsPage, HEADER};
use sealane_protocol::{ClientMessage, Header, Kind, ServerMessage, Side};
use sealane_tls::trust::KnownServers;

/// Takes any bytes and gives nothing back.
pub type Decoder = fn(&[u8]);

/// Each decoder, by the name of its target.
pub const DECODERS: &[(&str, Decoder)] = &[
    ("client_frame", client_frame),
    ("server_frame", server_frame),
    ("account", account),
    ("config", config),
    ("known_servers", known_servers),
    ("address", address),
    ("remote_path", remote_path),
];

/// A frame as a server reads it.
pub fn client_frame(bytes: &[u8]) {
    let Some((header, body)) = frame(bytes, Side::Client) else { return };
    let is_message = header.kind.sender() == Some(Side::Client) && header.kind != Kind::Cancel;
    if is_message && let Ok(message) = ClientMessage::decode(header.kind, body) {
        // What was understood is said again in the same words.
        let again = message.encode(header.id);
        let body = again.get(HEADER..).unwrap_or_default();
        assert_eq!(ClientMessage::decode(header.kind, body).ok(), Some(message));
    }
}

/// A frame as a client reads it.
pub fn server_frame(bytes: &[u8]) {
    let Some((header, body)) = frame(bytes, Side::Server) else { return };
    let is_message = header.kind.sender() == Some(Side::Server);
    if is_message && let Ok(message) = ServerMessage::decode(header.kind, body) {
        let again = message.encode(header.id);
        let body = again.get(HEADER..).unwrap_or_default();
        assert_eq!(ServerMessage::decode(header.kind, body).ok(), Some(message));
    }
}

/// Header and what there is of the body; of a frame that both ends send, the body is read here.
fn frame(bytes: &[u8], from: Side) -> Option<(Header, &[u8])> {
    let (header, body) = bytes.split_first_chunk::<HEADER>()?;
    let header = Header::decode(header, from).ok()?;
    assert!(header.length <= header.kind.bound());
    assert_eq!(Header::decode(&header.encode(), from), Ok(header));
    let body = body.get(..header.length as usize).unwrap_or(body);
    let is_claims = header.kind == Kind::Claims;
    if is_claims && let Ok(page) = ClaimsPage::decode(&header, body) {
        assert!(page.digests.len() * 32 <= body.len());
    }
    Some((header, body))
}

/// The record of an account.
pub fn account(bytes: &[u8]) {
    let Ok(name) = Username::parse("ahpu") else { return };
    let _ = Record::parse(&name, bytes);
}

/// `config.toml`.
pub fn config(bytes: &[u8]) {
    let _ = sealane::config::parse(Path::new("config.toml"), bytes);
}

/// The known servers of a client.
pub fn known_servers(bytes: &[u8]) {
    let _ = KnownServers::default().import(Path::new("known_servers.json"), bytes);
}

/// An address, a pin, an account's name.
pub fn address(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = Pin::parse(text);
    let _ = Username::parse(text);
    if let Ok(address) = Address::parse(text) {
        let again = Address::parse(&address.to_string());
        assert_eq!(again.ok().map(|again| again.to_string()), Some(address.to_string()));
    }
}

/// A path in a home.
pub fn remote_path(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(path) = RemotePath::parse(text) {
        assert!(path.components().all(|name| name != "." && name != ".." && !name.is_empty()));
        assert_eq!(RemotePath::parse(path.as_str()), Ok(path));
    }
}
