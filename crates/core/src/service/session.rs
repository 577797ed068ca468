//! What a door holds for each session. How it came to be is in `login`.

use std::sync::Arc;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::connections::{Entry, Transfer};
use super::home::Home;
use crate::accounts::Principal;
use crate::storage::{TAKEOVER, Upload, UploadLock};
use sealane_base::files::{FileMeta, SmallFile, StorageError};
use sealane_base::types::{Pin, RemotePath};
use sealane_base::workers::Queue;

/// A session: who it is, what is theirs, and the place it takes among the account's sessions until
/// it is dropped. Only [`Service::log_in`](super::Service::log_in) makes one.
#[derive(Debug)]
pub struct Login {
    pub(super) principal: Principal,
    pub(super) home: Arc<Home>,
    pub(super) queue: Queue,
    pub(super) entry: Arc<Entry>,
    /// The key that the connection has proved, whether it logged in or not.
    pub(super) shown: Option<Pin>,
}

impl Login {
    /// The session's number, as in the log.
    #[must_use]
    pub fn session(&self) -> u64 {
        self.entry.id()
    }

    /// Who it is.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// What is theirs.
    #[must_use]
    pub fn home(&self) -> &Arc<Home> {
        &self.home
    }

    /// Begins an upload to `path`, of `size` bytes or of as many as come. One that runs there
    /// already is told to stop, and waited for: [`TAKEOVER`] at most.
    ///
    /// Cancel safety: dropping the future begins nothing; an older upload has been told to stop.
    ///
    /// # Errors
    /// [`StorageError::InUse`] if the older upload does not stop in time, else as
    /// [`UploadLock::upload`].
    pub async fn upload(
        &self,
        path: RemotePath,
        size: Option<u64>,
        meta: FileMeta,
    ) -> Result<Arc<dyn Upload>, StorageError> {
        let lock = self.lock_upload(path).await?;
        self.queue.run(move || lock.upload(size, meta)).await
    }

    /// Stores a small file whole, as [`Login::upload`] and a commit do.
    ///
    /// Cancel safety: once the older upload has stopped, the file is stored.
    ///
    /// # Errors
    /// As [`Login::upload`], and of the commit; nothing is kept of the file then.
    pub async fn put(&self, file: SmallFile) -> Result<(), StorageError> {
        let lock = self.lock_upload(file.path.clone()).await?;
        self.queue.run_long(move || lock.put(&file)).await
    }

    async fn lock_upload(&self, path: RemotePath) -> Result<Box<dyn UploadLock>, StorageError> {
        let home = Arc::clone(&self.home);
        let mut lock = self.queue.run(move || home.lock_upload(&path)).await?;
        match timeout(TAKEOVER, lock.acquired()).await {
            Ok(acquired) => acquired.map(|()| lock),
            Err(_) => Err(StorageError::InUse),
        }
    }

    /// Where the work of the home is done, in turns with that of other accounts.
    #[must_use]
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// The key that the connection has proved, whether it logged in or not.
    #[must_use]
    pub fn shown_key(&self) -> Option<Pin> {
        self.shown
    }

    /// Cancelled when an administrator ends the session, or the login is not good any more.
    #[must_use]
    pub fn ended(&self) -> CancellationToken {
        self.entry.end()
    }

    /// Counts a file on the move until the value is dropped.
    #[must_use]
    pub fn transfer(&self) -> Transfer {
        self.entry.transfer()
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        self.entry.log_out();
    }
}
