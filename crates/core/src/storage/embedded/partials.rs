//! What interrupted uploads left in a home: shown, and removed when nobody wants it any more.
//!
//! Which file a partial is of stands in the note beside it. Nothing but these two questions reads
//! it.

use std::io::Read;

use super::names::{self, NOTE, PART};
use super::view::Pass;
use crate::storage::types::Partial;
use sealane_base::files::StorageError;
use sealane_base::types::RemotePath;

/// Longest note that is read: a path, escaped, and a number.
const MAX_NOTE: u64 = 32 * 1024;

/// See [`crate::storage::HomeStore::partials`].
pub(super) fn list(
    pass: &Pass,
    after: Option<&str>,
    max: usize,
) -> Result<(Vec<Partial>, bool), StorageError> {
    let mut ids = Vec::new();
    for name in pass.partials().names()? {
        let name = name?;
        let id = names::stem_in(&name);
        ids.extend(id.filter(|id| after.is_none_or(|after| *id > after)).map(str::to_owned));
    }
    ids.sort_unstable();
    let mut found = Vec::with_capacity(ids.len().min(max));
    for id in ids {
        // What has ended since is left out.
        let Some(facts) = pass.partials().look(format!("{id}{PART}"))? else { continue };
        let Some(note) = Note::of(pass, &id) else { continue };
        if found.len() == max {
            return Ok((found, true));
        }
        let (received, modified) = (facts.size, facts.modified);
        found.push(Partial { path: note.own, received, size: note.size, modified, id });
    }
    Ok((found, false))
}

/// See [`crate::storage::HomeStore::discard_partial`].
pub(super) fn discard(pass: &Pass, id: &str) -> Result<(), StorageError> {
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(StorageError::NotFound);
    }
    pass.partials().look(format!("{id}{PART}"))?.ok_or(StorageError::NotFound)?;
    let removed = match Note::of(pass, id).ok_or(StorageError::NotFound)?.whole {
        Some(path) => pass.locks().while_nobody_has(&path, || remove_partial(pass, id)),
        None => pass.locks().while_idle(|| remove_partial(pass, id)),
    };
    removed.unwrap_or(Err(StorageError::InUse))
}

fn remove_partial(pass: &Pass, id: &str) -> Result<(), StorageError> {
    let _names = pass.lock_names();
    let part = format!("{id}{PART}");
    let facts = pass.partials().look(part.as_str())?.ok_or(StorageError::NotFound)?;
    pass.partials().unlink(part.as_str())?;
    pass.ledger().refund(facts.size);
    let _ = pass.partials().unlink(format!("{id}{NOTE}"));
    Ok(())
}

/// What is written down about a partial; nothing, if nothing that is about this one.
#[derive(Default)]
struct Note {
    /// Where the file was to go, as the whole home knows it, and as this login does.
    whole: Option<RemotePath>,
    own: Option<RemotePath>,
    size: u64,
}

impl Note {
    /// `None` if the partial is, or may be, none of this login's business.
    fn of(pass: &Pass, id: &str) -> Option<Self> {
        let (whole, size) = Self::read(pass, id).unwrap_or_default();
        let own = whole.as_ref().and_then(|whole| pass.own(whole));
        (pass.is_whole() || own.is_some()).then_some(Self { whole, own, size })
    }

    fn read(pass: &Pass, id: &str) -> Option<(Option<RemotePath>, u64)> {
        let (file, _) = pass.partials().file(format!("{id}{NOTE}")).ok()?;
        let mut text = String::new();
        file.take(MAX_NOTE).read_to_string(&mut text).ok()?;
        let note: serde_json::Value = serde_json::from_str(&text).ok()?;
        let key = note.get("key").and_then(serde_json::Value::as_str);
        let path = RemotePath::parse(note.get("path")?.as_str()?).ok();
        let path = path.filter(|path| names::stem_of(path, key) == id);
        Some((path, note.get("size")?.as_u64()?))
    }
}
