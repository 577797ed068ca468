//! The client's way in: `HELLO` and `LOGIN`, what may follow them at once, and what the server says to all that.
//!
//! A session can be asked as soon as its login is queued, so that the first requests leave with it. Their answers
//! are held back until whoever began the session has heard of the login and [lets it in](Admission::let_in). If the
//! login fails they never come: that it failed is said once, by [`Admission::heard`].

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite, split};
use tokio::sync::{Mutex, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use zeroize::Zeroizing;

use super::answers::{Shared, read_answers};
use super::client::{Client, ClientSettings};
use super::error::SessionError;
use super::joining::{Companion, LaneControl};
use sealane_base::types::Secret;
use sealane_protocol::AGENT;
use sealane_protocol::frame::FrameError;
use sealane_protocol::keep_alive::{heard, pong};
use sealane_protocol::message::{Hello, Keys, Login, Refused};
use sealane_protocol::wire::{FrameReader, FrameSender, WireError, outbox, write_frames};
use sealane_protocol::{ClientMessage, Kind, ServerMessage, Side, Status, VERSION};

/// The first two requests of every session.
const HELLO: u32 = 1;
const LOGIN: u32 = 2;

/// A login on its way, of a session that is being asked already. Dropping it leaves the session without answers.
#[derive(Debug)]
pub struct Admission {
    outcome: oneshot::Receiver<Result<(), SessionError>>,
    control: LaneControl,
    companion: Arc<Companion>,
    /// The login is heard of even if the session is dropped meanwhile.
    _reader: Arc<AbortOnDropHandle<()>>,
}

impl Client {
    /// Begins a session over `stream`, whose other end has already proved a pinned key: with `password`, or else with
    /// the key that the stream's handshake has proved.
    ///
    /// The session may be asked at once: what it is asked leaves together with `HELLO` and `LOGIN`, and is answered
    /// after [`Admission::let_in`].
    pub async fn begin<S>(
        stream: S,
        settings: ClientSettings,
        user: &str,
        password: Option<&Secret>,
    ) -> (Self, Admission)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (read, write) = split(stream);
        let (out, outbox) = outbox();
        let writer = tokio::spawn(write_frames(write, outbox, settings.silence));
        let shared = Arc::new(Shared::default());
        let reader = FrameReader::new(read, Side::Server, settings.silence);
        let (tell, outcome) = oneshot::channel();
        let reading = read_answers(reader, shared.clone(), out.clone(), settings, tell);
        let reader = Arc::new(AbortOnDropHandle::new(tokio::spawn(reading)));
        let hello = Hello { version: VERSION, agent: Some(AGENT.to_owned()), features: None };
        let login = Login { user: user.to_owned(), password: password.cloned() };
        let login = Zeroizing::new(ClientMessage::Login(login).encode(LOGIN));
        let hello = ClientMessage::Hello(hello).encode(HELLO);
        // One write for both, of exactly their size: nothing that holds the password grows or is copied.
        let mut first = Zeroizing::new(Vec::with_capacity(hello.len() + login.len()));
        first.extend_from_slice(&hello);
        first.extend_from_slice(&login);
        drop(login);
        // If the connection has ended already, the reader says why.
        let _ = out.send_secret(first).await;
        let next_id = Arc::new(Mutex::new(LOGIN + 1));
        let companion = Arc::<Companion>::default();
        let control = LaneControl { shared, out, next_id, settings };
        let client = Self::new(control.clone(), reader.clone(), writer, companion.clone());
        (client, Admission { outcome, control, companion, _reader: reader })
    }
}

impl Admission {
    /// Waits for what the server says to the login.
    ///
    /// Cancel safe; once it has been heard there is nothing more to hear.
    ///
    /// # Errors
    /// [`SessionError::Refused`] with `LoginRefused`, `KeyRefused`, `TooManyFailures`, `Busy` or `Version`,
    /// the last also for a server that welcomes with another version; [`SessionError::Connection`].
    pub async fn heard(&mut self) -> Result<(), SessionError> {
        (&mut self.outcome).await.unwrap_or_else(|_| Err(WireError::Closed.into()))
    }

    /// The keys that the server announced before it said yes; nothing in them is verified.
    #[must_use]
    pub fn announced(&self) -> Option<&Keys> {
        self.control.shared.keys.get()
    }

    /// As [`Client::lanes`].
    #[must_use]
    pub fn lanes(&self) -> LaneControl {
        self.control.clone()
    }

    /// As [`Client::accompany`].
    pub fn accompany(&self, start: impl FnOnce(CancellationToken) -> JoinHandle<()>) {
        self.companion.accompany(start);
    }

    /// From now on the session's requests are answered. Only for a login of which good was [heard](Self::heard).
    pub fn let_in(self) {
        let shared = self.control.shared.clone();
        // The session may be closed from now on, which waits for everybody who has a part in it.
        drop(self);
        shared.let_in();
    }
}

/// Reads up to `LOGGED_IN`. The server has no business to say anything else before.
///
/// # Errors
/// As [`Admission::heard`].
pub(super) async fn enter<R: AsyncRead + Unpin>(
    reader: &mut FrameReader<R>,
    shared: &Shared,
    out: &FrameSender,
    settings: ClientSettings,
) -> Result<(), SessionError> {
    loop {
        let header = heard(reader, out, settings.silence).await?.ok_or(WireError::Closed)?;
        match header.kind {
            Kind::Ping => pong(&header, reader, out).await?,
            Kind::Pong => reader.discard(header.length).await?,
            kind if kind.is_of_a_transfer() => return Err(too_early(kind)),
            kind => {
                let body = reader.body(&header).await?;
                let message = ServerMessage::decode(kind, &body).map_err(WireError::from)?;
                if is_in(header.id, message, shared)? {
                    return Ok(());
                }
            }
        }
    }
}

/// Takes a message in that came before the session was; true if that has begun with it.
fn is_in(id: u32, message: ServerMessage, shared: &Shared) -> Result<bool, SessionError> {
    let is_welcomed = shared.welcome.get().is_some();
    match (id, message) {
        (0, ServerMessage::Keys(keys)) => {
            let _ = shared.keys.set(keys);
            Ok(false)
        }
        (HELLO, ServerMessage::Welcome(welcome)) if welcome.version != VERSION => {
            Err(SessionError::Refused(Refused::new(Status::Version)))
        }
        (HELLO, ServerMessage::Welcome(welcome)) if !is_welcomed => {
            let _ = shared.welcome.set(welcome);
            Ok(false)
        }
        (LOGIN, ServerMessage::LoggedIn(_)) if is_welcomed => Ok(true),
        (HELLO | LOGIN, ServerMessage::Refused(refused)) => Err(SessionError::Refused(refused)),
        (HELLO | LOGIN, other) => Err(SessionError::Answer(other.kind())),
        (_, other) => Err(too_early(other.kind())),
    }
}

fn too_early(kind: Kind) -> SessionError {
    WireError::from(FrameError::State(kind)).into()
}
