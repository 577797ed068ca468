//! Roots of this machine's files, kept between runs, so that comparing large trees by digest does
//! not read them again each time.
//!
//! A root is believed for the very file (device and inode) with the very size, modification and
//! change time it was computed from. The change time cannot be set back by a program, so a file
//! that was rewritten under its old time is noticed. As in git, a file that changed within the last
//! two seconds is not remembered: it may change once more under the same times. The cache decides
//! nothing but what is read; it may be removed at any time.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use sealane_base::files::FileIdentity;
use sealane_base::fsio::{self, FsError};
use sealane_base::types::Digest;

/// Files below this size are read faster than they are worth remembering.
const SMALLEST: u64 = 64 * 1024;
/// Most files remembered: 9 MiB on disk. The ones not asked for longest go first.
const MOST: usize = 1 << 17;
/// How long a file must have been left alone, in nanoseconds.
const QUIET: i64 = 2_000_000_000;
/// Hashed bytes after which what was learned is written down, whatever happens next.
const UNSAVED: u64 = 1 << 30;

const MAGIC: &[u8; 16] = b"sealane digest 1";
const RECORD: usize = 5 * 8 + 32;
const CHECKSUM: usize = 32;

/// Roots by file.
#[derive(Debug)]
pub struct DigestCache {
    path: PathBuf,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    roots: HashMap<(u64, u64), Record>,
    /// Grows with every question answered: what is asked for is kept longest.
    clock: u64,
    unsaved: u64,
    is_changed: bool,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    identity: FileIdentity,
    root: Digest,
    used: u64,
}

impl DigestCache {
    /// Opens the cache in `directory`, which is made if it is missing. With it comes why what was
    /// there cannot be used, if so.
    #[must_use]
    pub fn open(directory: &Path) -> (Self, Option<String>) {
        let path = directory.join("digests");
        let (roots, note) = match load(&path) {
            Ok(records) => (records, None),
            Err(why) => (Vec::new(), Some(format!("the digest cache {} {why}", path.display()))),
        };
        let mut known = Known::default();
        roots.into_iter().for_each(|record| known.add(record));
        (Self { path, known: Mutex::new(known) }, note)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // Every change of it is one step.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The root of the file that has this identity, if it is known.
    #[must_use]
    pub fn find(&self, identity: &FileIdentity) -> Option<Digest> {
        let mut known = self.lock();
        known.clock += 1;
        let clock = known.clock;
        let record = known.roots.get_mut(&identity.file)?;
        if record.identity != *identity {
            return None;
        }
        record.used = clock;
        Some(record.root)
    }

    /// Remembers a root that was computed from `begun` on, unless the file had changed just before.
    pub fn remember(&self, identity: FileIdentity, root: Digest, begun: SystemTime) {
        let begun = begun.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let quiet = i64::try_from(begun).unwrap_or(i64::MAX).saturating_sub(QUIET);
        let is_quiet = identity.modified < quiet && identity.changed < quiet;
        if identity.size < SMALLEST || !is_quiet {
            return;
        }
        let mut known = self.lock();
        known.add(Record { identity, root, used: 0 });
        known.is_changed = true;
        known.unsaved = known.unsaved.saturating_add(identity.size);
        let is_much = known.unsaved >= UNSAVED;
        drop(known);
        if is_much {
            let _ = self.save();
        }
    }

    /// Writes down what was learned, beside what other processes have learned meanwhile.
    ///
    /// # Errors
    /// [`FsError`]; nothing is lost but time.
    pub fn save(&self) -> Result<(), FsError> {
        let mut known = self.lock();
        if !known.is_changed {
            return Ok(());
        }
        if let Some(directory) = self.path.parent() {
            make(directory)?;
        }
        let _turn = fsio::lock_exclusive(&self.path.with_extension("lock"))?;
        fsio::remove_temporaries_of(&self.path)?;
        let mut records = known.roots.clone();
        for other in load(&self.path).unwrap_or_default() {
            records.entry(other.identity.file).or_insert(Record { used: 0, ..other });
        }
        let mut records: Vec<_> = records.into_values().collect();
        records.sort_unstable_by_key(|record| record.used);
        let oldest = records.len().saturating_sub(MOST);
        let bytes = encode(records.get(oldest..).unwrap_or_default());
        fsio::write_atomic(&self.path, &bytes, 0o600)?;
        (known.is_changed, known.unsaved) = (false, 0);
        Ok(())
    }
}

impl Known {
    fn add(&mut self, record: Record) {
        self.clock += 1;
        let record = Record { used: self.clock, ..record };
        self.roots.insert(record.identity.file, record);
    }
}

/// Makes a directory and the one above it.
fn make(directory: &Path) -> Result<(), FsError> {
    let above = directory.parent().into_iter();
    for directory in above.chain([directory]) {
        match fsio::create_directory(directory, 0o700) {
            Err(error) if !error.is_exists() => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn encode(records: &[Record]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    for Record { identity, root, .. } in records {
        let FileIdentity { file: (device, inode), size, modified, changed } = *identity;
        for number in [device, inode, size, modified.cast_unsigned(), changed.cast_unsigned()] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&root.0);
    }
    let checksum = Digest::of_bytes(&bytes);
    bytes.extend_from_slice(&checksum.0);
    bytes
}

/// Reads a cache; the error says what is wrong with it.
fn load(path: &Path) -> Result<Vec<Record>, String> {
    let most = MAGIC.len() + MOST * RECORD + CHECKSUM;
    let bytes = match fsio::read_bounded(path, most as u64) {
        Err(error) if error.is_not_found() => return Ok(Vec::new()),
        read => read.map_err(|error| format!("is not used: {error}"))?,
    };
    decode(&bytes).ok_or_else(|| "is damaged and not used".to_owned())
}

fn decode(bytes: &[u8]) -> Option<Vec<Record>> {
    let (content, checksum) = bytes.split_last_chunk::<CHECKSUM>()?;
    if Digest::of_bytes(content).0 != *checksum {
        return None;
    }
    let (records, rest) = content.strip_prefix(MAGIC)?.as_chunks::<RECORD>();
    rest.is_empty().then(|| records.iter().filter_map(record).collect())
}

fn record(bytes: &[u8; RECORD]) -> Option<Record> {
    let (numbers, root) = bytes.split_last_chunk::<32>()?;
    let (numbers, _) = numbers.as_chunks::<8>();
    let [device, inode, size, modified, changed] = *numbers else { return None };
    let signed = |number| u64::from_le_bytes(number).cast_signed();
    let identity = FileIdentity {
        file: (u64::from_le_bytes(device), u64::from_le_bytes(inode)),
        size: u64::from_le_bytes(size),
        modified: signed(modified),
        changed: signed(changed),
    };
    Some(Record { identity, root: Digest(*root), used: 0 })
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests spoil the cache's own file")]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: Duration = Duration::from_secs(1_000_000);

    fn identity(inode: u64, age: Duration) -> FileIdentity {
        let then = i64::try_from((NOW - age).as_nanos()).unwrap();
        FileIdentity { file: (1, inode), size: 1 << 20, modified: then, changed: then }
    }

    fn old(inode: u64) -> FileIdentity {
        identity(inode, Duration::from_secs(60))
    }

    fn now() -> SystemTime {
        UNIX_EPOCH + NOW
    }

    #[test]
    fn a_root_is_believed_for_the_very_file_only() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("cache/sealane");
        let (cache, note) = DigestCache::open(&place);
        assert_eq!(note, None);
        let file = old(5);
        cache.remember(file, Digest([7; 32]), now());
        cache.save().unwrap();
        let (cache, note) = DigestCache::open(&place);
        assert_eq!((note, cache.find(&file)), (None, Some(Digest([7; 32]))));
        for other in [
            FileIdentity { file: (2, 5), ..file },
            FileIdentity { file: (1, 6), ..file },
            FileIdentity { size: 1 << 21, ..file },
            FileIdentity { modified: file.modified + 1, ..file },
            FileIdentity { changed: file.changed + 1, ..file },
        ] {
            assert_eq!(cache.find(&other), None);
        }
    }

    #[test]
    fn what_changed_just_now_or_is_small_is_not_remembered() {
        let directory = tempfile::tempdir().unwrap();
        let (cache, _) = DigestCache::open(directory.path());
        let young = identity(1, Duration::from_secs(1));
        let touched = FileIdentity { changed: young.changed, ..old(2) };
        let ahead = FileIdentity { modified: i64::MAX, ..old(3) };
        let small = FileIdentity { size: SMALLEST - 1, ..old(4) };
        for identity in [young, touched, ahead, small] {
            cache.remember(identity, Digest([7; 32]), now());
            assert_eq!(cache.find(&identity), None);
        }
        cache.save().unwrap();
        assert!(!directory.path().join("digests").exists());
    }

    #[test]
    fn a_damaged_cache_is_passed_over_and_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let (cache, _) = DigestCache::open(directory.path());
        cache.remember(old(1), Digest([7; 32]), now());
        cache.save().unwrap();
        let path = directory.path().join("digests");
        let good = std::fs::read(&path).unwrap();
        let flipped = |at: usize| {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            bytes
        };
        let short = good[..good.len() - 1].to_vec();
        for bytes in [flipped(0), flipped(70), flipped(good.len() - 1), short, Vec::new()] {
            std::fs::write(&path, bytes).unwrap();
            let (cache, note) = DigestCache::open(directory.path());
            assert!(note.unwrap().ends_with("is damaged and not used"));
            assert_eq!(cache.find(&old(1)), None);
            cache.remember(old(2), Digest([8; 32]), now());
            cache.save().unwrap();
            assert_eq!(DigestCache::open(directory.path()).1, None);
        }
    }

    #[test]
    fn processes_side_by_side_keep_what_each_has_learned() {
        let directory = tempfile::tempdir().unwrap();
        let caches: Vec<_> = (0..8).map(|_| DigestCache::open(directory.path()).0).collect();
        std::thread::scope(|scope| {
            for (number, cache) in caches.iter().enumerate() {
                scope.spawn(move || {
                    cache.remember(old(number as u64), Digest([number as u8; 32]), now());
                    cache.save().unwrap();
                });
            }
        });
        let (cache, _) = DigestCache::open(directory.path());
        for number in 0..8 {
            assert_eq!(cache.find(&old(number)), Some(Digest([number as u8; 32])));
        }
    }

    #[test]
    fn it_stays_bounded_and_forgets_what_was_not_asked_for() {
        let directory = tempfile::tempdir().unwrap();
        let (cache, _) = DigestCache::open(directory.path());
        for inode in 0..MOST as u64 + 10 {
            cache.remember(FileIdentity { size: SMALLEST, ..old(inode) }, Digest([7; 32]), now());
        }
        let first = FileIdentity { size: SMALLEST, ..old(0) };
        assert!(cache.find(&first).is_some());
        cache.save().unwrap();
        let (cache, note) = DigestCache::open(directory.path());
        assert_eq!(note, None);
        assert_eq!(cache.lock().roots.len(), MOST);
        assert!(cache.find(&first).is_some());
        assert!(cache.find(&FileIdentity { size: SMALLEST, ..old(1) }).is_none());
    }
}
