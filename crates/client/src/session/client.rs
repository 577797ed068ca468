//! The client's half: typed calls over one connection.
//!
//! Calls may run side by side. A silent server is pinged, and given up when nothing comes back.
//! Retrying is for `client`.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;

use super::answers::Pending;
use super::error::SessionError;
use super::joining::{Companion, LaneControl};
use super::verbs::{self, get::WholeFile};
use sealane_base::files::{FileMeta, Sink, Source, StorageError};
use sealane_base::types::{Digest, Pin, RemotePath, Secret};
use sealane_protocol::message::{Entries, Entry, Partial, ReceiptIs, SizeRoot, UsageIs};
use sealane_protocol::transfer::{Meter, Outcome, Routes};
use sealane_protocol::wire::{FrameSender, WireError};
use sealane_protocol::{ClientMessage, ServerMessage, limits};

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

/// A session with a server. Dropping it closes the connection; [`Client::close`] waits for that.
#[derive(Debug)]
pub struct Client {
    pub(super) control: LaneControl,
    reader: Arc<AbortOnDropHandle<()>>,
    writer: JoinHandle<Result<(), WireError>>,
    pub(super) companion: Arc<Companion>,
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
        Self::open(stream, settings, user, Some(password)).await
    }

    /// As [`Client::login`], with the key that the stream's handshake has proved.
    ///
    /// Cancel safety: as for [`Client::login`].
    ///
    /// # Errors
    /// [`SessionError::Refused`] with `KeyRefused`, `TooManyFailures` or `Version`; [`SessionError::Connection`].
    pub async fn login_with_key<S>(
        stream: S,
        settings: ClientSettings,
        user: &str,
    ) -> Result<Self, SessionError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        Self::open(stream, settings, user, None).await
    }

    async fn open<S>(
        stream: S,
        settings: ClientSettings,
        user: &str,
        password: Option<&Secret>,
    ) -> Result<Self, SessionError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (client, mut admission) = Self::begin(stream, settings, user, password).await;
        admission.heard().await?;
        admission.let_in();
        Ok(client)
    }

    /// Puts together a session whose login is queued.
    pub(super) fn new(
        control: LaneControl,
        reader: Arc<AbortOnDropHandle<()>>,
        writer: JoinHandle<Result<(), WireError>>,
        companion: Arc<Companion>,
    ) -> Self {
        Self { control, reader, writer, companion }
    }

    /// Waits until the session's login has succeeded and been dealt with; for ever, if it fails.
    pub fn admitted(&self) -> impl Future<Output = ()> + Send + use<> {
        let shared = self.control.shared.clone();
        async move { shared.admitted().await }
    }

    /// Uploads that may run side by side on this session, at least 1. It may change once the server has said.
    #[must_use]
    pub fn max_transfers(&self) -> usize {
        let welcome = self.control.shared.welcome.get();
        welcome.map_or(limits::FIRST_TRANSFERS, |it| it.max_transfers).clamp(1, 64) as usize
    }

    /// Requests that may be unanswered on this session, at least 1. It may change once the server has said.
    #[must_use]
    pub fn max_requests(&self) -> usize {
        let welcome = self.control.shared.welcome.get();
        welcome.map_or(limits::FIRST_REQUESTS, |it| it.max_requests).clamp(1, 4096) as usize
    }

    /// Uploads `source` to `path` and returns once the server has it durably under its name.
    ///
    /// The file gets the time and mode of `meta`, where it says any. Only chunks that the server does
    /// not hold are sent. Cancel safety: dropping the future interrupts the upload; the next one goes on.
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

    /// Fetches a file of one chunk, some `expected` bytes; `None` if it is larger. Its digest is not checked yet.
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn download_whole(
        &self,
        path: &RemotePath,
        expected: u64,
    ) -> Result<Option<WholeFile>, SessionError> {
        verbs::get::ask_whole(self, path, expected).await
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

    /// All entries of the directory `path`, sorted by name. The server reads it once, however large it
    /// is; memory is what is returned. Cancel safety: dropping the future forgets the answers.
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn list_whole(&self, path: &RemotePath) -> Result<Entries, SessionError> {
        verbs::list::ask_whole(self, path).await
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

    /// Gives the file or directory `path` the time and mode that `meta` names. Its owner can always read
    /// and write it (and enter a directory), whatever the mode says.
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn set_meta(&self, path: &RemotePath, meta: FileMeta) -> Result<(), SessionError> {
        verbs::set_meta::ask(self, path, meta).await
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

    /// The server's signature under what the file at `path` holds now, with the key of `pin` if it has that
    /// one. Nothing in it is checked yet.
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn receipt(
        &self,
        path: &RemotePath,
        pin: Option<&Pin>,
    ) -> Result<ReceiptIs, SessionError> {
        verbs::receipt::ask(self, path, pin).await
    }

    /// Lets the key that this connection has proved log in to the account from now on.
    ///
    /// # Errors
    /// [`SessionError`]; refused with `NotEnrolled` and the reason.
    pub async fn enroll(&self, comment: &str) -> Result<(), SessionError> {
        verbs::enroll::ask(self, comment).await
    }

    /// Says goodbye: writes what is queued and closes the connection in order.
    pub async fn close(self) {
        // Before, there may still be something to say about the login.
        self.admitted().await;
        self.reader.abort();
        self.stay_alone().await;
        let Self { control, writer, reader, .. } = self;
        drop(control);
        if let Some(reader) = Arc::into_inner(reader) {
            let _ = reader.await; // its sender goes with it, and the writer ends
        }
        let _ = writer.await;
    }

    /// A new request; `downloads` if its answer may be an offer.
    ///
    /// Nobody else gets one before it was sent or dropped.
    pub(super) async fn pending(&self, downloads: bool) -> Result<Pending, SessionError> {
        self.control.pending(downloads).await
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
        &self.control.shared.routes
    }

    pub(super) fn sender(&self) -> FrameSender {
        self.control.out.clone()
    }
}
