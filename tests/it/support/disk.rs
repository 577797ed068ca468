//! A file system of its own, small, for tests of what happens when it is full.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::stderr;

const PAGE: u64 = 4096;

/// A small file system over a directory, until dropped.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// One of `size`, such as `128k`; or why there is none.
    pub fn over(directory: &Path, size: &str) -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("a small disk needs root".into());
        }
        let disk = Self(directory.to_owned());
        disk.mount(&format!("size={size},mode=700")).map(|()| disk)
    }

    /// Changes it while it is in use: `size=8m`, `nr_inodes=40`.
    pub fn change(&self, option: &str) {
        self.mount(&format!("remount,{option}")).unwrap();
    }

    fn mount(&self, options: &str) -> Result<(), String> {
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&self.0);
        let output = command.output().map_err(|error| format!("mount: {error}"))?;
        if output.status.success() { Ok(()) } else { Err(stderr(&output).trim().to_owned()) }
    }

    /// Leaves no room at all, until the file that it returns is removed.
    pub fn fill(&self) -> PathBuf {
        let filler = self.0.join("filler");
        let _ = std::fs::write(&filler, vec![0; 1 << 20]);
        filler
    }

    /// Leaves room for so many bytes, in whole pages, until the file that it returns is removed.
    pub fn fill_but(&self, free: u64) -> PathBuf {
        let filler = self.0.join("filler");
        let room = self.facts().f_bavail * PAGE;
        std::fs::write(&filler, vec![0; room.saturating_sub(free) as usize]).unwrap();
        filler
    }

    /// Files and directories in it.
    pub fn inodes(&self) -> u64 {
        let facts = self.facts();
        facts.f_files - facts.f_ffree
    }

    fn facts(&self) -> rustix::fs::StatVfs {
        rustix::fs::statvfs(&self.0).unwrap()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}
