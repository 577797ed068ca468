//! What stores are told and what they answer: plain values, whatever keeps the homes.

use sealane_base::files::{EntryKind, Version};
use sealane_base::types::RemotePath;

/// What an account may have at most, besides its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Files and directories. Each upload under way counts as one until it ends, one that replaces
    /// a file as well.
    pub files: u64,
    /// Interrupted uploads that are kept: with as many, no new file of more than one message can be
    /// begun, but those can be taken up again. Uploads that were under way when there were fewer
    /// may come on top.
    pub partials: u64,
}

impl Default for Caps {
    /// 1 000 000 files and directories, 256 interrupted uploads.
    fn default() -> Self {
        Self { files: 1_000_000, partials: 256 }
    }
}

/// Which part of a home one login sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// The directory that is `/` for it, made if it is missing.
    pub root: RemotePath,
    /// Uploads are kept apart from those of others under this name. What an upload claims to hold
    /// tells the digests of it, so a login that may not read resumes only what the same key has
    /// sent.
    pub apart: Option<String>,
}

/// What an account uses, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Files in the home and partials of ended transfers.
    pub used: u64,
    /// Declared sizes of the uploads that are running.
    pub reserved: u64,
    /// What the two together may not pass. They can be above it only because the limit was
    /// lowered or files were put there by other means.
    pub limit: u64,
}

/// One name in a directory, and what it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The last component of its path; empty for the home itself.
    pub name: String,
    /// File, directory, or something that is never opened.
    pub kind: EntryKind,
    /// Size in bytes; 0 unless it is a file.
    pub size: u64,
    /// Modification time in nanoseconds since 1970-01-01 UTC.
    pub modified: i64,
    /// Permission bits, `0o777` at most.
    pub mode: u32,
    /// Which state of which file it is.
    pub version: Version,
}

/// Part of a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Entries sorted by the bytes of their names.
    pub entries: Vec<Entry>,
    /// True if there are names after the last of these; ask again after it.
    pub more: bool,
    /// How many names of the whole directory cannot be told: not UTF-8, or with characters that
    /// no remote path may have.
    pub hidden: u64,
    /// Some of those names as far as they are text, with a slash behind those of directories.
    pub unfit: Vec<String>,
}

/// What an upload has brought so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partial {
    /// Its name, 32 hexadecimal digits.
    pub id: String,
    /// Where the file was to go, if that was written down.
    pub path: Option<RemotePath>,
    /// Bytes on the disk.
    pub received: u64,
    /// Bytes the file was to have; 0 if that was not written down.
    pub size: u64,
    /// When it was last written to, in nanoseconds since 1970-01-01 UTC.
    pub modified: i64,
}

/// What an account has on the disk, and what its ledger said at that moment. All in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Files in the home.
    pub files: u64,
    /// Partials of interrupted uploads.
    pub partials: u64,
    /// Files that are being removed, or could not be, and those without a name that somebody still
    /// reads.
    pub trash: u64,
    /// What uploads under way have written so far. Their reservations stand for it, so it is not
    /// held against [`Usage::used`].
    pub uploading: u64,
    /// The ledger before any repair; `None` if nobody has the home open, and so there is none.
    pub ledger: Option<Usage>,
}

impl Audit {
    /// What should be counted as used.
    #[must_use]
    pub fn on_disk(&self) -> u64 {
        self.files.saturating_add(self.partials).saturating_add(self.trash)
    }

    /// Bytes that are on the disk and not in the ledger; negative if the ledger has too many. 0
    /// without a ledger.
    #[must_use]
    pub fn drift(&self) -> i64 {
        let Some(ledger) = self.ledger else { return 0 };
        self.on_disk().checked_signed_diff(ledger.used).unwrap_or(i64::MAX)
    }
}
