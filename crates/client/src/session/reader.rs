//! The reading task of a session: the answer to the login first, then those to the requests.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncRead;

use super::answers::Shared;
use super::error::SessionError;
use sealane_base::types::Secret;
use sealane_protocol::AGENT;
use sealane_protocol::frame::FrameError;
use sealane_protocol::keep_alive::{heard, pong};
use zeroize::Zeroizing;

use sealane_protocol::message::{Hello, Keys, Login, Refused};
use sealane_protocol::wire::{FrameReader, FrameSender, WireError};
use sealane_protocol::{ClientMessage, Header, Kind, ServerMessage, Status, VERSION};

/// The first two requests of every session.
const HELLO: u32 = 1;
pub(super) const LOGIN: u32 = 2;

/// What happens between a login that succeeded and the first answer. It gets the keys that the
/// server announced; nothing in them is verified.
pub type OnLogin = Box<dyn FnOnce(Option<Keys>) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// `HELLO` and `LOGIN`, which leave together. One buffer of exactly their size, so that nothing
/// which holds the password grows or is copied.
pub(super) fn first_messages(user: &str, password: Option<&Secret>) -> Zeroizing<Vec<u8>> {
    let hello = Hello { version: VERSION, agent: Some(AGENT.to_owned()), features: None };
    let hello = ClientMessage::Hello(hello).encode(HELLO);
    let login = Login { user: user.to_owned(), password: password.cloned() };
    let login = Zeroizing::new(ClientMessage::Login(login).encode(LOGIN));
    let mut both = Zeroizing::new(Vec::with_capacity(hello.len() + login.len()));
    both.extend_from_slice(&hello);
    both.extend_from_slice(&login);
    both
}

/// Reads until the login fails or the connection ends, and then fails all that still waits with the
/// reason; also if the task is aborted.
pub(super) async fn read_answers<R: AsyncRead + Unpin>(
    mut reader: FrameReader<R>,
    shared: Arc<Shared>,
    out: FrameSender,
    silence: Duration,
    on_login: Option<OnLogin>,
) {
    struct End(Arc<Shared>);
    impl Drop for End {
        fn drop(&mut self) {
            self.0.end(WireError::Closed.into());
        }
    }
    let end = End(shared);
    let shared = &end.0;
    let reading = async {
        log_in(&mut reader, shared, &out, silence).await?;
        if let Some(on_login) = on_login {
            on_login(shared.keys.get().cloned()).await;
        }
        shared.succeed();
        while let Some(header) = heard(&mut reader, &out, silence).await? {
            answer_frame(&header, &mut reader, shared, &out).await?;
        }
        Ok::<(), SessionError>(())
    };
    if let Err(error) = reading.await {
        shared.end(error);
    }
}

/// Reads up to `LOGGED_IN`. A server may say nothing else before.
async fn log_in<R: AsyncRead + Unpin>(
    reader: &mut FrameReader<R>,
    shared: &Shared,
    out: &FrameSender,
    silence: Duration,
) -> Result<(), SessionError> {
    loop {
        let header = heard(reader, out, silence).await?.ok_or(WireError::Closed)?;
        match header.kind {
            Kind::Ping => pong(&header, reader, out).await?,
            Kind::Pong => reader.discard(header.length).await?,
            kind if kind.is_of_a_transfer() => return Err(too_early(kind)),
            kind => {
                let body = reader.body(&header).await?;
                let message = ServerMessage::decode(kind, &body).map_err(WireError::from)?;
                if take_greeting(header.id, message, shared)? {
                    return Ok(());
                }
            }
        }
    }
}

/// Takes in a message that came before the login was answered; true if it says that the login
/// succeeded.
fn take_greeting(id: u32, message: ServerMessage, shared: &Shared) -> Result<bool, SessionError> {
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
            shared.allowance.set(&welcome);
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

async fn answer_frame<R: AsyncRead + Unpin>(
    header: &Header,
    reader: &mut FrameReader<R>,
    shared: &Shared,
    out: &FrameSender,
) -> Result<(), WireError> {
    match header.kind {
        kind if kind.is_of_a_transfer() => shared.routes.deliver(header, reader).await,
        Kind::Ping => pong(header, reader, out).await,
        Kind::Pong => reader.discard(header.length).await,
        _ => {
            let body = reader.body(header).await?;
            match ServerMessage::decode(header.kind, &body)? {
                ServerMessage::Keys(keys) if header.id == 0 => {
                    let _ = shared.keys.set(keys);
                    Ok(())
                }
                message => shared.answer(header.id, message).await,
            }
        }
    }
}
