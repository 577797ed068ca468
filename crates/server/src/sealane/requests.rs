//! The requests of one session that are under way: how many there may be, and how they end early.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::info_span;

use super::context::{Cancels, Context, Registration, Room, SMALL_FILES_KIB, lock, room};
use super::refusal::Refusal;
use super::settings::Sealane;
use super::small_files::SmallFiles;
use crate::signer::Signer;
use sealane_base::types::text::printable;
use sealane_core::service::{Login, Service};
use sealane_protocol::transfer::Routes;
use sealane_protocol::wire::{FrameSender, Share};
use sealane_protocol::{ClientMessage, Kind, Status, limits};

/// The requests under way.
#[derive(Debug)]
pub(super) struct Requests {
    service: Service,
    login: Arc<Login>,
    out: FrameSender,
    pub(super) routes: Routes,
    requests: Arc<Semaphore>,
    transfers: Arc<Semaphore>,
    /// KiB of small files that arrive, and of answers.
    arriving: (Arc<Semaphore>, Share),
    leaving: (Arc<Semaphore>, Share),
    pub(super) small_files: SmallFiles,
    cancels: Cancels,
    /// Set once the session ends.
    over: Arc<AtomicBool>,
    signer: Option<Signer>,
}

impl Requests {
    pub(super) fn new(
        door: &Sealane,
        login: Arc<Login>,
        out: FrameSender,
        signer: Option<Signer>,
    ) -> Self {
        let memory = &door.memory;
        let permits = |count: u32| Arc::new(Semaphore::new(count as usize));
        Self {
            service: door.service.clone(),
            login,
            out,
            routes: Routes::within(memory, &door.sending, door.limits.transfer_stall),
            // The peer of a download knows of its end before this side does.
            requests: permits(limits::MAX_REQUESTS + limits::MAX_TRANSFERS),
            transfers: permits(limits::MAX_TRANSFERS),
            arriving: (permits(SMALL_FILES_KIB), memory.share()),
            leaving: (permits(SMALL_FILES_KIB), door.answers.share()),
            small_files: SmallFiles::default(),
            cancels: Cancels::default(),
            over: Arc::default(),
            signer,
        }
    }

    /// Waits until there is room for one more small file of `size` bytes in memory. It waits for
    /// the disk and, if the peer does not read its answers, for the peer.
    pub(super) async fn memory_for(&self, size: u32) -> Option<Room> {
        room(&self.arriving, size.into()).await.ok()
    }

    /// Says whether one more request may begin, and holds its place while the permits live.
    pub(super) fn admit(
        &self,
        message: &ClientMessage,
        draining: bool,
    ) -> Result<Vec<OwnedSemaphorePermit>, Refusal> {
        if draining {
            return Err(Refusal::new(Status::ShuttingDown));
        }
        let mut needed = vec![&self.requests];
        // A download takes its turn once it turns out to be a transfer.
        if message.kind() == Kind::Put {
            needed.push(&self.transfers);
        }
        needed
            .into_iter()
            .map(|kind| Arc::clone(kind).try_acquire_owned())
            .collect::<Result<_, _>>()
            .map_err(|_| Refusal::new(Status::Busy))
    }

    /// Registers request `id` and gives it what it needs.
    pub(super) fn context(&self, id: u32, message: &ClientMessage) -> Context {
        let (path, to) = message.paths();
        let (path, to) = (path.map(printable), to.map(printable));
        let span = info_span!("request", id, kind = ?message.kind(), path, to);
        let (registration, cancelled) = Registration::new(&self.cancels, id);
        Context {
            id,
            span,
            service: self.service.clone(),
            login: Arc::clone(&self.login),
            out: self.out.clone(),
            routes: self.routes.clone(),
            cancelled,
            transfers: Arc::clone(&self.transfers),
            memory: self.leaving.clone(),
            room: Mutex::default(),
            over: Arc::clone(&self.over),
            signer: self.signer.clone(),
            _registration: registration,
        }
    }

    /// Ends request `id` early, if it is still under way.
    pub(super) fn cancel(&self, id: u32) {
        if let Some(token) = lock(&self.cancels).get(&id) {
            token.cancel();
        }
        self.routes.close(id);
    }

    /// Ends every request: closed routes end the transfers, tokens the rest. Their tasks then come
    /// to their end by themselves.
    pub(super) fn end_all(&self) {
        self.over.store(true, Ordering::Relaxed);
        lock(&self.cancels).values().for_each(CancellationToken::cancel);
        self.routes.close_all();
    }
}
