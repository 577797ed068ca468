//! Handles to directories: the only way this room reaches a file.
//!
//! A path is walked one component at a time, each opened relative to the handle before it and
//! never through a symbolic link; every change is a parent handle plus one component. Components
//! come from [`RemotePath`] or from a directory that was just read, so none is `..`. There is
//! nothing to escape through, and no race to win: a link swapped in is refused by the kernel in
//! the same call that opens. It knows no quota and no homes.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, Stat};
use rustix::path::Arg;

use super::{StorageError, Version};
use crate::fsio::disk;
use crate::types::RemotePath;

/// `NONBLOCK` so that no FIFO or device can hold a thread before it was looked at.
const NEVER: OFlags =
    OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link: listed and removable, never followed.
    Symlink,
    /// A FIFO, socket or device: listed and removable, never opened.
    Special,
}

/// What the system knows about one file, in types that are the same on every Unix.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// What it is.
    pub kind: EntryKind,
    /// Bytes; 0 for all but regular files.
    pub size: u64,
    /// Permission bits, `0o777` at most.
    pub mode: u32,
    /// Set-id and sticky bits, `0o7000` at most. They do not travel.
    pub special: u32,
    /// Its group.
    pub group: u32,
    /// When its content changed, in nanoseconds since 1970.
    pub modified: i64,
    /// When its inode changed, in nanoseconds since 1970.
    pub changed: i64,
    /// Device and inode: which file this is, whatever it is called.
    pub identity: (u64, u64),
    /// How many names it has.
    pub links: u64,
    /// The id of the user it belongs to.
    pub owner: u32,
}

impl Facts {
    /// About an open file.
    pub fn of(file: impl AsFd) -> Result<Self, StorageError> {
        Ok(Self::from(fs::fstat(file)?))
    }

    /// Which state of which file this is. A change of time, permissions or name makes another one.
    #[must_use]
    pub fn version(&self) -> Version {
        let (device, inode) = self.identity;
        let numbers = [device, inode, self.size].map(u64::to_le_bytes);
        let times = [self.modified, self.changed].map(i64::to_le_bytes);
        let digest = blake3::hash(&[numbers.as_flattened(), times.as_flattened()].concat());
        let mut version = Version::default();
        for (to, from) in version.0.iter_mut().zip(digest.as_bytes()) {
            *to = *from;
        }
        version
    }

    /// Nothing, unless this is a regular file.
    pub fn require_file(&self) -> Result<(), StorageError> {
        match self.kind {
            EntryKind::File => Ok(()),
            EntryKind::Directory => Err(StorageError::IsDirectory),
            EntryKind::Symlink | EntryKind::Special => Err(StorageError::NotRegular),
        }
    }
}

impl From<Stat> for Facts {
    fn from(stat: Stat) -> Self {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => EntryKind::File,
            FileType::Directory => EntryKind::Directory,
            FileType::Symlink => EntryKind::Symlink,
            _ => EntryKind::Special,
        };
        Self {
            kind,
            size: if kind == EntryKind::File { unsigned(stat.st_size) } else { 0 },
            mode: Mode::from_raw_mode(stat.st_mode).as_raw_mode() & 0o777,
            special: Mode::from_raw_mode(stat.st_mode).as_raw_mode() & 0o7000,
            group: stat.st_gid,
            modified: nanoseconds(signed(stat.st_mtime), signed(stat.st_mtime_nsec)),
            changed: nanoseconds(signed(stat.st_ctime), signed(stat.st_ctime_nsec)),
            identity: (unsigned(stat.st_dev), unsigned(stat.st_ino)),
            links: unsigned(stat.st_nlink),
            owner: stat.st_uid,
        }
    }
}

/// The fields of `Stat` differ in width and sign from one system to the next.
fn unsigned(value: impl TryInto<u64>) -> u64 {
    value.try_into().unwrap_or(0)
}

fn signed(value: impl TryInto<i64>) -> i64 {
    value.try_into().unwrap_or(0)
}

fn nanoseconds(seconds: i64, rest: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}

/// An open directory.
#[derive(Debug)]
pub struct Directory(OwnedFd);

impl Directory {
    /// Opens a directory of this machine by its path, following links: for roots that an
    /// administrator or the user's own command line names, never for a peer's path.
    pub fn open_root(path: &Path) -> Result<Self, StorageError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(fs::open(path, flags, Mode::empty())?))
    }

    /// Opens the directory `name` in this one.
    pub fn child(&self, name: impl Arg) -> Result<Self, StorageError> {
        let flags = NEVER | OFlags::RDONLY | OFlags::DIRECTORY;
        Ok(Self(fs::openat(&self.0, name, flags, Mode::empty())?))
    }

    /// Opens the directory that holds this one. The caller compares [`Directory::identity`] with
    /// what it expects: the answer is wherever this directory is *now*.
    pub fn parent(&self) -> Result<Self, StorageError> {
        self.child("..")
    }

    /// Opens the directory `path` below this one; this one itself for the empty path.
    pub fn descend(&self, path: &RemotePath) -> Result<Self, StorageError> {
        let mut here = Self(self.0.try_clone()?);
        for name in path.components() {
            here = here.child(name)?;
        }
        Ok(here)
    }

    /// Opens the directory that holds `path`, and gives the last component.
    pub fn holder<'path>(
        &self,
        path: &'path RemotePath,
    ) -> Result<(Self, &'path str), StorageError> {
        let (Some(parent), Some(name)) = (path.parent(), path.name()) else {
            return Err(StorageError::Root);
        };
        Ok((self.descend(&parent)?, name))
    }

    /// What the system knows about this directory.
    pub fn facts(&self) -> Result<Facts, StorageError> {
        Facts::of(&self.0)
    }

    /// Device and inode of this directory.
    pub fn identity(&self) -> Result<(u64, u64), StorageError> {
        Ok(self.facts()?.identity)
    }

    /// Which mount this directory lies in: files are not renamed from one to another, be they of
    /// the same device.
    pub fn mount(&self) -> Result<(u64, u64), StorageError> {
        let device = self.identity()?.0;
        #[cfg(target_os = "linux")]
        {
            // A kernel before 5.8 does not say; then the device must do.
            let flags = fs::StatxFlags::MNT_ID;
            let known = fs::statx(&self.0, "", AtFlags::EMPTY_PATH, flags);
            let known = known.ok().filter(|known| known.stx_mask & flags.bits() != 0);
            Ok((device, known.map_or(0, |known| known.stx_mnt_id)))
        }
        #[cfg(not(target_os = "linux"))]
        Ok((device, 0))
    }

    /// Opens a regular file for reading.
    pub fn file(&self, name: impl Arg) -> Result<(File, Facts), StorageError> {
        self.regular(name, OFlags::RDONLY, Mode::empty())
    }

    /// Opens a regular file for reading and writing; it is created with mode 0600 if missing.
    ///
    /// Refuses one that another user owns or that has a second name: writing to it would write
    /// to, or publish, a file that is not ours.
    pub fn private_file(&self, name: impl Arg) -> Result<(File, Facts), StorageError> {
        let (file, facts) =
            self.regular(name, OFlags::RDWR | OFlags::CREATE, Mode::from_raw_mode(0o600))?;
        if facts.links > 1 || facts.owner != rustix::process::geteuid().as_raw() {
            return Err(StorageError::Denied);
        }
        Ok((file, facts))
    }

    /// Creates a file that must not exist yet, with mode 0600.
    pub fn new_file(&self, name: impl Arg) -> Result<File, StorageError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        Ok(self.regular(name, flags, Mode::from_raw_mode(0o600))?.0)
    }

    fn regular(
        &self,
        name: impl Arg,
        flags: OFlags,
        mode: Mode,
    ) -> Result<(File, Facts), StorageError> {
        let flags = flags | NEVER;
        let file = match flags.contains(OFlags::CREATE) {
            true => disk::open(&self.0, name, flags, mode)?,
            false => fs::openat(&self.0, name, flags, mode)?,
        };
        let facts = Facts::of(&file)?;
        facts.require_file()?;
        Ok((File::from(file), facts))
    }

    /// Gives the owner access to a file or directory of ours whose mode denies it to us: such a one
    /// cannot be opened to give it another mode.
    pub(super) fn give_access(&self, name: impl Arg) -> Result<(), StorageError> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = fs::openat(&self.0, name, flags, Mode::empty())?;
        let facts = Facts::of(&handle)?;
        let access = match facts.kind {
            EntryKind::File => 0o600,
            EntryKind::Directory => 0o700,
            EntryKind::Symlink | EntryKind::Special => return Err(StorageError::NotRegular),
        };
        // Such a handle can be named, not used.
        let place = format!("/proc/self/fd/{}", handle.as_raw_fd());
        disk::set_mode_at(place, facts.special | facts.mode | access)
            .map_err(|_| StorageError::Denied)
    }

    /// What `name` is, itself and not what it points to; `None` if nothing has that name.
    pub fn look(&self, name: impl Arg) -> Result<Option<Facts>, StorageError> {
        match fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat.into())),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Makes a directory; `mode` is cut by the umask.
    pub fn make(&self, name: impl Arg, mode: u32) -> Result<(), StorageError> {
        Ok(disk::make_directory(&self.0, name, mode)?)
    }

    /// Makes a directory as [`Directory::make`] does, durably.
    pub fn make_durably(&self, name: impl Arg + Copy, mode: u32) -> Result<(), StorageError> {
        self.make(name, mode)?;
        // One that may not last would be taken by a later attempt for one that does.
        self.sync().inspect_err(|_| drop(self.remove_directory(name)))
    }

    /// Opens the directory `name`, made with `mode` if it is missing.
    pub fn child_or_make(&self, name: impl Arg + Copy, mode: u32) -> Result<Self, StorageError> {
        match self.make_durably(name, mode) {
            Ok(()) | Err(StorageError::Exists) => {}
            Err(error) => return Err(error),
        }
        self.child(name)
    }

    /// Removes a name that is not a directory.
    pub fn unlink(&self, name: impl Arg) -> Result<(), StorageError> {
        Ok(disk::unlink(&self.0, name)?)
    }

    /// Removes an empty directory.
    pub fn remove_directory(&self, name: impl Arg) -> Result<(), StorageError> {
        Ok(disk::remove_directory(&self.0, name)?)
    }

    /// Gives what is called `from` here the name `to` in `target`. What had that name is gone in
    /// the same step, or stops it if `replace` is false.
    pub fn rename(
        &self,
        from: impl Arg,
        target: &Self,
        to: impl Arg,
        replace: bool,
    ) -> Result<(), StorageError> {
        let outcome = match replace {
            true => disk::rename(&self.0, from, &target.0, to),
            false => disk::rename_new(&self.0, from, &target.0, to),
        };
        Ok(outcome?)
    }

    /// Makes names that came and went here durable.
    pub fn sync(&self) -> Result<(), StorageError> {
        Ok(disk::sync_directory(&self.0)?)
    }

    /// Bytes that an unprivileged user may still write on this file system.
    pub fn free(&self) -> Result<u64, StorageError> {
        let disk = fs::fstatvfs(&self.0)?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// The names in this directory, in the system's order, without `.` and `..`.
    pub fn names(&self) -> Result<Names, StorageError> {
        Ok(Names(fs::Dir::read_from(&self.0)?))
    }
}

/// The names in a directory that is being read: see [`Directory::names`].
#[derive(Debug)]
pub struct Names(fs::Dir);

impl Iterator for Names {
    type Item = Result<CString, StorageError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.0.next()? {
                Ok(entry) if matches!(entry.file_name().to_bytes(), b"." | b"..") => {}
                Ok(entry) => return Some(Ok(entry.file_name().to_owned())),
                Err(errno) => return Some(Err(errno.into())),
            }
        }
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
