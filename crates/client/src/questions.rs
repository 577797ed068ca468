//! What a session can be asked, asked of a [`Link`]: as often as it takes.

use std::sync::{Arc, PoisonError};

use super::Link;
use crate::session::{SessionError, WholeFile};
use sealane_base::files::{FileMeta, Sink, Source, StorageError};
use sealane_base::types::{Digest, Pin, RemotePath};
use sealane_protocol::Status;
use sealane_protocol::message::{Entries, Entry, ReceiptIs, SizeRoot};
use sealane_protocol::transfer::{FileMeter, Meter, Outcome};

/// The questions of a `Client`, with its errors, asked as often as it takes.
impl Link {
    /// As `Client::admitted`, of the present session.
    pub fn admitted(&self) -> impl Future<Output = ()> + Send + use<> {
        self.session().1.admitted()
    }

    /// As `Client::max_transfers`, of the present session.
    #[must_use]
    pub fn max_transfers(&self) -> usize {
        self.session().1.max_transfers()
    }

    /// As `Client::max_requests`, of the present session.
    #[must_use]
    pub fn max_requests(&self) -> usize {
        self.session().1.max_requests()
    }

    /// As `Client::upload`. What an earlier attempt brought counts as moved, once.
    ///
    /// # Errors
    /// As [`Link::run`].
    pub async fn upload(
        &self,
        path: &RemotePath,
        source: Arc<dyn Source>,
        meta: FileMeta,
        meter: Arc<Meter>,
    ) -> Result<Outcome, SessionError> {
        let file = FileMeter::new(meter);
        let sent = self.run(|client, _| {
            let (source, file) = (Arc::clone(&source), &file);
            async move {
                let before = file.counted();
                let sent = client.upload(path, source, meta, file.attempt()).await;
                self.counted_since(file, before);
                sent
            }
        });
        Ok(file.all_in_all(sent.await?))
    }

    /// As `Client::download`; `open` may be called for each attempt.
    ///
    /// # Errors
    /// As [`Link::run`].
    pub async fn download(
        &self,
        path: &RemotePath,
        holds: bool,
        open: impl Fn(u64, FileMeta) -> Result<Arc<dyn Sink>, StorageError> + Send + Sync + 'static,
        meter: Arc<Meter>,
    ) -> Result<Outcome, SessionError> {
        let (file, open) = (FileMeter::new(meter), Arc::new(open));
        let received = self.run(|client, again| {
            let (open, file) = (Arc::clone(&open), &file);
            async move {
                let before = file.counted();
                let open = move |size, meta| open(size, meta);
                let received = client.download(path, holds || again, open, file.attempt()).await;
                self.counted_since(file, before);
                received
            }
        });
        Ok(file.all_in_all(received.await?))
    }

    fn counted_since(&self, file: &FileMeter, before: u64) {
        if file.counted() > before {
            self.gets_on();
        }
    }

    /// As `Client::download_whole`.
    ///
    /// # Errors
    /// As [`Link::run`].
    pub async fn download_whole(
        &self,
        path: &RemotePath,
        expected: u64,
    ) -> Result<Option<WholeFile>, SessionError> {
        self.run(|client, _| async move { client.download_whole(path, expected).await }).await
    }

    /// As `Client::upload_whole`. `again` reads the file once more if it must be sent once more: nobody
    /// keeps a copy for that.
    ///
    /// # Errors
    /// As [`Link::run`], and those of `again`.
    pub async fn upload_whole<Reading>(
        &self,
        path: &RemotePath,
        first: (Digest, Vec<u8>, FileMeta),
        again: impl Fn() -> Reading,
        meter: &Meter,
    ) -> Result<Outcome, SessionError>
    where
        Reading: Future<Output = Result<(Digest, Vec<u8>, FileMeta), SessionError>>,
    {
        let first = std::sync::Mutex::new(Some(first));
        self.run(|client, _| {
            let first = first.lock().unwrap_or_else(PoisonError::into_inner).take();
            let reading = again();
            async move {
                let (digest, bytes, meta) = match first {
                    Some(first) => first,
                    None => reading.await?,
                };
                client.upload_whole(path, digest, bytes, meta, meter).await
            }
        })
        .await
    }

    /// As `Client::list_whole`.
    ///
    /// # Errors
    /// As [`Link::run`].
    pub async fn list_whole(&self, path: &RemotePath) -> Result<Entries, SessionError> {
        self.run(|client, _| async move { client.list_whole(path).await }).await
    }

    /// As `Client::set_meta`.
    ///
    /// # Errors
    /// As [`Link::run`].
    pub async fn set_meta(&self, path: &RemotePath, meta: FileMeta) -> Result<(), SessionError> {
        self.run(|client, _| async move { client.set_meta(path, meta).await }).await
    }

    /// As `Client::stat`.
    ///
    /// # Errors
    /// As [`Link::run`].
    pub async fn stat(&self, path: &RemotePath) -> Result<Entry, SessionError> {
        self.run(|client, _| async move { client.stat(path).await }).await
    }

    /// As `Client::digest`.
    ///
    /// # Errors
    /// As [`Link::run`].
    pub async fn digest(&self, path: &RemotePath) -> Result<SizeRoot, SessionError> {
        self.run(|client, _| async move { client.digest(path).await }).await
    }

    /// As `Client::receipt`.
    ///
    /// # Errors
    /// As [`Link::run`].
    pub async fn receipt(
        &self,
        path: &RemotePath,
        pin: Option<&Pin>,
    ) -> Result<ReceiptIs, SessionError> {
        self.run(|client, _| async move { client.receipt(path, pin).await }).await
    }

    /// As `Client::make_directory`; one that an attempt before made may be there.
    ///
    /// # Errors
    /// As [`Link::run`].
    pub async fn make_directory(
        &self,
        path: &RemotePath,
        parents: bool,
    ) -> Result<(), SessionError> {
        self.run(|client, again| async move {
            match client.make_directory(path, parents).await {
                Err(error) if again && error.status() == Some(Status::Exists) => Ok(()),
                made => made,
            }
        })
        .await
    }

    /// As `Client::remove`; what an attempt before removed may be gone.
    ///
    /// # Errors
    /// As [`Link::run`].
    pub async fn remove(&self, path: &RemotePath, recursive: bool) -> Result<(), SessionError> {
        self.run(|client, again| async move {
            match client.remove(path, recursive).await {
                Err(error) if again && error.status() == Some(Status::NotFound) => Ok(()),
                removed => removed,
            }
        })
        .await
    }
}
