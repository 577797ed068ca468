//! The root of a file without moving it, for `verify`.

use std::sync::Arc;

use super::buffers::with_scratch;
use super::{Meter, TransferError};
use sealane_base::files::{Source, StorageError};
use sealane_base::types::digest::chunk_digest;
use sealane_base::types::{Digest, Layout, RootBuilder};
use sealane_base::workers::{Queue, yield_turn};

/// Reads `source` once and returns its root. Blocks. `stop` is asked before every chunk.
///
/// # Errors
/// [`TransferError::Storage`] if it cannot be read, is too large, or what was read of it changed
/// meanwhile; [`TransferError::Interrupted`] once `stop` says so.
pub fn root_of(
    source: &dyn Source,
    meter: &Meter,
    stop: &dyn Fn() -> bool,
) -> Result<Digest, TransferError> {
    let mut reading = Reading::new(source)?;
    while !stop() {
        if let Some(root) = reading.step(source, meter)? {
            return match is_unchanged(source)? {
                true => Ok(root),
                false => root_of_again(source, root),
            };
        }
    }
    Err(TransferError::Interrupted)
}

fn root_of_again(source: &dyn Source, root: Digest) -> Result<Digest, TransferError> {
    let mut reading = Reading::new(source)?;
    loop {
        if let Some(again) = reading.step(source, &Meter::default())? {
            return if again == root { Ok(root) } else { Err(StorageError::Changed.into()) };
        }
    }
}

/// As [`root_of`], in turns with other work of the queue.
///
/// Cancel safety: dropping the future ends the reading.
///
/// # Errors
/// As [`root_of`].
pub async fn root_in_turns(
    queue: &Queue,
    source: Arc<dyn Source>,
) -> Result<Digest, TransferError> {
    let read = async move {
        let root = read_all(&*source, &Meter::default()).await?;
        has_grown(&*source, root).await?;
        Ok(root)
    };
    queue.spawn(read).await
}

/// Whether `source`, which has just been read and found to have `root`, was written to meanwhile
/// without changing that, as a log is: it is as long as it was when it was opened, and reads the
/// same once more.
///
/// # Errors
/// [`TransferError::Storage`] with `Changed` if it reads otherwise.
pub(super) async fn has_grown(source: &dyn Source, root: Digest) -> Result<bool, TransferError> {
    if is_unchanged(source)? {
        return Ok(false);
    }
    let again = read_all(source, &Meter::default()).await?;
    if again == root { Ok(true) } else { Err(StorageError::Changed.into()) }
}

/// Whether nothing was written to `source` since it was opened.
pub(super) fn is_unchanged(source: &dyn Source) -> Result<bool, TransferError> {
    match source.check_unchanged() {
        Ok(()) => Ok(true),
        Err(StorageError::Changed) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

async fn read_all(source: &dyn Source, meter: &Meter) -> Result<Digest, TransferError> {
    let mut reading = Reading::new(source)?;
    loop {
        if let Some(root) = reading.step(source, meter)? {
            return Ok(root);
        }
        yield_turn().await;
    }
}

/// A file that is read from its beginning to its end, a chunk at a time.
struct Reading {
    layout: Layout,
    roots: RootBuilder,
    next: u32,
}

impl Reading {
    fn new(source: &dyn Source) -> Result<Self, TransferError> {
        let layout = Layout::for_size(source.size())
            .map_err(|_| TransferError::Protocol("the file is larger than any file may be"))?;
        Ok(Self { layout, roots: RootBuilder::new(layout), next: 0 })
    }

    /// Reads the next chunk; gives the root after the last one.
    fn step(
        &mut self,
        source: &dyn Source,
        meter: &Meter,
    ) -> Result<Option<Digest>, TransferError> {
        let (index, wrong) = (self.next, |_| TransferError::Protocol("chunk order"));
        if index < self.layout.count() {
            let length = self.layout.length(index).unwrap_or(0);
            let digest = with_scratch(length, |bytes| {
                source.read_at(self.layout.offset(index), bytes)?;
                Ok::<_, StorageError>(chunk_digest(&self.layout, index, bytes))
            })?;
            self.roots.insert(index, digest).map_err(wrong)?;
            meter.moved(length as u64);
            self.next += 1;
        }
        if self.next < self.layout.count() {
            return Ok(None);
        }
        let roots = std::mem::replace(&mut self.roots, RootBuilder::new(self.layout));
        roots.finish().map(Some).map_err(wrong)
    }
}
