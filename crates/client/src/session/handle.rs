//! One session over one connection: how it begins, what it can be asked, how it ends.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, split};
use tokio::sync::{Mutex, OwnedSemaphorePermit};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::AbortOnDropHandle;

use super::allowance;
use super::answers::{Pending, Shared};
use super::error::SessionError;
use super::joiner::Joiner;
use super::reader::{self, LOGIN, OnLogin};
use sealane_base::types::Secret;
use sealane_base::workers::{Queue, Workers};
use sealane_protocol::transfer::Routes;
use sealane_protocol::wire::{FrameReader, FrameSender, WireError, outbox, write_frames};
use sealane_protocol::{ClientMessage, ServerMessage, Side};

/// Time limits of a session.
#[derive(Clone, Copy, Debug)]
pub struct SessionSettings {
    /// Silence after which the connection is given up; half of it after which it is pinged.
    pub silence: Duration,
}

impl Default for SessionSettings {
    /// 30 seconds.
    fn default() -> Self {
        Self { silence: Duration::from_secs(30) }
    }
}

/// A session over one connection. Dropping it closes the connection; [`Session::close`] waits for
/// that.
#[derive(Debug)]
pub struct Session {
    joiner: Joiner,
    /// Where files are read, hashed and written.
    queue: Queue,
    reader: AbortOnDropHandle<()>,
    writer: JoinHandle<Result<(), WireError>>,
    companion: Option<(DropGuard, JoinHandle<()>)>,
}

impl Session {
    /// Begins a session over `stream`, whose other end has already proved a pinned key: with
    /// `password`, or else with the key that the stream's handshake has proved.
    ///
    /// It takes requests at once: they leave together with the login. If that fails, each of them
    /// fails with its error. `on_login` runs after a login that succeeded, before any request is
    /// answered.
    pub async fn begin<S>(
        stream: S,
        settings: SessionSettings,
        user: &str,
        password: Option<&Secret>,
        on_login: Option<OnLogin>,
    ) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (read, write) = split(stream);
        let (out, outbox) = outbox();
        let writer = tokio::spawn(write_frames(write, outbox, settings.silence));
        let shared = Arc::new(Shared::default());
        let frames = FrameReader::new(read, Side::Server, settings.silence);
        let reading =
            reader::read_answers(frames, shared.clone(), out.clone(), settings.silence, on_login);
        let reader = AbortOnDropHandle::new(tokio::spawn(reading));
        // If the connection has ended already, the reader says why.
        let _ = out.send_secret(reader::first_messages(user, password)).await;
        let next_id = Arc::new(Mutex::new(LOGIN + 1));
        let joiner = Joiner { shared, out, next_id, silence: settings.silence };
        let queue = Workers::default().queue("transfers");
        Self { joiner, queue, reader, writer, companion: None }
    }

    /// As [`Session::begin`], and waits for the answer to the login.
    ///
    /// Cancel safety: dropping the future closes the connection.
    ///
    /// # Errors
    /// As [`Session::logged_in`].
    pub async fn log_in<S>(
        stream: S,
        settings: SessionSettings,
        user: &str,
        password: Option<&Secret>,
    ) -> Result<Self, SessionError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let session = Self::begin(stream, settings, user, password, None).await;
        session.logged_in().await?;
        Ok(session)
    }

    /// Waits for the answer to the login. Cancel safe.
    ///
    /// # Errors
    /// [`SessionError::Refused`] with `LoginRefused`, `KeyRefused`, `TooManyFailures`, `Busy` or
    /// `Version`, the last also for a server that welcomes with another version;
    /// [`SessionError::Connection`].
    pub fn logged_in(&self) -> impl Future<Output = Result<(), SessionError>> + Send + use<> {
        let shared = self.joiner.shared.clone();
        async move { shared.logged_in().await }
    }

    /// Where files are read, hashed and written.
    pub(crate) fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Whether the login is known to have failed.
    pub(crate) fn login_failed(&self) -> bool {
        self.joiner.shared.login_failed()
    }

    /// What opens further connections to this session. It must be gone before [`Session::close`]
    /// can end.
    #[must_use]
    pub fn joiner(&self) -> Joiner {
        self.joiner.clone()
    }

    /// Runs a task along with the session: it is told to end, and waited for, when the session
    /// closes.
    pub(crate) fn accompany(
        &mut self,
        start: impl FnOnce(Joiner, CancellationToken) -> JoinHandle<()>,
    ) {
        let stop = CancellationToken::new();
        let task = start(self.joiner.clone(), stop.clone());
        self.companion = Some((stop.drop_guard(), task));
    }

    /// Uploads that may run side by side, at least 1. It may change once the server has answered
    /// the login.
    pub(crate) fn max_transfers(&self) -> usize {
        allowance::transfers(self.joiner.shared.welcome.get())
    }

    /// Requests that may be unanswered, at least 1. It may change once the server has answered the
    /// login.
    pub(crate) fn max_requests(&self) -> usize {
        allowance::requests(self.joiner.shared.welcome.get())
    }

    /// Waits until one more upload may begin.
    pub(super) async fn transfer_permit(&self) -> Result<OwnedSemaphorePermit, SessionError> {
        match self.joiner.shared.allowance.transfer().await {
            Some(permit) => Ok(permit),
            None => Err(self.joiner.shared.why().await),
        }
    }

    /// Says goodbye: writes what is queued and closes the connection in order.
    pub async fn close(self) {
        let Self { joiner, reader, writer, companion, .. } = self;
        // What is queued counts only with the login, whose answer may still be on its way.
        let _ = joiner.shared.logged_in().await;
        if let Some((stop, task)) = companion {
            drop(stop);
            let _ = task.await;
        }
        reader.abort();
        let _ = reader.await; // its sender goes with it
        drop(joiner); // the last sender: the writer ends
        let _ = writer.await;
    }

    /// A new request; `downloads` if its answer may be an offer. No other request gets an id before
    /// it was sent or dropped.
    pub(super) async fn pending(&self, downloads: bool) -> Result<Pending, SessionError> {
        self.joiner.pending(downloads).await
    }

    pub(crate) async fn ask(&self, message: ClientMessage) -> Result<ServerMessage, SessionError> {
        self.joiner.ask(message).await
    }

    pub(crate) async fn ask_done(&self, message: ClientMessage) -> Result<(), SessionError> {
        match self.ask(message).await? {
            ServerMessage::Done(_) => Ok(()),
            other => Err(SessionError::Answer(other.kind())),
        }
    }

    pub(super) fn routes(&self) -> &Routes {
        &self.joiner.shared.routes
    }

    pub(super) fn sender(&self) -> FrameSender {
        self.joiner.out.clone()
    }
}
