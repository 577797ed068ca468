//! Every call that changes a file system: what `fsio` and `storage` create, write, sync, name and
//! remove goes through here, and nothing else does.
//!
//! Each function is one call of the system and decides nothing. Reading, looking and locking are
//! not here. Callers name this module `disk`: in unit tests another one stands in its place
//! (`rehearsal`), which can fail any call and writes all of them down.

#![expect(clippy::missing_errors_doc, reason = "each function fails as its system call does")]

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

use rustix::fs::{self, AtFlags, Gid, Mode, OFlags, Timestamps, Uid};
use rustix::path::Arg;

/// Opens `name` in `directory`; for flags that may create it.
pub fn open(
    directory: impl AsFd,
    name: impl Arg,
    flags: OFlags,
    mode: Mode,
) -> io::Result<OwnedFd> {
    Ok(fs::openat(directory, name, flags, mode)?)
}

/// Writes all of `bytes` at `offset`. If that fails, a part of them may have been written.
pub fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    file.write_all_at(bytes, offset)
}

/// Adds all of `bytes` where the last ones ended. If that fails, a part of them may have been
/// added.
pub fn append(mut file: &File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)
}

/// Copies `reader` to its end into a nameless file.
pub fn spool(reader: &mut impl Read, mut file: &File) -> io::Result<u64> {
    io::copy(reader, &mut file)
}

/// Lets an empty file share what `present` holds on disk, if the file system can.
pub fn share(file: &File, present: &File) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    return Ok(fs::ioctl_ficlone(file, present)?);
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    return Err(io::ErrorKind::Unsupported.into());
}

/// Cuts a file, or extends it with zeros.
pub fn set_length(file: &File, length: u64) -> io::Result<()> {
    file.set_len(length)
}

/// Permission bits of an open file or directory.
pub fn set_mode(file: impl AsFd, mode: u32) -> io::Result<()> {
    Ok(fs::fchmod(file, Mode::from_raw_mode(mode))?)
}

/// Permission bits of what `path` names.
pub fn set_mode_at(path: impl Arg, mode: u32) -> io::Result<()> {
    Ok(fs::chmodat(fs::CWD, path, Mode::from_raw_mode(mode), AtFlags::empty())?)
}

/// Group of an open file.
pub fn set_group(file: impl AsFd, group: u32) -> io::Result<()> {
    Ok(fs::fchown(file, None, Some(Gid::from_raw(group)))?)
}

/// Times of an open file or directory.
pub fn set_times(file: impl AsFd, times: &Timestamps) -> io::Result<()> {
    Ok(fs::futimens(file, times)?)
}

/// Owner of an open file or directory.
pub fn set_owner(file: impl AsFd, user: Uid, group: Gid) -> io::Result<()> {
    Ok(fs::fchown(file, Some(user), Some(group))?)
}

/// Brings what a file holds, its length and its mode to the disk.
pub fn sync(file: &File) -> io::Result<()> {
    file.sync_all()
}

/// Brings what a file holds and its length to the disk.
pub fn sync_data(file: &File) -> io::Result<()> {
    file.sync_data()
}

/// Brings the names in a directory to the disk.
pub fn sync_directory(directory: impl AsFd) -> io::Result<()> {
    Ok(fs::fsync(directory)?)
}

/// Brings everything on the file system of `file` to the disk, if the system can say that it did.
pub fn sync_file_system(file: &File) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    return Ok(fs::syncfs(file)?);
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        let _ = file;
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Gives what is called `old` in `from` the name `new` in `to`; what had that name is gone in the
/// same step.
pub fn rename(from: impl AsFd, old: impl Arg, to: impl AsFd, new: impl Arg) -> io::Result<()> {
    Ok(fs::renameat(from, old, to, new)?)
}

/// As [`rename`], unless something has that name.
pub fn rename_new(from: impl AsFd, old: impl Arg, to: impl AsFd, new: impl Arg) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    fs::renameat_with(from, old, to, new, fs::RenameFlags::NOREPLACE)?;
    // Elsewhere the caller has looked, under the lock that all changes of a home take.
    #[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
    fs::renameat(from, old, to, new)?;
    Ok(())
}

/// Gives the file `old` a second name, `new`, unless something has that.
pub fn link(from: impl AsFd, old: impl Arg, to: impl AsFd, new: impl Arg) -> io::Result<()> {
    Ok(fs::linkat(from, old, to, new, AtFlags::empty())?)
}

/// Removes a name that is not a directory.
pub fn unlink(directory: impl AsFd, name: impl Arg) -> io::Result<()> {
    Ok(fs::unlinkat(directory, name, AtFlags::empty())?)
}

/// Removes an empty directory.
pub fn remove_directory(directory: impl AsFd, name: impl Arg) -> io::Result<()> {
    Ok(fs::unlinkat(directory, name, AtFlags::REMOVEDIR)?)
}

/// Makes a directory; `mode` is cut by the umask.
pub fn make_directory(directory: impl AsFd, name: impl Arg, mode: u32) -> io::Result<()> {
    Ok(fs::mkdirat(directory, name, Mode::from_raw_mode(mode))?)
}
