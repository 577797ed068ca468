//! Every raw MD5 to argon2id over it in one go, with a backup of the originals; and back.
//!
//! The originals of a batch are durable in the backup before the first record of it is replaced,
//! and a record is replaced only if it still is what was backed up. So it may be stopped at any
//! point, by a crash too, and simply run again. The backup is as dangerous as the MD5 values in it.

use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::AdminError;
use super::certificates::make_directory_if_missing;
use sealane_base::fsio::{self, AppendFile};
use sealane_base::types::Username;
use sealane_base::types::text::printable;
use sealane_core::accounts::{AccountManager, ManageError, Wrapping};

const MODE: u32 = 0o600;
const PREFIX: &str = "backup-";
const SUFFIX: &str = ".jsonl";
/// Largest backup that is written and read, in bytes; where one is full, another is begun.
const MAX_BYTES: u64 = 256 * 1024 * 1024;
/// Records that each thread wraps between two writes of the backup.
const BATCH: usize = 16;

/// The first line of a backup, for whoever finds one.
const WARNING: &str = "original MD5 passwords of accounts: whoever reads this can guess them fast; \
                       delete it once `account undo` is not wanted any more";

/// What a wrap or an undo did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WrapReport {
    /// Records that were replaced.
    pub changed: usize,
    /// Records left alone because they changed meanwhile or, for an undo, since.
    pub superseded: usize,
    /// Records that could not be changed, with the reason.
    pub failed: Vec<(Username, String)>,
    /// The backup that was written, if anything was to be done; for an undo, those that were read.
    pub backups: Vec<PathBuf>,
}

#[derive(Deserialize, Serialize)]
struct Line {
    name: String,
    original: Zeroizing<String>,
    wrapped: Zeroizing<String>,
}

/// Wraps every raw MD5, on `threads` threads, so that at most `threads` × the cost's memory is in
/// use. `progress` hears how many of how many are done.
///
/// # Errors
/// [`AdminError::Manage`] if the accounts cannot be listed or the disk is full,
/// [`AdminError::File`] if the backup cannot be written; records replaced before stay replaced, and
/// are in the backup.
pub fn wrap(
    manager: &AccountManager,
    directory: &Path,
    threads: usize,
    now: OffsetDateTime,
    progress: &dyn Fn(usize, usize),
) -> Result<WrapReport, AdminError> {
    wrap_with(manager, Backup::new(directory, now, MAX_BYTES), threads, progress)
}

fn wrap_with(
    manager: &AccountManager,
    mut backup: Backup<'_>,
    threads: usize,
    progress: &dyn Fn(usize, usize),
) -> Result<WrapReport, AdminError> {
    let names = manager.raw_accounts()?;
    let mut report = WrapReport::default();
    if names.is_empty() {
        return Ok(report);
    }
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let threads = threads.clamp(1, cores);
    let mut done = 0;
    progress(done, names.len());
    for batch in names.chunks(threads * BATCH) {
        let mut wrappings = Vec::with_capacity(batch.len());
        for (name, outcome) in batch.iter().zip(prepare(manager, batch, threads)) {
            match outcome {
                Ok(Some(wrapping)) => wrappings.push(wrapping),
                Ok(None) => report.superseded += 1,
                Err(error) => report.failed.push((name.clone(), error.to_string())),
            }
        }
        if !wrappings.is_empty() {
            report.backups.extend(backup.append(&lines(&wrappings))?);
        }
        for wrapping in &wrappings {
            match manager.apply_wrap(wrapping) {
                Ok(true) => report.changed += 1,
                Ok(false) => report.superseded += 1,
                // Nor would the others be written.
                Err(error) if error.is_full() => return Err(error.into()),
                Err(error) => report.failed.push((wrapping.name.clone(), error.to_string())),
            }
        }
        done += batch.len();
        progress(done, names.len());
    }
    Ok(report)
}

/// Puts the originals of a backup, or of all in `directory`, back into the records that still hold
/// what `wrap` wrote.
///
/// # Errors
/// [`AdminError::File`] if a backup cannot be read, or others can read it; [`AdminError::Manage`]
/// if the disk is full.
pub fn undo_wrap(
    manager: &AccountManager,
    directory: &Path,
    backup: Option<&Path>,
) -> Result<WrapReport, AdminError> {
    let backups = match backup {
        Some(path) => vec![path.to_owned()],
        None => backups(directory)?,
    };
    let mut report = WrapReport::default();
    for path in &backups {
        let bytes = Zeroizing::new(fsio::read_private(path, MAX_BYTES)?);
        for wrapping in bytes.split(|byte| *byte == b'\n').filter_map(read_line) {
            match manager.undo_wrap(&wrapping) {
                Ok(true) => report.changed += 1,
                Ok(false) => report.superseded += 1,
                // Nor would the others be written.
                Err(error) if error.is_full() => return Err(error.into()),
                Err(error) => report.failed.push((wrapping.name.clone(), error.to_string())),
            }
        }
    }
    report.backups = backups;
    Ok(report)
}

/// The backups in `directory`, oldest first.
///
/// # Errors
/// [`AdminError::File`] if the directory is there and cannot be listed.
pub fn backups(directory: &Path) -> Result<Vec<PathBuf>, AdminError> {
    let names = match fsio::list_names(directory) {
        Err(error) if error.is_not_found() => return Ok(Vec::new()),
        names => names?,
    };
    let is_backup = |name: &str| name.starts_with(PREFIX) && name.ends_with(SUFFIX);
    let names = names.iter().filter(|name| name.to_str().is_some_and(is_backup));
    Ok(names.map(|name| directory.join(name)).collect())
}

/// What is to replace each of `names`, in their order.
fn prepare(
    manager: &AccountManager,
    names: &[Username],
    threads: usize,
) -> Vec<Result<Option<Wrapping>, ManageError>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut made = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(name) = names.get(at) else { return made };
            made.push((at, manager.prepare_wrap(name)));
        }
    };
    let mut made = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut made = work();
        for other in others {
            // A thread that panicked leaves records unwrapped; the next run takes them.
            made.extend(other.join().unwrap_or_default());
        }
        made
    });
    made.sort_by_key(|(at, _)| *at);
    made.into_iter().map(|(_, outcome)| outcome).collect()
}

/// Where originals are put away.
struct Backup<'a> {
    directory: &'a Path,
    now: OffsetDateTime,
    /// Longest file.
    most: u64,
    /// The one that is written to, and its length.
    file: Option<(AppendFile, u64)>,
}

impl<'a> Backup<'a> {
    fn new(directory: &'a Path, now: OffsetDateTime, most: u64) -> Self {
        Self { directory, now, most, file: None }
    }

    /// Adds `lines` durably; gives the path of a file that was begun for them.
    fn append(&mut self, lines: &[u8]) -> Result<Option<PathBuf>, AdminError> {
        let length = lines.len() as u64;
        if let Some((file, written)) = &mut self.file
            && *written + length <= self.most
        {
            file.append(lines)?;
            *written += length;
            return Ok(None);
        }
        let (mut file, head) = new_backup(self.directory, self.now)?;
        file.append(lines)?;
        let path = file.path().to_owned();
        self.file = Some((file, head + length));
        Ok(Some(path))
    }
}

/// A backup, and how long its first line is.
fn new_backup(directory: &Path, now: OffsetDateTime) -> Result<(AppendFile, u64), AdminError> {
    make_directory_if_missing(directory)?;
    let (date, time) = (now.date(), now.time());
    let (hour, minute, second) = time.as_hms();
    let stamp = format!("{date}-{hour:02}{minute:02}{second:02}");
    // Two administrators may begin in the same second.
    let mut number = 0;
    let mut file = loop {
        let path = directory.join(format!("{PREFIX}{stamp}-{number}{SUFFIX}"));
        match AppendFile::create(&path, MODE) {
            Err(error) if error.is_exists() && number < 1000 => number += 1,
            made => break made?,
        }
    };
    let head = serde_json::json!({ "sealane_backup": 1, "created": stamp, "warning": WARNING });
    let head = format!("{head}\n");
    file.append(head.as_bytes())?;
    Ok((file, head.len() as u64))
}

fn lines(wrappings: &[Wrapping]) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::new());
    for Wrapping { name, original, wrapped } in wrappings {
        let (original, wrapped) = (original.clone(), wrapped.clone());
        let line = Line { name: name.to_string(), original, wrapped };
        // Texts alone always become JSON.
        if let Ok(text) = serde_json::to_vec(&line) {
            bytes.extend(text);
            bytes.push(b'\n');
        }
    }
    bytes
}

/// `None` for the first line, and for a last one that a crash cut short: its record was not
/// replaced.
fn read_line(bytes: &[u8]) -> Option<Wrapping> {
    let Line { name, original, wrapped } = serde_json::from_slice(bytes).ok()?;
    Some(Wrapping { name: Username::parse(&name).ok()?, original, wrapped })
}

/// The account and the reason of each failure, safe to print.
#[must_use]
pub fn failures(report: &WrapReport) -> Vec<String> {
    report.failed.iter().map(|(name, reason)| format!("{name}: {}", printable(reason))).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use sealane_base::types::Secret;
    use sealane_core::accounts::{
        AccountStore, DirectoryStore, HashCost, HomeMap, Record, StoredPassword,
    };

    const CHEAP: HashCost = HashCost { memory_kib: 8, iterations: 1, parallelism: 1 };
    const MD5: &str = "96E79218965eb72c92a549dd5a330112";

    struct Site {
        dir: tempfile::TempDir,
        store: Arc<DirectoryStore>,
        manager: AccountManager,
    }

    fn name(number: usize) -> Username {
        Username::parse(&format!("u{number:03}")).unwrap()
    }

    fn site(accounts: usize) -> Site {
        let dir = tempfile::tempdir().unwrap();
        let accounts_dir = dir.path().join("accounts");
        fsio::create_directory(&accounts_dir, 0o700).unwrap();
        let store = Arc::new(DirectoryStore::open(&accounts_dir).unwrap());
        for number in 0..accounts {
            let home = format!("homes/{number}");
            store.create(&Record::new(&name(number), MD5, 1, &home)).unwrap();
        }
        let manager = AccountManager::new(store.clone(), CHEAP, HomeMap::default()).unwrap();
        Site { dir, store, manager }
    }

    impl Site {
        fn backups(&self) -> PathBuf {
            self.dir.path().join("migration")
        }

        fn wrap(&self, progress: &dyn Fn(usize, usize)) -> Result<WrapReport, AdminError> {
            let now = OffsetDateTime::UNIX_EPOCH;
            wrap(&self.manager, &self.backups(), 2, now, progress)
        }

        fn text(&self, number: usize) -> String {
            let record = self.store.load(&name(number)).unwrap().unwrap();
            record.password_text().unwrap().to_owned()
        }
    }

    #[test]
    fn everything_is_wrapped_and_undo_brings_back_what_did_not_change_since() {
        let site = site(50);
        let report = site.wrap(&|_, _| {}).unwrap();
        assert_eq!((report.changed, report.superseded, report.failed.len()), (50, 0, 0));
        assert!(site.manager.raw_accounts().unwrap().is_empty());
        let stored = StoredPassword::parse(&site.text(7)).unwrap();
        assert!(matches!(stored, StoredPassword::Wrapped(_)));
        // Nothing to do: no backup is begun.
        assert_eq!(site.wrap(&|_, _| {}).unwrap(), WrapReport::default());

        site.manager.set_password(&name(3), &Secret::new("reset".into())).unwrap();
        site.manager.remove(&name(4)).unwrap();
        let undone = undo_wrap(&site.manager, &site.backups(), None).unwrap();
        assert_eq!((undone.changed, undone.superseded), (48, 2));
        assert_eq!(site.text(7), MD5, "the spelling of the original came back, too");
        assert!(site.text(3).starts_with("$argon2id$"));
    }

    #[test]
    fn a_wrap_cut_short_is_taken_up_and_every_original_is_in_a_backup() {
        let site = site(40);
        // A panic in the middle stands for a crash: nothing after it is done.
        let cut = std::panic::AssertUnwindSafe(|| {
            site.wrap(&|done, _| assert!(done == 0, "stop after the first batch"))
        });
        assert!(std::panic::catch_unwind(cut).is_err());
        let left = site.manager.raw_accounts().unwrap().len();
        assert!(left > 0 && left < 40, "{left}");
        assert_eq!(site.wrap(&|_, _| {}).unwrap().changed, left);
        assert_eq!(backups(&site.backups()).unwrap().len(), 2);
        assert_eq!(undo_wrap(&site.manager, &site.backups(), None).unwrap().changed, 40);
    }

    #[test]
    fn originals_that_fill_a_backup_go_to_another_one() {
        let site = site(100);
        let backups = site.backups();
        let most = 8 * 1024;
        let backup = Backup::new(&backups, OffsetDateTime::UNIX_EPOCH, most);
        let report = wrap_with(&site.manager, backup, 2, &|_, _| {}).unwrap();
        assert!(report.changed == 100 && report.backups.len() > 1, "{report:?}");
        assert_eq!(super::backups(&backups).unwrap(), report.backups);
        for path in &report.backups {
            fsio::read_private(path, most).unwrap();
        }
        assert_eq!(undo_wrap(&site.manager, &backups, None).unwrap().changed, 100);
    }

    #[test]
    fn no_backup_no_wrap() {
        let site = site(1);
        fsio::create_new(&site.backups(), b"in the way", 0o600).unwrap();
        assert!(site.wrap(&|_, _| {}).is_err());
        assert_eq!(site.text(0), MD5);
    }

    #[test]
    fn a_line_cut_short_and_a_backup_others_can_read_are_not_used() {
        let site = site(2);
        let report = site.wrap(&|_, _| {}).unwrap();
        let backup = report.backups.first().unwrap();
        let bytes = fsio::read_private(backup, MAX_BYTES).unwrap();
        assert!(String::from_utf8_lossy(&bytes).starts_with("{\"sealane_backup\":1"));
        let cut = site.dir.path().join("cut");
        fsio::create_new(&cut, &bytes[..bytes.len() - 9], 0o600).unwrap();
        let open = site.dir.path().join("open");
        fsio::create_new(&open, &bytes, 0o644).unwrap();
        assert!(undo_wrap(&site.manager, &site.backups(), Some(&open)).is_err());
        let undone = undo_wrap(&site.manager, &site.backups(), Some(&cut)).unwrap();
        assert_eq!(undone.changed, 1);
    }
}
