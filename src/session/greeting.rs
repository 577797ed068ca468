//! The first two frames of a client, and the only ones that anybody may send.

use std::net::IpAddr;

use tokio::io::AsyncRead;
use tracing::{info, warn};

use super::AGENT;
use super::lanes::{self, Seat};
use super::server::{Service, SharedHome};
use crate::accounts::{LoginError, Principal, Upgrade};
use crate::protocol::frame::FrameError;
use crate::protocol::join::Exporter;
use crate::protocol::message::{Hello, Keys, LoggedIn, Login, Refused, Welcome};
use crate::protocol::{ClientMessage, Header, Kind, ServerMessage, Status, VERSION, limits};
use crate::types::{Secret, Username, text};
use crate::wire::{FrameReader, FrameSender, WireError};

/// Protocol version in which `KEYS` came.
const KEYS_SINCE: u16 = 2;

/// Who it is.
#[derive(Debug)]
pub(super) enum Greeted {
    /// An account, its home, and the last request id used.
    LoggedIn(Username, SharedHome, u32),
    /// A further connection to a session.
    Lane(Seat),
}

/// Takes `HELLO` and `LOGIN`, or `JOIN`; `None` if the peer went away or was refused, which it was told.
pub(super) async fn greet<R: AsyncRead + Unpin>(
    reader: &mut FrameReader<R>,
    out: &FrameSender,
    service: &Service,
    (keys, exporter, peer): (Option<Keys>, Option<Exporter>, IpAddr),
) -> Result<Option<Greeted>, WireError> {
    let Some(first) = reader.header().await? else { return Ok(None) };
    if first.kind == Kind::Join {
        let seat = lanes::admit(&first, reader, out, service, exporter, peer).await?;
        return Ok(seat.map(Greeted::Lane));
    }
    let (header, hello) = expect(reader, first, Kind::Hello, 0).await?;
    let ClientMessage::Hello(hello) = hello else { return Ok(None) };
    let keys = keys.filter(|_| hello.version >= KEYS_SINCE);
    let Some(welcome) = welcome(&hello) else {
        refuse(out, header.id, Status::Version).await?;
        return Ok(None);
    };
    out.send(ServerMessage::Welcome(welcome).encode(header.id)).await?;
    let Some(second) = reader.header().await? else { return Ok(None) };
    let (header, login) = expect(reader, second, Kind::Login, header.id).await?;
    let ClientMessage::Login(login) = login else { return Ok(None) };
    match admit(service, login, peer).await {
        Ok((user, home)) => {
            if let Some(keys) = keys {
                out.send(ServerMessage::Keys(keys).encode(0)).await?;
            }
            let reply = ServerMessage::LoggedIn(LoggedIn { user: user.to_string() });
            out.send(reply.encode(header.id)).await?;
            Ok(Some(Greeted::LoggedIn(user, home, header.id)))
        }
        Err(status) => {
            refuse(out, header.id, status).await?;
            Ok(None)
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

fn welcome(hello: &Hello) -> Option<Welcome> {
    (hello.version >= 1).then(|| Welcome {
        version: hello.version.min(VERSION),
        agent: Some(AGENT.to_owned()),
        max_requests: limits::MAX_REQUESTS,
        max_transfers: limits::MAX_TRANSFERS,
    })
}

async fn admit(
    service: &Service,
    login: Login,
    peer: IpAddr,
) -> Result<(Username, SharedHome), Status> {
    let Login { user: typed, password } = login;
    let password = Secret::new(password);
    let user = text::printable(&typed);
    match service.authenticator.login_from(peer, &typed, password, service.exposure).await {
        Ok(principal) => open_home(service, &principal).await,
        Err(LoginError::Busy) => {
            warn!(user, "login not tried: too many at once");
            Err(Status::Busy)
        }
        Err(LoginError::TooManyFailures { wait }) => {
            warn!(user, %peer, wait = wait.as_secs(), "login not tried: too many failures");
            Err(Status::TooManyFailures)
        }
        Err(LoginError::ResetRequired) => {
            warn!(user, "login refused: the record is of an old form and the deadline has passed");
            Err(Status::ResetRequired)
        }
        Err(LoginError::Refused(reason)) => {
            warn!(user, %reason, "login refused");
            Err(Status::LoginRefused)
        }
    }
}

async fn open_home(
    service: &Service,
    principal: &Principal,
) -> Result<(Username, SharedHome), Status> {
    let user = principal.name().clone();
    match principal.upgrade() {
        Upgrade::NotNeeded => {}
        Upgrade::Done => info!(%user, "password record upgraded to argon2id"),
        Upgrade::Superseded => info!(%user, "password record changed meanwhile; left as it is"),
        Upgrade::Failed(error) => warn!(%user, error, "password record could not be upgraded"),
    }
    let (vault, owner) = (service.vault.clone(), user.clone());
    let (home, quota) = (principal.home().path().clone(), principal.quota());
    let opened = tokio::task::spawn_blocking(move || vault.open_home(&owner, &home, quota)).await;
    match opened {
        Ok(Ok(home)) => Ok((user, home)),
        Ok(Err(error)) => {
            warn!(%user, %error, "home cannot be opened");
            Err(Status::Internal)
        }
        Err(error) => {
            warn!(%user, %error, "home cannot be opened");
            Err(Status::Internal)
        }
    }
}

async fn refuse(out: &FrameSender, id: u32, status: Status) -> Result<(), WireError> {
    out.send(ServerMessage::Refused(Refused::new(status)).encode(id)).await
}
