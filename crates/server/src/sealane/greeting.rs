//! The first two frames of a client, and the only ones that anybody may send.

use tokio::io::AsyncRead;

use super::joining;
use super::settings::{Sealane, Terms};
use super::tokens::Joiner;
use sealane_core::service::{Connection, Credential, Login, LoginRefusal};
use sealane_protocol::frame::FrameError;
use sealane_protocol::message::{LoggedIn, Login as LoginRequest, Refused, Welcome};
use sealane_protocol::wire::{FrameReader, FrameSender, WireError};
use sealane_protocol::{
    AGENT, ClientMessage, Header, Kind, ServerMessage, Status, VERSION, limits,
};

/// What the first frames of a connection led to.
#[derive(Debug)]
pub(super) enum Greeted {
    /// A session, and the last request id used.
    LoggedIn(Box<Login>, u32),
    /// A further connection to a session.
    Joined(Joiner),
    /// It went away, or was refused and told so.
    Ended,
}

/// Takes `HELLO` and `LOGIN`, or `JOIN`.
pub(super) async fn greet<R: AsyncRead + Unpin>(
    reader: &mut FrameReader<R>,
    out: &FrameSender,
    door: &Sealane,
    connection: &Connection,
    terms: &Terms,
) -> Result<Greeted, WireError> {
    let Some(first) = reader.header().await? else { return Ok(Greeted::Ended) };
    if first.kind == Kind::Join {
        let exporter = terms.exporter.as_ref();
        let seat = joining::admit(&first, reader, out, door, exporter, connection).await?;
        return Ok(seat.map_or(Greeted::Ended, Greeted::Joined));
    }
    let (header, hello) = expect(reader, first, Kind::Hello, 0).await?;
    let ClientMessage::Hello(hello) = hello else { return Ok(Greeted::Ended) };
    if hello.version != VERSION {
        refuse(out, header.id, Status::Version).await?;
        return Ok(Greeted::Ended);
    }
    out.send(ServerMessage::Welcome(welcome()).encode(header.id)).await?;
    let Some(second) = reader.header().await? else { return Ok(Greeted::Ended) };
    let (header, login) = expect(reader, second, Kind::Login, header.id).await?;
    let ClientMessage::Login(login) = login else { return Ok(Greeted::Ended) };
    match log_in(door, login, terms, connection).await {
        Ok(login) => {
            if let Some(keys) = terms.keys.clone() {
                out.send(ServerMessage::Keys(keys).encode(0)).await?;
            }
            let user = login.principal().name().to_string();
            out.send(ServerMessage::LoggedIn(LoggedIn { user }).encode(header.id)).await?;
            Ok(Greeted::LoggedIn(Box::new(login), header.id))
        }
        Err(refused) => {
            out.send(ServerMessage::Refused(refused).encode(header.id)).await?;
            Ok(Greeted::Ended)
        }
    }
}

async fn expect<R: AsyncRead + Unpin>(
    reader: &mut FrameReader<R>,
    header: Header,
    kind: Kind,
    last_id: u32,
) -> Result<(Header, ClientMessage), WireError> {
    if header.kind != kind {
        return Err(FrameError::State(header.kind).into());
    }
    if header.id <= last_id {
        return Err(FrameError::Id(header.id).into());
    }
    let body = zeroize::Zeroizing::new(reader.body(&header).await?);
    Ok((header, ClientMessage::decode(kind, &body)?))
}

/// No feature is defined, so those that the client names make no difference.
fn welcome() -> Welcome {
    Welcome {
        version: VERSION,
        agent: Some(AGENT.to_owned()),
        max_requests: limits::MAX_REQUESTS,
        max_transfers: limits::MAX_TRANSFERS,
        features: None,
    }
}

async fn log_in(
    door: &Sealane,
    request: LoginRequest,
    terms: &Terms,
    connection: &Connection,
) -> Result<Login, Refused> {
    let LoginRequest { user, password } = request;
    let credential = match password {
        Some(password) => Credential::Password(password),
        None => Credential::Key(terms.client_key),
    };
    let login = door.service.log_in(connection, &user, credential, terms.client_key).await;
    login.map_err(|refusal| match refusal {
        LoginRefusal::Busy => Refused::new(Status::Busy),
        LoginRefusal::Internal => Refused::new(Status::Internal),
        LoginRefusal::Key => Refused::new(Status::KeyRefused),
        LoginRefusal::Password => Refused::new(Status::LoginRefused),
        LoginRefusal::ResetRequired => Refused::new(Status::ResetRequired),
        LoginRefusal::TooManyFailures { wait } => {
            // A part of a second is one to wait, not none.
            let wait = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            Refused { wait: Some(wait), ..Refused::new(Status::TooManyFailures) }
        }
    })
}

async fn refuse(out: &FrameSender, id: u32, status: Status) -> Result<(), WireError> {
    out.send(ServerMessage::Refused(Refused::new(status)).encode(id)).await
}
