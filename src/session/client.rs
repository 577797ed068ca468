//! The client's half: typed calls over one connection.
//!
//! Calls may run side by side. A silent server is pinged, and given up when nothing comes back.
//! Retrying is for `client`.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, split};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::AGENT;
use super::answers::{Pending, Shared, read_answers};
use super::error::SessionError;
use super::joining::LaneControl;
use super::verbs;
use crate::protocol::message::{
    Entries, Entry, Hello, Keys, Login, Partial, SizeRoot, UsageIs, Welcome,
};
use crate::protocol::{ClientMessage, ServerMessage, Side, VERSION};
use crate::storage::{FileMeta, Sink, Source, StorageError};
use crate::transfer::{Meter, Outcome, Routes};
use crate::types::{Digest, RemotePath, Secret};
use crate::wire::{FrameReader, FrameSender, WireError, outbox, write_frames};

/// Time limits of a client's session.
#[derive(Clone, Copy, Debug)]
pub struct ClientSettings {
    /// Silence after which the connection is given up; half of it after which it is pinged.
    pub silence: Duration,
}

impl Default for ClientSettings {
    /// 30 seconds.
    fn default() -> Self {
        Self { silence: Duration::from_secs(30) }
    }
}

/// A small file as it arrived.
#[derive(Debug)]
pub struct WholeFile {
    /// Its BLAKE3, as the server says.
    pub digest: Digest,
    /// Its time and mode.
    pub meta: FileMeta,
    /// What it holds.
    pub bytes: Vec<u8>,
}

/// Protocol version in which further connections came.
const LANES_SINCE: u16 = 3;

/// A logged-in session with a server.
#[derive(Debug)]
pub struct Client {
    shared: Arc<Shared>,
    out: FrameSender,
    /// The next request's id; locked until that request is queued, because ids must only grow.
    next_id: Arc<Mutex<u32>>,
    settings: ClientSettings,
    welcome: Welcome,
    reader: JoinHandle<()>,
    writer: JoinHandle<Result<(), WireError>>,
    companion: std::sync::Mutex<Option<(DropGuard, JoinHandle<()>)>>,
}

impl Client {
    /// Logs in over `stream`, whose other end has already proved a pinned key.
    ///
    /// `HELLO` and `LOGIN` leave together: one round trip.
    ///
    /// Cancel safety: dropping the future closes the connection.
    ///
    /// # Errors
    /// [`SessionError::Refused`] with `LoginRefused`, `Busy` or `Version`; [`SessionError::Connection`].
    pub async fn login<S>(
        stream: S,
        settings: ClientSettings,
        user: &str,
        password: &Secret,
    ) -> Result<Self, SessionError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (read, write) = split(stream);
        let (out, outbox) = outbox();
        let writer = tokio::spawn(write_frames(write, outbox, settings.silence));
        let shared = Arc::new(Shared::default());
        let reader = FrameReader::new(read, Side::Server, settings.silence);
        let reader = tokio::spawn(read_answers(reader, shared.clone(), out.clone(), settings));
        let next_id = Arc::new(Mutex::new(1));
        let welcome = Welcome { version: 0, agent: None, max_requests: 1, max_transfers: 1 };
        let mut client = Self {
            shared,
            out,
            next_id,
            settings,
            welcome,
            reader,
            writer,
            companion: Default::default(),
        };
        client.welcome = client.greet(user, password).await?;
        Ok(client)
    }

    async fn greet(&self, user: &str, password: &Secret) -> Result<Welcome, SessionError> {
        let hello = Hello { version: VERSION, agent: Some(AGENT.to_owned()) };
        let login = Login { user: user.to_owned(), password: password.expose().to_owned() };
        let mut first = self.pending(false).await?;
        first.send(ClientMessage::Hello(hello)).await?;
        let mut second = self.pending(false).await?;
        second.send(ClientMessage::Login(login)).await?;
        let welcome = match first.message().await? {
            ServerMessage::Welcome(welcome) if (1..=VERSION).contains(&welcome.version) => welcome,
            other => return Err(SessionError::Answer(other.kind())),
        };
        match second.message().await? {
            ServerMessage::LoggedIn(_) => Ok(welcome),
            other => Err(SessionError::Answer(other.kind())),
        }
    }

    /// The keys that the server announced when this session logged in; nothing in them is verified.
    #[must_use]
    pub fn announced(&self) -> Option<&Keys> {
        self.shared.keys.get()
    }

    /// Uploads that may run side by side on this session, at least 1.
    #[must_use]
    pub fn max_transfers(&self) -> usize {
        self.welcome.max_transfers.clamp(1, 64) as usize
    }

    /// Requests that may be unanswered on this session, at least 1.
    #[must_use]
    pub fn max_requests(&self) -> usize {
        self.welcome.max_requests.clamp(1, 4096) as usize
    }

    /// What opens further connections to this session; `None` if the server knows nothing of such. It must be
    /// gone before [`Client::close`] can end.
    #[must_use]
    pub fn lanes(&self) -> Option<LaneControl> {
        (self.welcome.version >= LANES_SINCE).then(|| LaneControl {
            shared: self.shared.clone(),
            out: self.out.clone(),
            next_id: self.next_id.clone(),
            settings: self.settings,
        })
    }

    /// Lets a task run along with the session: what `start` gives the token to is told to end, and waited for,
    /// when the session closes.
    pub fn accompany(&self, start: impl FnOnce(CancellationToken) -> JoinHandle<()>) {
        let stop = CancellationToken::new();
        let task = start(stop.clone());
        *self.companion() = Some((stop.drop_guard(), task));
    }

    /// Ends what accompanies the session, which then keeps to its own connection: what comes over that
    /// alone comes in order, as a stream needs it.
    pub async fn stay_alone(&self) {
        let companion = self.companion().take();
        if let Some((stop, task)) = companion {
            drop(stop);
            let _ = task.await;
        }
    }

    fn companion(&self) -> std::sync::MutexGuard<'_, Option<(DropGuard, JoinHandle<()>)>> {
        self.companion.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Uploads `source` to `path` and returns once the server has it durably under its name.
    ///
    /// The file gets the time and mode of `meta`, where it says any. Only chunks that the server does
    /// not hold are sent. Cancel safety: dropping the future
    /// interrupts the upload; what was acknowledged is used by the next one.
    ///
    /// # Errors
    /// [`SessionError`]; the old version on the server is untouched then.
    pub async fn upload(
        &self,
        path: &RemotePath,
        source: Arc<dyn Source>,
        meta: FileMeta,
        meter: Arc<Meter>,
    ) -> Result<Outcome, SessionError> {
        verbs::put::ask(self, path, source, meta, meter).await
    }

    /// Uploads a file of one chunk that is in memory already; `digest` is that of `bytes`.
    ///
    /// Many may be under way at once. Cancel safety: the file is there whole or not at all.
    ///
    /// # Errors
    /// [`SessionError`]; the old version on the server is untouched then.
    pub async fn upload_whole(
        &self,
        path: &RemotePath,
        digest: Digest,
        bytes: Vec<u8>,
        meta: FileMeta,
        meter: &Meter,
    ) -> Result<Outcome, SessionError> {
        verbs::put::ask_whole(self, path, digest, bytes, meta, meter).await
    }

    /// Fetches a file of one chunk into memory, at most 1 MiB; `None` if the file is larger. Its
    /// digest is not checked yet.
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn download_whole(
        &self,
        path: &RemotePath,
    ) -> Result<Option<WholeFile>, SessionError> {
        verbs::get::ask_whole(self, path).await
    }

    /// Downloads `path` into the sink that `open` makes from size and metadata, and commits it.
    ///
    /// `holds` says that the sink may hold something (a partial or an older version), so that
    /// only what differs is sent. `open` runs on a thread that may block. Cancel safety: as for
    /// [`Client::upload`].
    ///
    /// # Errors
    /// [`SessionError`]; the file under the sink's name is untouched then.
    pub async fn download(
        &self,
        path: &RemotePath,
        holds: bool,
        open: impl FnOnce(u64, FileMeta) -> Result<Arc<dyn Sink>, StorageError> + Send + 'static,
        meter: Arc<Meter>,
    ) -> Result<Outcome, SessionError> {
        verbs::get::ask(self, path, holds, Box::new(open), meter).await
    }

    /// A page of the directory `path`: at most 1000 entries with names greater than `after`.
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn list(
        &self,
        path: &RemotePath,
        after: Option<String>,
    ) -> Result<Entries, SessionError> {
        verbs::list::ask(self, path, after).await
    }

    /// What is at `path`.
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn stat(&self, path: &RemotePath) -> Result<Entry, SessionError> {
        verbs::stat::ask(self, path).await
    }

    /// Makes the directory `path`; with `parents`, every missing one above it too.
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn make_directory(
        &self,
        path: &RemotePath,
        parents: bool,
    ) -> Result<(), SessionError> {
        verbs::make_directory::ask(self, path, parents).await
    }

    /// Removes `path`; with `recursive`, a directory with all it holds.
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn remove(&self, path: &RemotePath, recursive: bool) -> Result<(), SessionError> {
        verbs::remove::ask(self, path, recursive).await
    }

    /// Moves `from` to `to`; with `replace`, over a file that is there.
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn rename(
        &self,
        from: &RemotePath,
        to: &RemotePath,
        replace: bool,
    ) -> Result<(), SessionError> {
        verbs::rename::ask(self, from, to, replace).await
    }

    /// Bytes used, reserved and allowed.
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn usage(&self) -> Result<UsageIs, SessionError> {
        verbs::usage::ask(self).await
    }

    /// What interrupted uploads of this account left on the server, those under way included.
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn partials(&self) -> Result<Vec<Partial>, SessionError> {
        verbs::partials::ask(self).await
    }

    /// Removes a partial by its id.
    ///
    /// # Errors
    /// [`SessionError`]; refused with `InUse` while it is being filled.
    pub async fn discard_partial(&self, id: &str) -> Result<(), SessionError> {
        verbs::partials::ask_discard(self, id).await
    }

    /// Size and root of the file at `path`, as the server reads it now.
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn digest(&self, path: &RemotePath) -> Result<SizeRoot, SessionError> {
        verbs::digest::ask(self, path).await
    }

    /// Says goodbye: writes what is queued and closes the connection in order.
    pub async fn close(self) {
        self.reader.abort();
        self.stay_alone().await;
        let Self { out, writer, reader, .. } = self;
        drop(out);
        let _ = reader.await; // its sender goes with it, and the writer ends
        let _ = writer.await;
    }

    /// A new request; `downloads` if its answer may be an offer.
    ///
    /// Nobody else gets one before it was sent or dropped.
    pub(super) async fn pending(&self, downloads: bool) -> Result<Pending, SessionError> {
        let turn = Arc::clone(&self.next_id).lock_owned().await;
        Pending::open(self.shared.clone(), self.out.clone(), turn, downloads)
    }

    pub(super) async fn ask(&self, message: ClientMessage) -> Result<ServerMessage, SessionError> {
        let mut pending = self.pending(false).await?;
        pending.send(message).await?;
        pending.message().await
    }

    pub(super) async fn ask_done(&self, message: ClientMessage) -> Result<(), SessionError> {
        match self.ask(message).await? {
            ServerMessage::Done(_) => Ok(()),
            other => Err(SessionError::Answer(other.kind())),
        }
    }

    pub(super) fn routes(&self) -> &Routes {
        &self.shared.routes
    }

    pub(super) fn sender(&self) -> FrameSender {
        self.out.clone()
    }
}
