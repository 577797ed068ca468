//! `ENROLL`: the key of this connection may log in from now on.
//!
//! The client sends no key: it is the one that the handshake proved, so nobody can enrol another's.
use crate::session::client::Client;
use crate::session::error::SessionError;
use sealane_protocol::ClientMessage;
use sealane_protocol::message::Enroll;

/// Asks that the key which this connection has proved may log in.
pub(in crate::session) async fn ask(client: &Client, comment: &str) -> Result<(), SessionError> {
    let comment = (!comment.is_empty()).then(|| comment.to_owned());
    client.ask_done(ClientMessage::Enroll(Enroll { comment })).await
}
