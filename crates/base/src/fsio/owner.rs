//! Whose a new file is. What root makes in somebody else's directory is handed over to them: a
//! server that runs as that user must be able to read what its administrator wrote.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use super::disk;

/// Gives what was made just now in `directory` to the directory's owner, if this is root.
pub(super) fn hand_over(made: impl AsFd, directory: &Path) -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let (owner, own) = (rustix::fs::stat(directory)?, rustix::fs::fstat(&made)?);
    if owner.st_uid == own.st_uid {
        return Ok(());
    }
    let user = rustix::fs::Uid::from_raw(owner.st_uid);
    let group = rustix::fs::Gid::from_raw(owner.st_gid);
    disk::set_owner(made, user, group)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests look at what was written")]
mod tests {
    use std::os::unix::fs::{MetadataExt, chown};

    use crate::fsio::{
        AppendFile, create_directory, create_new, lock_exclusive, try_lock_exclusive, write_atomic,
    };

    #[test]
    fn what_root_makes_belongs_to_the_owner_of_the_directory() {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: only root can give files away");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        // Somebody else's file there stays so, and is not handed over: it was not made now.
        std::fs::write(at("old.lock"), "").unwrap();
        chown(dir.path(), Some(12345), Some(54321)).unwrap();
        write_atomic(&at("written"), b"x", 0o600).unwrap();
        write_atomic(&at("written"), b"y", 0o600).unwrap();
        create_new(&at("created"), b"x", 0o600).unwrap();
        create_directory(&at("directory"), 0o700).unwrap();
        create_new(&at("directory/inside"), b"x", 0o600).unwrap();
        AppendFile::create(&at("appended"), 0o600).unwrap();
        drop(lock_exclusive(&at(".lock")).unwrap());
        drop(try_lock_exclusive(&at("old.lock")).unwrap());
        for name in ["written", "created", "directory", "directory/inside", "appended", ".lock"] {
            let metadata = at(name).metadata().unwrap();
            assert_eq!((metadata.uid(), metadata.gid()), (12345, 54321), "{name}");
            assert_eq!(metadata.mode() & 0o077, 0, "{name}");
        }
        assert_eq!(at("old.lock").metadata().unwrap().uid(), 0);
    }
}
