//! The first two frames of a client, and the only ones that anybody may send.

use tokio::io::AsyncRead;
use tracing::{error, info, warn};

use super::AGENT;
use super::registry::Visit;
use super::server::{Service, SharedHome};
use crate::accounts::{LoginError, Principal, Upgrade};
use crate::protocol::frame::FrameError;
use crate::protocol::message::{Hello, Keys, LoggedIn, Login, Refused, Welcome};
use crate::protocol::{ClientMessage, Header, Kind, ServerMessage, Status, VERSION, limits};
use crate::types::{Secret, Username, text};
use crate::wire::{FrameReader, FrameSender, WireError};

/// Protocol version in which `KEYS` came.
const KEYS_SINCE: u16 = 2;

/// An account, its home, and the last request id used.
pub(super) type Greeted = (Username, SharedHome, u32);

/// Takes `HELLO` and `LOGIN`; `None` if the peer went away or was refused, which it was told.
pub(super) async fn greet<R: AsyncRead + Unpin>(
    reader: &mut FrameReader<R>,
    out: &FrameSender,
    service: &Service,
    keys: Option<Keys>,
    visit: &Visit,
) -> Result<Option<Greeted>, WireError> {
    let Some((header, ClientMessage::Hello(hello))) = expect(reader, Kind::Hello, 0).await? else {
        return Ok(None);
    };
    let keys = keys.filter(|_| hello.version >= KEYS_SINCE);
    let Some(welcome) = welcome(&hello) else {
        refuse(out, header.id, Status::Version).await?;
        return Ok(None);
    };
    out.send(ServerMessage::Welcome(welcome).encode(header.id)).await?;
    let Some((header, ClientMessage::Login(login))) =
        expect(reader, Kind::Login, header.id).await?
    else {
        return Ok(None);
    };
    match admit(service, login, visit).await {
        Ok((user, home)) => {
            if let Some(keys) = keys {
                out.send(ServerMessage::Keys(keys).encode(0)).await?;
            }
            let reply = ServerMessage::LoggedIn(LoggedIn { user: user.to_string() });
            out.send(reply.encode(header.id)).await?;
            Ok(Some((user, home, header.id)))
        }
        Err(refused) => {
            out.send(ServerMessage::Refused(refused).encode(header.id)).await?;
            Ok(None)
        }
    }
}

async fn expect<R: AsyncRead + Unpin>(
    reader: &mut FrameReader<R>,
    kind: Kind,
    last_id: u32,
) -> Result<Option<(Header, ClientMessage)>, WireError> {
    let Some(header) = reader.header().await? else { return Ok(None) };
    if header.kind != kind {
        return Err(FrameError::State(header.kind).into());
    }
    if header.id <= last_id {
        return Err(FrameError::Id(header.id).into());
    }
    let body = zeroize::Zeroizing::new(reader.body(&header).await?);
    Ok(Some((header, ClientMessage::decode(kind, &body)?)))
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
    visit: &Visit,
) -> Result<(Username, SharedHome), Refused> {
    let peer = visit.peer().ip();
    let Login { user: typed, password } = login;
    let password = Secret::new(password);
    let user = text::printable(&typed);
    match service.authenticator.login_from(peer, &typed, password, service.exposure).await {
        Ok(principal) => {
            let (user, home) = open_home(service, &principal).await.map_err(Refused::new)?;
            if visit.logged_in(&user, &home, service.limits.sessions) {
                return Ok((user, home));
            }
            warn!(%user, "login refused: as many sessions as an account may have");
            Err(Refused::new(Status::Busy))
        }
        Err(LoginError::Busy) => {
            warn!(user, "login not tried: too many at once");
            Err(Refused::new(Status::Busy))
        }
        Err(LoginError::TooManyFailures { wait }) => {
            // A part of a second is one to wait, not none.
            let wait = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            warn!(user, %peer, wait, "login not tried: too many failures");
            Err(Refused { wait: Some(wait), ..Refused::new(Status::TooManyFailures) })
        }
        Err(LoginError::ResetRequired) => {
            warn!(user, "login refused: the record is of an old form and the deadline has passed");
            Err(Refused::new(Status::ResetRequired))
        }
        Err(LoginError::Refused(reason)) => {
            if reason.is_damage() {
                error!(user, %reason, "login refused: damaged account record");
            } else {
                warn!(user, %reason, "login refused");
            }
            Err(Refused::new(Status::LoginRefused))
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
    let grant = principal.grant().clone();
    let open = move || vault.open_home(&owner, &home, quota, grant);
    let opened = tokio::task::spawn_blocking(open).await;
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
