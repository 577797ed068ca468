//! The one place where permissions are enforced: what can be done to a home, and what each of that
//! needs.
//!
//! A [`Home`] wraps what a store opened and is made by a login only. Each method names an
//! [`Operation`], an operation names the [`Permission`] it needs, and the store behind is reached
//! through that name alone; so an operation without a permission does not compile.

use std::sync::Arc;

use sealane_base::files::{FileMeta, SmallFile, Source, StorageError};
use sealane_base::types::{Grant, Permission, RemotePath};

use crate::storage::{Entry, HomeStore, Page, Partial, Scan, UploadLock, Usage, View};

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident needs $permission:ident;)*) => {
        /// Everything that can be done to a home.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Operation { $($(#[$doc])* $name,)* }

        impl Operation {
            /// Every operation there is.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The permission it needs.
            #[must_use]
            pub const fn needs(self) -> Permission {
                match self { $(Self::$name => Permission::$permission,)* }
            }
        }
    };
}

operations! {
    /// Remove what an interrupted upload left.
    DiscardPartial needs Write;
    /// Look into a directory.
    List needs List;
    /// Make a directory.
    MakeDirectory needs Write;
    /// See what interrupted uploads left.
    Partials needs List;
    /// Read a file, be it for its digest only.
    Read needs Read;
    /// Have the server sign what a file holds; only for those who see the whole home.
    Receipt needs Read;
    /// Remove files and directories.
    Remove needs Write;
    /// Give something another name, perhaps in place of a file.
    Rename needs Write;
    /// Change the time and permissions of a file or directory.
    SetMeta needs Write;
    /// See what one path is.
    Stat needs List;
    /// Bring a file, perhaps in place of another.
    Upload needs Write;
    /// See how much is used and allowed.
    Usage needs List;
}

/// An account's files, as far as they were granted to a login. All methods block and may be called
/// from any thread; each is [`StorageError::Forbidden`] without the permission its [`Operation`]
/// needs, and else does what the method of [`HomeStore`] with the same name does.
#[derive(Debug)]
pub struct Home {
    store: Arc<dyn HomeStore>,
    grant: Grant,
}

/// One of many files.
type Opened = Result<Arc<dyn Source>, StorageError>;

/// What a grant lets its holder see.
pub(crate) fn view_of(grant: &Grant) -> View {
    let may_read = grant.permissions.allows(Permission::Read);
    let apart = (!may_read).then(|| grant.key.map_or_else(String::new, |key| key.to_string()));
    View { root: grant.root.clone(), apart }
}

#[expect(clippy::missing_errors_doc, reason = "the type says what each method fails with")]
impl Home {
    pub(crate) fn new(store: Arc<dyn HomeStore>, grant: Grant) -> Self {
        Self { store, grant }
    }

    fn may(&self, operation: Operation) -> Result<&dyn HomeStore, StorageError> {
        let is_allowed = self.grant.permissions.allows(operation.needs());
        if is_allowed { Ok(&*self.store) } else { Err(StorageError::Forbidden) }
    }

    /// What the account uses, has reserved, and may use.
    pub fn usage(&self) -> Result<Usage, StorageError> {
        self.may(Operation::Usage)?.usage()
    }

    /// As [`Home::usage`], for the server's administrator: never to be told to the holder of the
    /// home.
    pub fn usage_for_administrator(&self) -> Result<Usage, StorageError> {
        self.store.usage()
    }

    /// What `path` is.
    pub fn stat(&self, path: &RemotePath) -> Result<Entry, StorageError> {
        self.may(Operation::Stat)?.stat(path)
    }

    /// A page of a directory, sorted by name.
    pub fn list(
        &self,
        path: &RemotePath,
        after: Option<&str>,
        max: usize,
    ) -> Result<Page, StorageError> {
        self.may(Operation::List)?.list(path, after, max)
    }

    /// Begins to read a whole directory.
    pub fn scan(&self, path: &RemotePath) -> Result<Box<dyn Scan>, StorageError> {
        self.may(Operation::List)?.scan(path)
    }

    /// Opens a file for reading.
    pub fn source(&self, path: &RemotePath) -> Result<Arc<dyn Source>, StorageError> {
        self.may(Operation::Read)?.source(path)
    }

    /// Opens many files for reading.
    pub fn sources(&self, paths: &[RemotePath]) -> Result<Vec<Opened>, StorageError> {
        Ok(self.may(Operation::Read)?.sources(paths))
    }

    /// Opens a file for a receipt. A receipt names a path of the account, and a login that sees a
    /// part of the home knows another one: for those it is [`StorageError::Forbidden`].
    pub fn source_for_receipt(&self, path: &RemotePath) -> Result<Arc<dyn Source>, StorageError> {
        let store = self.may(Operation::Receipt)?;
        if self.grant.root.is_root() { store.source(path) } else { Err(StorageError::Forbidden) }
    }

    /// Asks for the right to write to a file. [`Login::upload`](super::Login::upload) waits for it.
    pub fn lock_upload(&self, path: &RemotePath) -> Result<Box<dyn UploadLock>, StorageError> {
        self.may(Operation::Upload)?.lock_upload(path)
    }

    /// Stores small files whole, durable together; one result for each. One that is
    /// [`StorageError::InUse`] is for [`Login::put`](super::Login::put).
    pub fn put_many(
        &self,
        files: &[SmallFile],
    ) -> Result<Vec<Result<(), StorageError>>, StorageError> {
        Ok(self.may(Operation::Upload)?.put_many(files))
    }

    /// Makes a directory.
    pub fn make_directory(&self, path: &RemotePath, parents: bool) -> Result<(), StorageError> {
        self.may(Operation::MakeDirectory)?.make_directory(path, parents)
    }

    /// Removes a file or directory.
    pub fn remove(&self, path: &RemotePath, recursive: bool) -> Result<(), StorageError> {
        self.may(Operation::Remove)?.remove(path, recursive)
    }

    /// Gives something another name.
    pub fn rename(
        &self,
        from: &RemotePath,
        to: &RemotePath,
        replace: bool,
    ) -> Result<(), StorageError> {
        self.may(Operation::Rename)?.rename(from, to, replace)
    }

    /// Changes time and mode.
    pub fn set_meta(&self, path: &RemotePath, meta: FileMeta) -> Result<(), StorageError> {
        self.may(Operation::SetMeta)?.set_meta(path, meta)
    }

    /// A page of what interrupted uploads left, and whether there is more.
    pub fn partials(
        &self,
        after: Option<&str>,
        max: usize,
    ) -> Result<(Vec<Partial>, bool), StorageError> {
        self.may(Operation::Partials)?.partials(after, max)
    }

    /// Removes what an interrupted upload left.
    pub fn discard_partial(&self, id: &str) -> Result<(), StorageError> {
        self.may(Operation::DiscardPartial)?.discard_partial(id)
    }
}
