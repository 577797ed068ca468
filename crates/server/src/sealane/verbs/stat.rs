//! `STAT`: what is behind one path.

use crate::sealane::context::Context;
use crate::sealane::refusal::Refusal;
use sealane_base::files::EntryKind;
use sealane_base::types::RemotePath;
use sealane_core::storage::Entry;
use sealane_protocol::ServerMessage;
use sealane_protocol::message::{self, PathOnly};

/// Answers `STAT`.
pub(in crate::sealane) async fn serve(
    context: &Context,
    request: PathOnly,
) -> Result<ServerMessage, Refusal> {
    let path = RemotePath::parse(&request.path)?;
    let entry = context.run(move |home| home.stat(&path)).await?;
    Ok(ServerMessage::Entry(to_wire(entry)))
}

/// An entry as it travels.
pub(super) fn to_wire(entry: Entry) -> message::Entry {
    let kind = match entry.kind {
        EntryKind::File => 0,
        EntryKind::Directory => 1,
        EntryKind::Symlink => 2,
        EntryKind::Special => 3,
    };
    let Entry { name, size, modified, mode, .. } = entry;
    message::Entry { name, kind, size, modified, mode }
}
