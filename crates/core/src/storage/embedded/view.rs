//! The files of one account, and what one login sees of them.
//!
//! The directory handles of a home are private to this file and are reached through a [`Pass`],
//! which walks to the part of the home that the login sees. What a login may do there is not judged
//! here: that is for `service::home`.

use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use super::audit;
use super::counting::Counting;
use super::depth::{self, Depth};
use super::ledger::Ledger;
use super::locks::UploadLocks;
use super::names::{self, NOTE, PART};
use super::readers::{Identity, Readers};
use super::walk::Count;
use crate::storage::types::{Audit, Caps, Usage, View};
use sealane_base::files::StorageError;
use sealane_base::files::jail::{Directory, EntryKind, Facts};
use sealane_base::types::{RemotePath, Username};

/// One account's right to one home, as long as anyone has it open.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) owner: Username,
    pub(super) place: RemotePath,
    /// Locked for a step of counting, no longer.
    pub(super) opened: Mutex<Opened>,
}

impl Lease {
    pub(super) fn opened(&self) -> MutexGuard<'_, Opened> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What has become of a home that somebody has open, or wants to.
#[derive(Debug, Default)]
pub(super) struct Opened {
    pub(super) files: Weak<Files>,
    /// How far counting has come.
    pub(super) counting: Option<Counting>,
}

/// The files of one account, which all its logins share: one ledger, one table of upload locks.
#[derive(Debug)]
pub(super) struct Files {
    root: Directory,
    /// Partials and trash of this account: on the same file system, and no path names it.
    partials: Directory,
    ledger: Arc<Ledger>,
    locks: Arc<UploadLocks>,
    readers: Readers,
    /// That of the partials: no upload goes to another one.
    mount: (u64, u64),
    /// Held while a name is looked at and changed, so that the ledger follows each change and a
    /// count of the disk falls between two of them.
    names: Mutex<Depth>,
    trash_number: AtomicU64,
    /// Interrupted uploads that may be kept.
    most_partials: u64,
    _lease: Arc<Lease>,
}

/// An account's files, as one login sees them.
#[derive(Debug)]
pub(super) struct Seen {
    files: Arc<Files>,
    view: View,
}

/// The way to the files, for one operation.
#[derive(Clone, Debug)]
pub(super) struct Pass {
    files: Arc<Files>,
    /// The part of the home that is seen; `None` if all of it is.
    part: Option<Arc<Directory>>,
    view: View,
}

/// Keeps the bytes of one file counted, until dropped.
#[derive(Debug)]
pub(super) struct Reading {
    files: Arc<Files>,
    identity: Identity,
}

impl Reading {
    /// To be asked for once the file is open. One that lost its last name just before is not known
    /// here; so the caller looks whether it has one still.
    fn begin(files: &Arc<Files>, identity: Identity) -> Self {
        files.readers.enter(identity);
        Self { files: Arc::clone(files), identity }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.files.readers.leave(self.identity, &self.files.ledger);
    }
}

impl Seen {
    /// Makes the part of the home that is seen, if it is missing, as homes are made.
    pub(super) fn new(files: Arc<Files>, view: View) -> Result<Self, StorageError> {
        files.make_part(&view.root)?;
        Ok(Self { files, view })
    }

    /// The part of the home is walked anew each time: what has its name now counts.
    pub(super) fn pass(&self) -> Result<Pass, StorageError> {
        let (files, view) = (Arc::clone(&self.files), self.view.clone());
        let part = match view.root.is_root() {
            true => None,
            false => Some(Arc::new(files.root.descend(&view.root)?)),
        };
        Ok(Pass { files, part, view })
    }

    /// What the account uses.
    pub(super) fn usage(&self) -> Usage {
        self.files.ledger.usage()
    }
}

impl Pass {
    /// The directory that is `/` for this login.
    pub(super) fn root(&self) -> &Directory {
        self.part.as_deref().unwrap_or(&self.files.root)
    }

    pub(super) fn partials(&self) -> &Directory {
        &self.files.partials
    }

    pub(super) fn ledger(&self) -> &Arc<Ledger> {
        &self.files.ledger
    }

    pub(super) fn locks(&self) -> &Arc<UploadLocks> {
        &self.files.locks
    }

    pub(super) fn lock_names(&self) -> MutexGuard<'_, Depth> {
        self.files.lock_names()
    }

    /// How many levels below the home `directory` lies now. Names must be locked.
    pub(super) fn level(&self, directory: &Directory) -> Result<usize, StorageError> {
        depth::level(&self.files.root, directory)
    }

    /// Nothing, if a partial can get a name in `directory`.
    pub(super) fn require_same_mount(&self, directory: &Directory) -> Result<(), StorageError> {
        if directory.mount()? == self.files.mount {
            return Ok(());
        }
        Err(StorageError::OtherFileSystem)
    }

    /// Opens a file for reading; what it takes counts until that is dropped.
    pub(super) fn open(
        &self,
        directory: &Directory,
        name: impl rustix::path::Arg,
    ) -> Result<(File, Facts, Reading), StorageError> {
        let (file, facts) = directory.file(name)?;
        let reading = Reading::begin(&self.files, facts.identity);
        // Removed in this very moment, and refunded.
        if Facts::of(&file)?.links == 0 {
            return Err(StorageError::NotFound);
        }
        Ok((file, facts, reading))
    }

    /// A name of the file that `facts` are about is gone. Gives the bytes that do not count any
    /// more.
    pub(super) fn gone(&self, facts: &Facts) -> u64 {
        self.files.readers.gone(facts)
    }

    /// Makes a directory, durably, and counts it.
    pub(super) fn make_directory(
        &self,
        holder: &Directory,
        name: &str,
    ) -> Result<(), StorageError> {
        {
            let mut depth = self.lock_names();
            depth.make(self.level(holder)?)?;
            self.ledger().add_name()?;
            holder.make(name, 0o777).inspect_err(|_| self.ledger().remove_name(0))?;
        }
        holder.sync().inspect_err(|_| {
            // One that may not last would be taken by a later attempt for one that does.
            let _names = self.lock_names();
            if holder.remove_directory(name).is_ok() {
                self.ledger().remove_name(0);
            }
        })
    }

    /// Nothing, if one upload more may be begun that can be interrupted. Those under way do not
    /// count: they are bounded by what sessions may have under way.
    pub(super) fn require_place_for_partial(&self) -> Result<(), StorageError> {
        let (_, under_way) = self.ledger().snapshot();
        let mut kept = 0;
        for name in self.partials().names()? {
            let name = name?;
            let stem = names::stem_in(&name);
            kept += u64::from(stem.is_some_and(|stem| !under_way.contains(stem)));
        }
        let limit = self.files.most_partials;
        if kept < limit { Ok(()) } else { Err(StorageError::TooManyPartials { limit }) }
    }

    pub(super) fn next_trash(&self) -> u64 {
        self.files.trash_number.fetch_add(1, Ordering::Relaxed)
    }

    /// `path` as the whole home knows it, so that all logins of an account mean the same by it.
    pub(super) fn whole(&self, path: &RemotePath) -> Result<RemotePath, StorageError> {
        Ok(self.view.root.prefix(path)?)
    }

    /// A path of the whole home as this login knows it, if that may know of it.
    pub(super) fn own(&self, whole: &RemotePath) -> Option<RemotePath> {
        self.view.root.strip(whole)
    }

    /// True if this login sees the whole home.
    pub(super) fn is_whole(&self) -> bool {
        self.view.root.is_root()
    }

    /// Whose uploads are kept apart from those of others, if they are.
    pub(super) fn keeps_apart(&self) -> Option<&str> {
        self.view.apart.as_deref()
    }
}

impl Files {
    /// Those in `root`, with partials in `partials`, where `used` was counted.
    pub(super) fn new(
        (root, partials): (Directory, Directory),
        used: Count,
        limit: u64,
        caps: Caps,
        lease: Arc<Lease>,
    ) -> Result<Self, StorageError> {
        let mount = partials.mount()?;
        Ok(Self {
            root,
            partials,
            ledger: Ledger::of(used, limit, caps.files),
            locks: Arc::default(),
            readers: Readers::default(),
            mount,
            names: Mutex::new(Depth { deepest: used.levels }),
            trash_number: AtomicU64::new(0),
            most_partials: caps.partials,
            _lease: lease,
        })
    }

    /// Makes `part` of the home, as homes are made, if it is missing.
    fn make_part(&self, part: &RemotePath) -> Result<(), StorageError> {
        if part.is_root() || self.root.descend(part).is_ok() {
            return Ok(());
        }
        // Nothing is moved meanwhile: it becomes as deep as its path says.
        let mut depth = self.lock_names();
        let mut here = self.root.descend(&RemotePath::default())?;
        for (level, name) in part.components().enumerate() {
            depth.make(level)?;
            here = here.child_or_make(name, 0o777)?;
        }
        Ok(())
    }

    pub(super) fn set_limit(&self, limit: u64) {
        self.ledger.set_limit(limit);
    }

    /// Removes partials that were last written to before `older_than`, unless something is being
    /// uploaded. Gives how many. The server does this by itself, for nobody.
    pub(super) fn sweep(&self, older_than: SystemTime) -> Result<u64, StorageError> {
        let sweep_now = || {
            let _names = self.lock_names();
            sweep(&self.partials, &self.ledger, older_than)
        };
        self.locks.while_idle(sweep_now).unwrap_or(Ok(0))
    }

    /// Holds the disk against the ledger, which `repair` sets right. The administrator asks, for
    /// nobody.
    pub(super) fn audit(&self, repair: bool) -> Result<Audit, StorageError> {
        let mut depth = self.lock_names();
        let places = (&self.root, &self.partials);
        let (audit, deepest) = audit::against_ledger(places, &self.ledger, &self.readers, repair)?;
        depth.deepest = deepest;
        Ok(audit)
    }

    fn lock_names(&self) -> MutexGuard<'_, Depth> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes partials and their notes that were last written to before `older_than`, and notes of
/// none.
pub(super) fn sweep(
    partials: &Directory,
    ledger: &Ledger,
    older_than: SystemTime,
) -> Result<u64, StorageError> {
    let oldest = older_than.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let oldest = i64::try_from(oldest).unwrap_or(i64::MAX);
    let mut swept = 0;
    for name in partials.names()? {
        let name = name?;
        let Ok(text) = name.to_str() else { continue };
        let Some(facts) = partials.look(text)? else { continue };
        if facts.kind != EntryKind::File || facts.modified >= oldest {
            continue;
        }
        if let Some(stem) = text.strip_suffix(PART) {
            partials.unlink(text)?;
            ledger.refund(facts.size);
            swept += 1;
            let _ = partials.unlink(format!("{stem}{NOTE}"));
        } else if let Some(stem) = text.strip_suffix(NOTE)
            && partials.look(format!("{stem}{PART}"))?.is_none()
        {
            // Its removal failed, or was lost when the power was cut.
            partials.unlink(text)?;
        }
    }
    Ok(swept)
}
