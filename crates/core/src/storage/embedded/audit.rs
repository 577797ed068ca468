//! What lies on the disk, held against what the ledger says.
//!
//! They differ only if files came or went by other means than the server. Nothing here removes a
//! file; what can be set right is the ledger.

use std::path::Path;

use super::ledger::Ledger;
use super::names;
use super::readers::Readers;
use super::walk;
use crate::storage::types::Audit;
use sealane_base::files::StorageError;
use sealane_base::files::jail::{Directory, EntryKind};
use sealane_base::types::path::KEPT;
use sealane_base::types::{RemotePath, Username};

/// Counts the disk between two changes of names, which must be held off meanwhile, and sets the
/// ledger right if `repair`. By the difference, not to the sum: an upload that ends meanwhile adds
/// what it leaves. Gives how many levels of directories there are, too.
pub(super) fn against_ledger(
    (root, partials): (&Directory, &Directory),
    ledger: &Ledger,
    readers: &Readers,
    repair: bool,
) -> Result<(Audit, usize), StorageError> {
    // No upload begins or is committed, nothing is removed and nothing renamed. One that is under
    // way now may be given up: what it leaves counts neither here nor in this snapshot.
    let ((usage, reserved_for), nameless) = readers.snapshot(|| ledger.snapshot());
    let mut audit = Audit { ledger: Some(usage), trash: nameless, ..Audit::default() };
    let files = walk::count(root)?;
    audit.files = files.bytes;
    let trash = audit.count_partials(partials, |stem| reserved_for.contains(stem))?;
    if repair {
        ledger.correct(audit.drift());
        ledger.set_names(files.names + trash);
    }
    Ok((audit, files.levels))
}

/// Counts what `owner` has below the data directory `data`, with its home at `place`, by looking
/// only: for a home that no server has open. What is not there has no bytes.
///
/// # Errors
/// Any [`StorageError`] of reading directories.
pub fn audit_on_disk(
    data: &Path,
    owner: &Username,
    place: &RemotePath,
) -> Result<Audit, StorageError> {
    let data = Directory::open_root(data)?;
    let mut audit = Audit::default();
    if let Some(root) = present(data.descend(place))? {
        audit.files = walk::count(&root)?.bytes;
        if let Some(partials) = present(root.child(KEPT))? {
            audit.count_partials(&partials, |_| false)?;
        }
    }
    let partials = RemotePath::parse(&format!("partials/{owner}"))
        .map_err(|_| StorageError::NotFound)
        .and_then(|partials| data.descend(&partials));
    if let Some(partials) = present(partials)? {
        audit.count_partials(&partials, |_| false)?;
    }
    Ok(audit)
}

impl Audit {
    /// Gives how many names there are in the trash.
    fn count_partials(
        &mut self,
        partials: &Directory,
        is_reserved: impl Fn(&str) -> bool,
    ) -> Result<u64, StorageError> {
        let mut names = 0;
        for name in partials.names()? {
            let name = name?;
            // One that was given up just now.
            let Some(facts) = partials.look(&name)? else { continue };
            let (sum, bytes) = match names::stem_in(&name) {
                _ if facts.kind == EntryKind::Directory => {
                    let trash = walk::count(&partials.child(&name)?)?;
                    names += trash.names;
                    (&mut self.trash, trash.bytes)
                }
                Some(stem) if is_reserved(stem) => (&mut self.uploading, facts.size),
                Some(_) => (&mut self.partials, facts.size),
                None => continue,
            };
            *sum = sum.saturating_add(bytes);
        }
        Ok(names)
    }
}

fn present<T>(outcome: Result<T, StorageError>) -> Result<Option<T>, StorageError> {
    match outcome {
        Ok(found) => Ok(Some(found)),
        Err(StorageError::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}
