//! What interrupted uploads left in a home: shown, and removed when nobody wants it any more.
//!
//! Which file a partial is of stands in the note beside it. Nothing but these two questions reads it.

use std::io::Read;

use super::StorageError;
use super::home::{Home, NOTE, PART};
use super::home_sink::partial_stem;
use crate::types::RemotePath;

/// Longest note that is read: a path, escaped, and a number.
const MAX_NOTE: u64 = 32 * 1024;

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

impl Home {
    /// The first `max` partials whose ids come after `after`, by id, and whether there are more. Those
    /// of uploads under way are among them.
    ///
    /// # Errors
    /// Any [`StorageError`] of reading the directory.
    pub fn partials(
        &self,
        after: Option<&str>,
        max: usize,
    ) -> Result<(Vec<Partial>, bool), StorageError> {
        let mut ids = Vec::new();
        for name in self.partials.names()? {
            let name = name?;
            let id = name.to_str().ok().and_then(|name| name.strip_suffix(PART));
            ids.extend(id.filter(|id| after.is_none_or(|after| *id > after)).map(str::to_owned));
        }
        ids.sort_unstable();
        let more = ids.len() > max;
        ids.truncate(max);
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            // What has ended since is left out.
            let Some(facts) = self.partials.look(format!("{id}{PART}"))? else { continue };
            let (path, size) = self.note(&id).unwrap_or_default();
            let (received, modified) = (facts.size, facts.modified);
            found.push(Partial { path, received, size, modified, id });
        }
        Ok((found, more))
    }

    /// Removes a partial; its bytes are free again.
    ///
    /// # Errors
    /// [`StorageError::NotFound`]; [`StorageError::InUse`] while it is being filled.
    pub fn discard_partial(&self, id: &str) -> Result<(), StorageError> {
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(StorageError::NotFound);
        }
        self.partials.look(format!("{id}{PART}"))?.ok_or(StorageError::NotFound)?;
        let removed = match self.note(id) {
            Some((Some(path), _)) => {
                self.claims.while_nobody_has(&path, || self.remove_partial(id))
            }
            _ => self.claims.while_idle(|| self.remove_partial(id)),
        };
        removed.unwrap_or(Err(StorageError::InUse))
    }

    fn remove_partial(&self, id: &str) -> Result<(), StorageError> {
        let _names = self.lock_names();
        let part = format!("{id}{PART}");
        let facts = self.partials.look(part.as_str())?.ok_or(StorageError::NotFound)?;
        self.partials.unlink(part.as_str())?;
        self.ledger.refund(facts.size);
        let _ = self.partials.unlink(format!("{id}{NOTE}"));
        Ok(())
    }

    /// Path and size from a note that is about this partial.
    fn note(&self, id: &str) -> Option<(Option<RemotePath>, u64)> {
        let (file, _) = self.partials.file(format!("{id}{NOTE}")).ok()?;
        let mut text = String::new();
        file.take(MAX_NOTE).read_to_string(&mut text).ok()?;
        let note: serde_json::Value = serde_json::from_str(&text).ok()?;
        let path = RemotePath::parse(note.get("path")?.as_str()?).ok();
        let path = path.filter(|path| partial_stem(path.as_str().as_bytes(), 32) == id);
        Some((path, note.get("size")?.as_u64()?))
    }
}
