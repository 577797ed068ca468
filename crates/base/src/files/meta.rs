//! Modes, times and groups of files and directories, as they are given to open ones.

use std::fs::File;
use std::os::fd::AsFd;
use std::sync::OnceLock;

use rustix::fs::{Mode, Timespec, Timestamps, UTIME_OMIT};

use super::jail::{Directory, EntryKind, Facts};
use super::{FileMeta, StorageError};
use crate::fsio::disk;

/// Of a directory: what is made in it has its group.
const SET_GROUP_ID: u32 = 0o2000;

/// Gives the file the group that one made in `directory` would have: it was made elsewhere. As far
/// as the system lets us, who must be in that group.
pub(super) fn inherit_group(file: &File, directory: &Directory) -> Result<(), StorageError> {
    let place = directory.facts()?;
    if place.special & SET_GROUP_ID != 0 && Facts::of(file)?.group != place.group {
        let _ = disk::set_group(file, place.group);
    }
    Ok(())
}

/// Gives an open file or directory the permissions and time that `meta` names.
pub fn set_meta(file: impl AsFd, meta: FileMeta) -> Result<(), StorageError> {
    if let Some(mode) = meta.mode {
        let facts = Facts::of(&file)?;
        // Who made a directory set-group-id or sticky meant what comes into it.
        let kept = if facts.kind == EntryKind::Directory { facts.special } else { 0 };
        disk::set_mode(&file, kept | mode & 0o777)?;
    }
    if let Some(nanoseconds) = meta.modified {
        disk::set_times(&file, &times(nanoseconds))?;
    }
    Ok(())
}

fn times(modified: i64) -> Timestamps {
    let second = 1_000_000_000;
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec {
            tv_sec: modified.div_euclid(second),
            tv_nsec: modified.rem_euclid(second),
        },
    }
}

/// The bits that this process takes away from new files.
///
/// It can only be asked for by setting it, which happens once and to the strictest value, so that
/// a file created by another thread in that instant is too private rather than too public.
pub fn umask() -> u32 {
    static UMASK: OnceLock<u32> = OnceLock::new();
    *UMASK.get_or_init(|| {
        let mask = rustix::process::umask(Mode::from_raw_mode(0o077));
        rustix::process::umask(mask);
        mask.as_raw_mode() & 0o777
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_keep_their_order() {
        let before = times(-1).last_modification;
        assert_eq!((before.tv_sec, before.tv_nsec), (-1, 999_999_999));
    }
}
