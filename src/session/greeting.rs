//! The first two frames of a client, and the only ones that anybody may send.

use tokio::io::AsyncRead;
use tracing::{error, info, warn};

use super::AGENT;
use super::lanes::{self, Seat};
use super::registry::Visit;
use super::server::{Service, SharedHome, Terms};
use crate::accounts::{LoginError, Principal, Upgrade};
use crate::protocol::frame::FrameError;
use crate::protocol::message::{Hello, LoggedIn, Login, Refused, Welcome};
use crate::protocol::{ClientMessage, Header, Kind, ServerMessage, Status, VERSION, limits};
use crate::storage::StorageError;
use crate::types::{Pin, text};
use crate::wire::{FrameReader, FrameSender, WireError};

/// Protocol version in which `KEYS` came.
const KEYS_SINCE: u16 = 2;

/// Who it is.
#[derive(Debug)]
pub(super) enum Greeted {
    /// Who logged in, the home, and the last request id used.
    LoggedIn(Box<Principal>, SharedHome, u32),
    /// A further connection to a session.
    Lane(Seat),
}

/// Takes `HELLO` and `LOGIN`, or `JOIN`; `None` if the peer went away or was refused, which it was told.
pub(super) async fn greet<R: AsyncRead + Unpin>(
    reader: &mut FrameReader<R>,
    out: &FrameSender,
    service: &Service,
    visit: &Visit,
    terms: &Terms,
) -> Result<Option<Greeted>, WireError> {
    let Some(first) = reader.header().await? else { return Ok(None) };
    if first.kind == Kind::Join {
        let (exporter, peer) = (terms.exporter.as_ref(), visit.peer().ip());
        let seat = lanes::admit(&first, reader, out, service, exporter, peer).await?;
        return Ok(seat.map(Greeted::Lane));
    }
    let (header, hello) = expect(reader, first, Kind::Hello, 0).await?;
    let ClientMessage::Hello(hello) = hello else { return Ok(None) };
    let keys = terms.keys.clone().filter(|_| hello.version >= KEYS_SINCE);
    let Some(welcome) = welcome(&hello) else {
        refuse(out, header.id, Status::Version).await?;
        return Ok(None);
    };
    out.send(ServerMessage::Welcome(welcome).encode(header.id)).await?;
    let Some(second) = reader.header().await? else { return Ok(None) };
    let (header, login) = expect(reader, second, Kind::Login, header.id).await?;
    let ClientMessage::Login(login) = login else { return Ok(None) };
    match admit(service, login, terms.client_key, visit).await {
        Ok((principal, home)) => {
            if let Some(keys) = keys {
                out.send(ServerMessage::Keys(keys).encode(0)).await?;
            }
            let reply = ServerMessage::LoggedIn(LoggedIn { user: principal.name().to_string() });
            out.send(reply.encode(header.id)).await?;
            Ok(Some(Greeted::LoggedIn(Box::new(principal), home, header.id)))
        }
        Err(refused) => {
            out.send(ServerMessage::Refused(refused).encode(header.id)).await?;
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
    client_key: Option<Pin>,
    visit: &Visit,
) -> Result<(Principal, SharedHome), Refused> {
    let Login { user: typed, password } = login;
    let (logins, exposure, peer) = (&service.authenticator, service.exposure, visit.peer().ip());
    let by_key = password.is_none();
    let outcome = match password {
        Some(password) => logins.login_from(peer, &typed, password, exposure).await,
        None => logins.login_with_key(peer, &typed, client_key, exposure).await,
    };
    let principal = outcome.map_err(|error| refusal(&typed, by_key, client_key, &error))?;
    let home = open_home(service, &principal).await.map_err(Refused::new)?;
    if !visit.logged_in(&principal, &home, service.limits.sessions) {
        warn!(user = %principal.name(), "login refused: as many sessions as an account may have");
        return Err(Refused::new(Status::Busy));
    }
    // Whoever revokes something from now on finds this session among those to be ended; what was revoked
    // while it logged in is found here.
    let (logins, again) = (logins.clone(), principal.clone());
    let checked = tokio::task::spawn_blocking(move || logins.recheck(&again, peer)).await;
    match checked {
        Ok(Ok(())) => Ok((principal, home)),
        Ok(Err(reason)) => Err(refusal(&typed, by_key, client_key, &LoginError::Refused(reason))),
        Err(error) => {
            warn!(user = %principal.name(), %error, "login could not be checked");
            Err(Refused::new(Status::Internal))
        }
    }
}

/// What the log says of a login that failed, and what the peer hears.
fn refusal(typed: &str, by_key: bool, key: Option<Pin>, error: &LoginError) -> Refused {
    let user = text::printable(typed);
    let key = key.filter(|_| by_key).map(tracing::field::display);
    match error {
        LoginError::Busy => {
            warn!(user, "login not tried: too many at once");
            Refused::new(Status::Busy)
        }
        LoginError::TooManyFailures { wait } => {
            // A part of a second is one to wait, not none.
            let wait = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            warn!(user, key, wait, "login not tried: too many failures");
            Refused { wait: Some(wait), ..Refused::new(Status::TooManyFailures) }
        }
        LoginError::ResetRequired => {
            warn!(user, "login refused: the record is of an old form and the deadline has passed");
            Refused::new(Status::ResetRequired)
        }
        LoginError::Refused(reason) if reason.is_passing() => {
            warn!(user, key, %reason, "login not tried: out of descriptors or memory");
            Refused::new(Status::Busy)
        }
        LoginError::Refused(reason) => {
            if reason.is_damage() {
                error!(user, key, %reason, "login refused: damaged account record");
            } else {
                warn!(user, key, %reason, "login refused");
            }
            Refused::new(if by_key { Status::KeyRefused } else { Status::LoginRefused })
        }
    }
}

async fn open_home(service: &Service, principal: &Principal) -> Result<SharedHome, Status> {
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
    match tokio::task::spawn_blocking(open).await {
        Ok(Ok(home)) => Ok(home),
        Ok(Err(error @ StorageError::HomeConflict)) => {
            warn!(%user, home = %principal.home().path(), %error, "login refused for now");
            Err(Status::Busy)
        }
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
