//! What a [`Client`] can be asked.

use std::sync::Arc;

use crate::client::Client;
use crate::receipt::{ReceiptError, SignedReceipt};
use crate::session::{self, ListingMemory, SessionError, WholeFile};
use sealane_base::files::{FileMeta, Sink, Source, StorageError};
use sealane_base::types::{Digest, RemotePath};
use sealane_protocol::message::{
    DiscardPartial, Empty, Enroll, Entries, Entry, Partial, PathFlag, PathOnly, ReceiptOf, Rename,
    SetMeta, SizeRoot, UsageIs,
};
use sealane_protocol::transfer::{FileMeter, Meter, Outcome};
use sealane_protocol::{ClientMessage, ServerMessage, Status};

fn text(path: &RemotePath) -> String {
    path.as_str().to_owned()
}

/// The requests. Each fails with [`SessionError::Refused`] if the server says no, the login's
/// answer included; with [`SessionError::Connection`] once the connection is lost for good; with
/// [`SessionError::Answer`] if the server breaks the protocol.
impl Client {
    /// Uploads that may run side by side, at least 1. It may change once the login was answered.
    #[must_use]
    pub fn max_transfers(&self) -> usize {
        self.session().1.max_transfers()
    }

    /// Requests that may be unanswered, at least 1. It may change once the login was answered.
    #[must_use]
    pub fn max_requests(&self) -> usize {
        self.session().1.max_requests()
    }

    async fn ask(&self, message: ClientMessage) -> Result<ServerMessage, SessionError> {
        self.run(|session, _| {
            let message = message.clone();
            async move { session.ask(message).await }
        })
        .await
    }

    /// A request that is answered with done; `done` is what the answer may be if it was executed
    /// before.
    async fn ask_done(
        &self,
        message: ClientMessage,
        done: Option<Status>,
    ) -> Result<(), SessionError> {
        self.run(|session, again| {
            let message = message.clone();
            async move {
                match session.ask_done(message).await {
                    Err(error) if again && done.is_some() && error.status() == done => Ok(()),
                    answer => answer,
                }
            }
        })
        .await
    }

    /// Uploads `source` to `path` and returns once the server has it durably under its name.
    ///
    /// The file gets the time and mode of `meta`, where it says any. Only chunks that the server
    /// does not hold are sent; what an earlier attempt brought counts as moved, once. Cancel
    /// safety: dropping the future interrupts the upload; the next one continues.
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
        let file = FileMeter::new(meter);
        let sent = self.run(|session, _| {
            let (source, file) = (Arc::clone(&source), &file);
            async move {
                let before = file.counted();
                let sent = session::upload(&session, path, source, meta, file.attempt()).await;
                self.counted_since(file, before);
                sent
            }
        });
        Ok(file.all_in_all(sent.await?))
    }

    /// Downloads `path` into the sink that `open` makes from size and metadata, and commits it.
    ///
    /// `holds` says that the sink may hold something (a partial or an older version), so that only
    /// what differs is sent. `open` runs on a thread that may block, once for each attempt. Cancel
    /// safety: as for [`Client::upload`].
    ///
    /// # Errors
    /// [`SessionError`]; the file under the sink's name is untouched then.
    pub async fn download(
        &self,
        path: &RemotePath,
        holds: bool,
        open: impl Fn(u64, FileMeta) -> Result<Arc<dyn Sink>, StorageError> + Send + Sync + 'static,
        meter: Arc<Meter>,
    ) -> Result<Outcome, SessionError> {
        let (file, open) = (FileMeter::new(meter), Arc::new(open));
        let received = self.run(|session, again| {
            let (open, file) = (Arc::clone(&open), &file);
            async move {
                let before = file.counted();
                let (holds, meter) = (holds || again, file.attempt());
                let open: session::OpenSink = Box::new(move |size, meta| open(size, meta));
                let received = session::download(&session, path, holds, open, meter).await;
                self.counted_since(file, before);
                received
            }
        });
        Ok(file.all_in_all(received.await?))
    }

    fn counted_since(&self, file: &FileMeter, before: u64) {
        if file.counted() > before {
            self.progressed();
        }
    }

    /// Uploads a file of one chunk in one message. `read` gives it, again for each attempt, so that
    /// no copy is kept meanwhile. Many may be under way at once.
    ///
    /// Cancel safety: the file is there whole or not at all.
    ///
    /// # Errors
    /// [`SessionError`], and those of `read`; the old version on the server is untouched then.
    pub async fn upload_whole<Reading>(
        &self,
        path: &RemotePath,
        read: impl Fn() -> Reading,
        meter: &Meter,
    ) -> Result<Outcome, SessionError>
    where
        Reading: Future<Output = Result<WholeFile, SessionError>>,
    {
        self.run(|session, _| {
            let reading = read();
            async move { session::upload_whole(&session, path, reading.await?, meter).await }
        })
        .await
    }

    /// Fetches a file of one chunk, some `expected` bytes; `None` if it is larger. Its digest is
    /// not checked yet.
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn download_whole(
        &self,
        path: &RemotePath,
        expected: u64,
    ) -> Result<Option<WholeFile>, SessionError> {
        let fetch = |session: Arc<_>| async move {
            session::download_whole(&session, path, expected).await
        };
        self.run(|session, _| fetch(session)).await
    }

    /// A page of the directory `path`: at most 1000 entries with names greater than `after`,
    /// sorted.
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn list(
        &self,
        path: &RemotePath,
        after: Option<String>,
    ) -> Result<Entries, SessionError> {
        self.run(|session, _| {
            let after = after.clone();
            async move { session::list(&session, path, after).await }
        })
        .await
    }

    /// All entries of the directory `path`, sorted by name. The server reads it once, however large
    /// it is; memory is what is returned.
    ///
    /// # Errors
    /// [`SessionError`]; [`SessionError::TooLong`] if it is more than 192 MiB.
    pub async fn list_whole(&self, path: &RemotePath) -> Result<Entries, SessionError> {
        self.list_within(path, &ListingMemory::default()).await
    }

    /// As [`Client::list_whole`], with the memory of several listings together. What was returned
    /// counts until it is given back.
    ///
    /// # Errors
    /// As [`Client::list_whole`].
    pub async fn list_within(
        &self,
        path: &RemotePath,
        memory: &ListingMemory,
    ) -> Result<Entries, SessionError> {
        self.run(|session, _| async move { session::list_whole(&session, path, memory).await })
            .await
    }

    /// What is at `path`.
    ///
    /// # Errors
    /// [`SessionError`]; refused with `NotFound`.
    pub async fn stat(&self, path: &RemotePath) -> Result<Entry, SessionError> {
        match self.ask(ClientMessage::Stat(PathOnly { path: text(path) })).await? {
            ServerMessage::Entry(entry) => Ok(entry),
            other => Err(SessionError::Answer(other.kind())),
        }
    }

    /// Makes the directory `path`; with `parents`, every missing one above it too, and one that is
    /// there is no error.
    ///
    /// # Errors
    /// [`SessionError`]; refused with `Exists`.
    pub async fn make_directory(
        &self,
        path: &RemotePath,
        parents: bool,
    ) -> Result<(), SessionError> {
        let request = PathFlag { path: text(path), flag: parents };
        self.ask_done(ClientMessage::MakeDirectory(request), Some(Status::Exists)).await
    }

    /// As [`Client::make_directory`]; false if there is one already. An attempt whose answer was
    /// lost with the connection may have made it: one that is there and empty then is taken for
    /// that.
    pub(crate) async fn make_new(&self, path: &RemotePath) -> Result<bool, SessionError> {
        let request = ClientMessage::MakeDirectory(PathFlag { path: text(path), flag: false });
        self.run(|session, again| {
            let request = request.clone();
            async move {
                match session.ask_done(request).await {
                    Err(error) if error.status() == Some(Status::Exists) => {
                        let there = match again {
                            true => session::list(&session, path, None).await?,
                            false => return Ok(false),
                        };
                        Ok(there.entries.is_empty() && there.hidden == 0)
                    }
                    made => made.map(|()| true),
                }
            }
        })
        .await
    }

    /// Removes `path`; with `recursive`, a directory with all it holds.
    ///
    /// # Errors
    /// [`SessionError`]; refused with `NotFound` or `NotEmpty`.
    pub async fn remove(&self, path: &RemotePath, recursive: bool) -> Result<(), SessionError> {
        let request = PathFlag { path: text(path), flag: recursive };
        self.ask_done(ClientMessage::Remove(request), Some(Status::NotFound)).await
    }

    /// Moves `from` to `to`; with `replace`, over a file that is there.
    ///
    /// # Errors
    /// [`SessionError`]; refused with `NotFound` or `Exists`.
    pub async fn rename(
        &self,
        from: &RemotePath,
        to: &RemotePath,
        replace: bool,
    ) -> Result<(), SessionError> {
        let request = Rename { from: text(from), to: text(to), replace };
        self.run(|session, again| {
            let request = ClientMessage::Rename(request.clone());
            async move {
                match session.ask_done(request).await {
                    // Moved by an attempt whose answer was lost: the old name is gone, the new one
                    // is there.
                    Err(error) if again && error.status() == Some(Status::NotFound) => {
                        let there = ClientMessage::Stat(PathOnly { path: text(to) });
                        session.ask(there).await.map(drop).map_err(|_| error)
                    }
                    answer => answer,
                }
            }
        })
        .await
    }

    /// Gives the file or directory `path` the time and mode that `meta` names. Its owner can
    /// always read and write it (and enter a directory), whatever the mode says.
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn set_meta(&self, path: &RemotePath, meta: FileMeta) -> Result<(), SessionError> {
        let request = SetMeta { path: text(path), modified: meta.modified, mode: meta.mode };
        self.ask_done(ClientMessage::SetMeta(request), None).await
    }

    /// Bytes used, reserved and allowed.
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn usage(&self) -> Result<UsageIs, SessionError> {
        match self.ask(ClientMessage::Usage(Empty {})).await? {
            ServerMessage::UsageIs(usage) => Ok(usage),
            other => Err(SessionError::Answer(other.kind())),
        }
    }

    /// What interrupted uploads of this account left on the server, those under way included.
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn partials(&self) -> Result<Vec<Partial>, SessionError> {
        self.run(|session, _| async move { session::partials(&session).await }).await
    }

    /// Removes a partial by its id.
    ///
    /// # Errors
    /// [`SessionError`]; refused with `InUse` while it is being filled.
    pub async fn discard_partial(&self, id: &str) -> Result<(), SessionError> {
        let request = DiscardPartial { id: id.to_owned() };
        self.ask_done(ClientMessage::DiscardPartial(request), Some(Status::NotFound)).await
    }

    /// Size and root of the file at `path`, as the server reads it now.
    ///
    /// # Errors
    /// [`SessionError`]; refused with `NotFound` or `IsDirectory`.
    pub async fn digest(&self, path: &RemotePath) -> Result<SizeRoot, SessionError> {
        match self.ask(ClientMessage::DigestOf(PathOnly { path: text(path) })).await? {
            ServerMessage::DigestIs(digest) => Ok(digest),
            other => Err(SessionError::Answer(other.kind())),
        }
    }

    /// The server's signature under what the file at `path` holds now, which must be `sent`:
    /// checked, of this account, and by a key that is trusted.
    ///
    /// # Errors
    /// [`ReceiptError`].
    pub async fn receipt(
        &self,
        path: &RemotePath,
        sent: Digest,
    ) -> Result<SignedReceipt, ReceiptError> {
        let pin = self.server().map(|(_, proved)| Digest(*proved.as_bytes()));
        let request = ReceiptOf { path: text(path), pin };
        let signed = match self.ask(ClientMessage::ReceiptOf(request)).await? {
            ServerMessage::ReceiptIs(receipt) => SignedReceipt::new(path, receipt)?,
            other => return Err(SessionError::Answer(other.kind()).into()),
        };
        let (root, size) = (signed.receipt.root, signed.receipt.size);
        let is_mine = |account| self.server().is_none_or(|(target, _)| target.user == account);
        if root != sent || !is_mine(signed.receipt.account.clone()) {
            return Err(ReceiptError::Other { signed: root, size, sent });
        }
        let is_trusted = self
            .server()
            .is_none_or(|(target, _)| target.pins.iter().any(|pin| *pin == signed.pin()));
        if is_trusted { Ok(signed) } else { Err(ReceiptError::Key(signed.pin())) }
    }

    /// Lets the key that this connection has proved log in to the account from now on.
    ///
    /// # Errors
    /// [`SessionError`]; refused with `NotEnrolled` and the reason.
    pub async fn enroll(&self, comment: &str) -> Result<(), SessionError> {
        let comment = (!comment.is_empty()).then(|| comment.to_owned());
        self.ask_done(ClientMessage::Enroll(Enroll { comment }), None).await
    }
}
