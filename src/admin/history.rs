//! How far the way out of MD5 was on each day: a small file of one JSON object a line.
//!
//! For the plot in the report. It holds counts and dates, no name and no password.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::AdminError;
use super::certificates::make_directory_if_missing;
use sealane_base::fsio;
use sealane_core::accounts::StateCounts;

const FILE: &str = "history.jsonl";
const LOCK: &str = ".lock";
const MODE: u32 = 0o600;
/// Largest file in bytes, written and read: more than two decades of days; the oldest go first.
const MAX_BYTES: u64 = 1024 * 1024;

/// The state of all records on one day.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct HistoryPoint {
    /// `YYYY-MM-DD`, UTC.
    pub day: String,
    /// argon2id at the configured cost.
    pub argon2id: u64,
    /// argon2id below it.
    pub weak: u64,
    /// argon2id over MD5.
    pub wrapped: u64,
    /// Raw MD5.
    pub md5: u64,
    /// Records nobody can log in with.
    pub unusable: u64,
}

/// The points noted so far, oldest first. Lines that are damaged are left out.
///
/// # Errors
/// [`AdminError::File`] if the file is there and cannot be read.
pub fn history(directory: &Path) -> Result<Vec<HistoryPoint>, AdminError> {
    let bytes = match fsio::read_bounded(&file(directory), MAX_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.is_not_found() => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let lines = bytes.split(|byte| *byte == b'\n');
    Ok(lines.filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

/// Notes the state of today; a later one of the same day replaces it. Makes `directory` (0700) if
/// missing.
///
/// # Errors
/// [`AdminError::File`].
pub fn note_history(
    directory: &Path,
    now: OffsetDateTime,
    counts: StateCounts,
) -> Result<(), AdminError> {
    make_directory_if_missing(directory)?;
    let _lock = fsio::lock_exclusive(&directory.join(LOCK))?;
    fsio::remove_temporaries_of(&file(directory))?;
    let StateCounts { argon2id, weak, wrapped, md5, unusable } = counts;
    let day = now.to_offset(time::UtcOffset::UTC).date().to_string();
    let point = HistoryPoint { day, argon2id, weak, wrapped, md5, unusable };
    let mut points = history(directory)?;
    points.retain(|earlier| earlier.day != point.day);
    points.push(point);
    Ok(fsio::write_atomic(&file(directory), text(&points).as_bytes(), MODE)?)
}

/// The latest of `points` that fit.
fn text(points: &[HistoryPoint]) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut room = MAX_BYTES as usize;
    for line in points.iter().rev().filter_map(|point| serde_json::to_string(point).ok()) {
        let Some(left) = room.checked_sub(line.len() + 1) else { break };
        room = left;
        lines.push(line + "\n");
    }
    lines.reverse();
    lines.concat()
}

fn file(directory: &Path) -> PathBuf {
    directory.join(FILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_that_is_full_forgets_its_oldest_days_and_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let day = |number: usize| format!("{:04}-01-01", number % 10_000);
        let most = u64::MAX;
        let point = |number| HistoryPoint {
            day: day(number),
            argon2id: most,
            weak: most,
            wrapped: most,
            md5: most,
            unusable: most,
        };
        let points: Vec<_> = (0..9000).map(point).collect();
        let full = text(&points);
        assert!(full.len() as u64 <= MAX_BYTES && full.len() as u64 > MAX_BYTES - 500);
        fsio::create_new(&file(dir.path()), full.as_bytes(), MODE).unwrap();
        let before = history(dir.path()).unwrap();
        assert_eq!(before.last(), points.last());
        for days in 0..20 {
            let now = OffsetDateTime::from_unix_timestamp(1_700_000_000 + days * 86_400).unwrap();
            let counts = StateCounts { md5: most, argon2id: most, ..StateCounts::default() };
            note_history(dir.path(), now, counts).unwrap();
        }
        let after = history(dir.path()).unwrap();
        assert_eq!(after.last().unwrap().day, "2023-12-03");
        assert!(after.len() > before.len());
        assert_ne!(after.first(), before.first());
    }

    #[test]
    fn one_point_a_day_and_the_last_one_counts() {
        let dir = tempfile::tempdir().unwrap();
        let directory = dir.path().join("migration");
        assert_eq!(history(&directory).unwrap(), []);
        let day = |number: i64| {
            OffsetDateTime::from_unix_timestamp(1_700_000_000 + number * 86_400).unwrap()
        };
        for (number, md5) in [(0, 9), (0, 7), (1, 3)] {
            let counts = StateCounts { md5, ..StateCounts::default() };
            note_history(&directory, day(number), counts).unwrap();
        }
        let points = history(&directory).unwrap();
        let seen: Vec<_> = points.iter().map(|point| (point.day.as_str(), point.md5)).collect();
        assert_eq!(seen, [("2023-11-14", 7), ("2023-11-15", 3)]);
    }
}
