//! What a server may do with homes, whatever keeps them: the one seam between doors and stores.
//!
//! A store holds names, the ledger, uploads and bytes together, because they must change together.
//! It judges no permissions (`service::home` does) and knows no protocol. Everything here can fail
//! and blocks: call it on a thread that may wait.

use std::any::Any;
use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio_util::sync::CancellationToken;

use super::types::{Audit, Entry, Page, Partial, Usage, View};
use sealane_base::files::{FileMeta, Sink, SmallFile, Source, StorageError, Version};
use sealane_base::types::{RemotePath, Username};

/// How long an upload waits for the one it takes over from.
pub const TAKEOVER: Duration = Duration::from_secs(10);

/// Keeps the homes of all accounts.
pub trait Store: Debug + Send + Sync {
    /// Begins to open the home of `owner` at `place` (`homes/ahpu`, say), which is made if it is
    /// missing.
    ///
    /// All who have it open share one ledger of `limit` bytes; the latest limit holds. All who are
    /// opening it share one count of what is in it, which is given up when the last of them is
    /// dropped.
    ///
    /// # Errors
    /// [`StorageError::HomeConflict`] if the place is not below `homes`, is the same as or inside
    /// or around a home that another account has open, or is not where this account has its home
    /// open already; any other [`StorageError`].
    fn open_home(
        &self,
        owner: &Username,
        place: &RemotePath,
        limit: u64,
        view: View,
    ) -> Result<Box<dyn Opening>, StorageError>;

    /// Counts what `owner` has and holds it against the ledger, which `repair` sets right. `None`
    /// if no login has the home open: it is counted when it is opened.
    ///
    /// Changes of names in that home wait meanwhile; transfers go on.
    ///
    /// # Errors
    /// Any [`StorageError`] of reading; the ledger is then as it was.
    fn audit(&self, owner: &Username, repair: bool) -> Result<Option<Audit>, StorageError>;

    /// Removes partials last written to before `older_than`, except those of accounts that are
    /// uploading now. Gives how many.
    ///
    /// # Errors
    /// Any [`StorageError`] of reading or removing; what was removed before stays removed.
    fn sweep_partials(&self, older_than: SystemTime) -> Result<u64, StorageError>;
}

/// A home that is being opened, which takes long if there is much in it and nobody has it open.
pub trait Opening: Debug + Send {
    /// Goes on for some milliseconds; `None` until the home is open.
    ///
    /// Of those who open the same home one at a time should go on: the others would wait.
    ///
    /// # Errors
    /// [`StorageError::OverDeep`] if there are directories too deep for a home; any other
    /// [`StorageError`].
    fn step(&mut self) -> Result<Option<Arc<dyn HomeStore>>, StorageError>;

    /// Goes on to the end, which may take long.
    ///
    /// # Errors
    /// As [`Opening::step`].
    fn finish(&mut self) -> Result<Arc<dyn HomeStore>, StorageError> {
        loop {
            if let Some(home) = self.step()? {
                return Ok(home);
            }
        }
    }
}

/// One home, as one login sees it.
///
/// Links are never followed: in the middle of a path they are [`StorageError::NotDirectory`], at
/// its end [`StorageError::NotRegular`] wherever a file would be opened.
pub trait HomeStore: Debug + Send + Sync {
    /// What the account uses, has reserved, and may use.
    ///
    /// # Errors
    /// Any [`StorageError`].
    fn usage(&self) -> Result<Usage, StorageError>;

    /// What `path` is, itself and not what it points to.
    ///
    /// # Errors
    /// [`StorageError::NotFound`], [`StorageError::NotDirectory`] or another [`StorageError`].
    fn stat(&self, path: &RemotePath) -> Result<Entry, StorageError>;

    /// The first `max` entries of a directory whose names come after `after`, by the bytes of
    /// their names. Memory is bounded by `max`; the caller bounds that.
    ///
    /// # Errors
    /// [`StorageError::NotFound`], [`StorageError::NotDirectory`] or another [`StorageError`].
    fn list(
        &self,
        path: &RemotePath,
        after: Option<&str>,
        max: usize,
    ) -> Result<Page, StorageError>;

    /// Begins to read a whole directory, in one pass.
    ///
    /// # Errors
    /// As [`HomeStore::list`].
    fn scan(&self, path: &RemotePath) -> Result<Box<dyn Scan>, StorageError>;

    /// Opens a file for reading.
    ///
    /// # Errors
    /// [`StorageError::NotFound`], [`StorageError::IsDirectory`], [`StorageError::NotRegular`] or
    /// another [`StorageError`].
    fn source(&self, path: &RemotePath) -> Result<Arc<dyn Source>, StorageError>;

    /// Opens many files, one result for each. Those of one directory that follow one another cost
    /// less than each alone.
    fn sources(&self, paths: &[RemotePath]) -> Vec<Result<Arc<dyn Source>, StorageError>>;

    /// Asks for the right to write to `path`. An upload that has it is told to stop, through
    /// [`Upload::superseded`], and is not waited for here.
    ///
    /// # Errors
    /// [`StorageError::NotFound`] if the directory is missing; [`StorageError::IsDirectory`],
    /// [`StorageError::NotRegular`] for what has the name.
    fn lock_upload(&self, path: &RemotePath) -> Result<Box<dyn UploadLock>, StorageError>;

    /// Writes small files whole, in any order, and makes them durable together: as
    /// [`UploadLock::put`] for each. One result for each.
    ///
    /// [`StorageError::InUse`] for a name that something else is being written to, which is told to
    /// stop and not waited for.
    fn put_many(&self, files: &[SmallFile]) -> Vec<Result<(), StorageError>>;

    /// Makes a directory and, with `parents`, those above it; with `parents` it may be there.
    ///
    /// # Errors
    /// [`StorageError::Exists`] without `parents`; [`StorageError::NotFound`] if the one above is
    /// missing; [`StorageError::NotDirectory`] if something else is in the way;
    /// [`StorageError::TooDeep`].
    fn make_directory(&self, path: &RemotePath, parents: bool) -> Result<(), StorageError>;

    /// Removes a file, a link, a special file or an empty directory; with `recursive` a directory
    /// and all in it. Links are removed, never followed.
    ///
    /// A directory that is removed with all in it vanishes in one step before anything in it is
    /// deleted. Quota comes back file by file.
    ///
    /// # Errors
    /// [`StorageError::NotFound`], [`StorageError::NotEmpty`], [`StorageError::Root`] or another
    /// [`StorageError`]. If deleting fails half way, what remains stays invisible, goes on
    /// counting and is tried again when the home is next opened.
    fn remove(&self, path: &RemotePath, recursive: bool) -> Result<(), StorageError>;

    /// Gives a file, link or directory another name. With `replace` it takes the place of a file,
    /// or a directory that of an empty directory.
    ///
    /// # Errors
    /// [`StorageError::Exists`] without `replace`; [`StorageError::NotFound`];
    /// [`StorageError::IntoItself`]; [`StorageError::TooDeep`];
    /// [`StorageError::Root`]; [`StorageError::IsDirectory`],
    /// [`StorageError::NotDirectory`], [`StorageError::NotEmpty`], [`StorageError::NotRegular`]
    /// if what has the name cannot be replaced by this.
    fn rename(&self, from: &RemotePath, to: &RemotePath, replace: bool)
    -> Result<(), StorageError>;

    /// Gives a file or directory the time and permissions that `meta` names. The server can always
    /// read and write a file and enter a directory, as for uploads.
    ///
    /// # Errors
    /// [`StorageError::Root`] for the home itself; [`StorageError::NotFound`];
    /// [`StorageError::NotRegular`] for a link or special file.
    fn set_meta(&self, path: &RemotePath, meta: FileMeta) -> Result<(), StorageError>;

    /// The first `max` partials whose ids come after `after`, by id, and whether there are more.
    /// Those of uploads under way are among them; those outside of the part that is seen are not.
    ///
    /// # Errors
    /// Any [`StorageError`] of reading them.
    fn partials(
        &self,
        after: Option<&str>,
        max: usize,
    ) -> Result<(Vec<Partial>, bool), StorageError>;

    /// Removes a partial; its bytes are free again.
    ///
    /// # Errors
    /// [`StorageError::NotFound`]; [`StorageError::InUse`] while it is being filled.
    fn discard_partial(&self, id: &str) -> Result<(), StorageError>;
}

/// The right to write to one name, or the wait for it. Dropping it gives it up.
pub trait UploadLock: Send {
    /// Waits until whoever had the name has let go of it. Cancel safe.
    ///
    /// # Errors
    /// [`StorageError::Superseded`] if a newer one has asked meanwhile.
    fn acquired(&mut self) -> Acquired<'_>;

    /// Begins the upload, once the lock is acquired.
    ///
    /// A `size` is reserved whole now; if there is no room, only once something is written that the
    /// file which has the name does not hold: what is there already needs no room. Without a `size`
    /// the upload begins empty and reserves as it grows. A file that has the name keeps it, and
    /// counts, until [`Sink::commit`].
    ///
    /// # Errors
    /// [`StorageError::InUse`] if the lock is not acquired; [`StorageError::Quota`] and
    /// [`StorageError::DiskFull`] with the bytes short; others as [`HomeStore::lock_upload`].
    fn upload(
        self: Box<Self>,
        size: Option<u64>,
        meta: FileMeta,
    ) -> Result<Arc<dyn Upload>, StorageError>;

    /// Writes a small file whole, holding nothing from before, and makes it durable. A failure
    /// keeps no partial.
    ///
    /// # Errors
    /// As [`UploadLock::upload`] and [`Sink::commit`].
    fn put(self: Box<Self>, file: &SmallFile) -> Result<(), StorageError>;
}

/// See [`UploadLock::acquired`].
pub type Acquired<'a> = Pin<Box<dyn Future<Output = Result<(), StorageError>> + Send + 'a>>;

/// A file being uploaded into a home.
///
/// Permissions become those of its [`FileMeta`], else those of the file it replaces, else 0644
/// less the umask; the owner can always read and write it.
pub trait Upload: Sink {
    /// Cancelled when a newer upload to the same name waits for this one to be dropped.
    fn superseded(&self) -> CancellationToken;

    /// Keeps the version that has the name now on disk until it is dropped. Freeing a large one
    /// takes a while, and nobody need wait for that.
    fn replaced(&self) -> Box<dyn Any + Send>;

    /// After the commit: which version the file was then, whatever has its name now. `None` if that
    /// is not known.
    fn version(&self) -> Option<Version>;
}

/// A directory being read once, from its beginning to its end.
pub trait Scan: Send {
    /// The next `max` entries, sorted by nothing. What comes and goes meanwhile may be in or not.
    /// [`Page::hidden`] counts from the beginning.
    ///
    /// # Errors
    /// [`StorageError`] if the directory cannot be read on.
    fn next_page(&mut self, max: usize) -> Result<Page, StorageError>;
}
