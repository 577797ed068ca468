//! What a scenario did to the programs and what it looked at afterwards, for `scripts/torture`,
//! which adds up the lines that all of them leave.

use std::fmt::Debug;
use std::io::Write;

/// One scenario's figures. They are written down when it is dropped, also by an assertion that
/// failed.
#[derive(Debug, Default)]
pub struct Tally {
    /// Programs that `SIGKILL` found at work.
    pub kills: u64,
    /// Times that the machine failed a program: calls, room, files, standing still, a clock that
    /// jumps.
    pub faults: u64,
    /// Connections that were cut, changed or stalled.
    pub links: u64,
    files: u64,
    accounts: u64,
    quotas: u64,
    losses: u64,
}

impl Tally {
    /// A file was looked at: whether it is what it may be.
    #[track_caller]
    pub fn file(&mut self, holds: bool, what: impl Debug) {
        self.files += 1;
        self.require(holds, &what);
    }

    /// An account was looked at: whether its record can be read and its password logs in.
    #[track_caller]
    pub fn account(&mut self, holds: bool, what: impl Debug) {
        self.accounts += 1;
        self.require(holds, &what);
    }

    /// A ledger was held against the disk.
    #[track_caller]
    pub fn quota(&mut self, holds: bool, what: impl Debug) {
        self.quotas += 1;
        self.require(holds, &what);
    }

    #[track_caller]
    fn require(&mut self, holds: bool, what: &impl Debug) {
        self.losses += u64::from(!holds);
        assert!(holds, "{what:?}");
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        let Some(path) = std::env::var_os("SEALANE_TALLY") else { return };
        let Self { kills, faults, links, files, accounts, quotas, losses } = self;
        let line = format!("{kills} {faults} {links} {files} {accounts} {quotas} {losses}\n");
        // One short line in one write: scenarios run side by side.
        let file = std::fs::File::options().append(true).create(true).open(path);
        let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
    }
}
