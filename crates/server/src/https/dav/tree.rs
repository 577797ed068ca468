//! Copies within a home, and what takes the place of a directory. All of it blocks.
//!
//! A file is copied as an upload is: it has its name when it is whole and durable, and counts. A
//! directory is copied beside its place under a name of its own, and gets its name when all of it
//! is there.

use std::sync::Arc;

use sealane_base::files::{EntryKind, FileMeta, Source, StorageError};
use sealane_base::types::RemotePath;
use sealane_base::workers::yield_turn;
use sealane_core::service::Login;
use sealane_core::storage::Upload;

/// Bytes that are copied in one go.
const PIECE: usize = 1 << 20;

/// A name beside `path` that nothing has.
pub(super) fn beside(path: &RemotePath) -> Result<RemotePath, StorageError> {
    let number = getrandom::u64().map_err(|error| StorageError::Io(error.into()))?;
    let parent = path.parent().ok_or(StorageError::Root)?;
    Ok(parent.join(&format!(".sealane-{number:016x}"))?)
}

/// Copies one file; what has the name of the copy is replaced in one step.
pub(super) async fn copy_file(
    login: &Login,
    from: RemotePath,
    to: RemotePath,
) -> Result<(), StorageError> {
    let home = Arc::clone(login.home());
    let source = login.queue().run(move || home.source(&from)).await?;
    let meta = FileMeta { modified: None, ..source.meta() };
    let upload = login.upload(to, Some(source.size()), meta).await?;
    let outcome = copy_bytes(login, source, Arc::clone(&upload)).await;
    let end = move || match outcome.and_then(|()| upload.commit()) {
        Ok(()) => Ok(()),
        Err(error) => {
            // Nobody goes on with it.
            upload.discard();
            Err(error)
        }
    };
    login.queue().run_long(end).await
}

async fn copy_bytes(
    login: &Login,
    source: Arc<dyn Source>,
    upload: Arc<dyn Upload>,
) -> Result<(), StorageError> {
    let work = async move {
        let (size, mut offset, mut piece) = (source.size(), 0, Vec::new());
        while offset < size {
            let count = (size - offset).min(PIECE as u64);
            piece.resize(count as usize, 0);
            source.read_at(offset, &mut piece)?;
            upload.write_at(offset, &piece)?;
            offset += count;
            yield_turn().await;
        }
        source.check_unchanged()
    };
    login.queue().spawn(work).await
}

/// Copies a directory, with all in it if `deep`, to a name that nothing has. What cannot be opened
/// is left out.
pub(super) async fn copy_directory(
    login: &Login,
    from: RemotePath,
    to: RemotePath,
    deep: bool,
) -> Result<(), StorageError> {
    let staged = beside(&to)?;
    let outcome = fill(login, &from, &staged, deep).await;
    let (home, aside) = (Arc::clone(login.home()), staged.clone());
    let end = move || {
        let outcome = outcome.and_then(|()| home.rename(&aside, &to, false));
        outcome.inspect_err(|_| {
            let _ = home.remove(&aside, true);
        })
    };
    login.queue().run_long(end).await
}

async fn fill(
    login: &Login,
    from: &RemotePath,
    to: &RemotePath,
    deep: bool,
) -> Result<(), StorageError> {
    let mut waiting = vec![(from.clone(), to.clone())];
    while let Some((from, to)) = waiting.pop() {
        let (home, at) = (Arc::clone(login.home()), to.clone());
        login.queue().run(move || home.make_directory(&at, false)).await?;
        if !deep {
            return Ok(());
        }
        let mut after: Option<String> = None;
        loop {
            let (home, at, last) = (Arc::clone(login.home()), from.clone(), after.take());
            let list = move || home.list(&at, last.as_deref(), 256);
            let page = login.queue().run(list).await?;
            after = page.entries.last().map(|entry| entry.name.clone());
            for entry in page.entries {
                let (from, to) = (from.join(&entry.name)?, to.join(&entry.name)?);
                match entry.kind {
                    EntryKind::Directory => waiting.push((from, to)),
                    EntryKind::File => copy_file(login, from, to).await?,
                    EntryKind::Symlink | EntryKind::Special => {}
                }
            }
            if !page.more {
                break;
            }
        }
    }
    Ok(())
}
