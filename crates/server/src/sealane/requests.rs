//! The requests of one session that are under way: how many there may be, and how they end early.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{Span, info_span};

use super::Sealane;
use super::refusal::Refusal;
use super::signer::Signer;
use super::small_files::SmallFiles;
use sealane_base::files::StorageError;
use sealane_base::types::Layout;
use sealane_base::types::text::printable;
use sealane_core::service::{Home, Login, Service};
use sealane_protocol::transfer::{ReceivingEnd, Route, Routes, SendingEnd};
use sealane_protocol::wire::{FrameSender, Loan, Share};
use sealane_protocol::{ClientMessage, Kind, Status, limits};

/// Small files of one session in memory at once, in KiB, on their way up; and as much again down.
const SMALL_FILES_KIB: u32 = 8 * 1024;

/// The requests under way.
#[derive(Debug)]
pub(super) struct Requests {
    service: Service,
    login: Arc<Login>,
    out: FrameSender,
    pub(super) routes: Routes,
    requests: Arc<Semaphore>,
    transfers: Arc<Semaphore>,
    /// KiB of small files that arrive, and of those that are sent.
    arriving: (Arc<Semaphore>, Share),
    leaving: (Arc<Semaphore>, Share),
    pub(super) small_files: SmallFiles,
    cancels: Cancels,
    /// Set once the session ends.
    over: Arc<AtomicBool>,
    signer: Option<Signer>,
}

type Cancels = Arc<Mutex<HashMap<u32, CancellationToken>>>;

/// What one request needs: its id, its account's home, the way back.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) id: u32,
    /// Where the log says what it is about.
    pub(super) span: Span,
    pub(super) service: Service,
    pub(super) login: Arc<Login>,
    pub(super) out: FrameSender,
    pub(super) cancelled: CancellationToken,
    routes: Routes,
    transfers: Arc<Semaphore>,
    memory: (Arc<Semaphore>, Share),
    over: Arc<AtomicBool>,
    pub(super) signer: Option<Signer>,
    _registration: Registration,
}

/// Forgets the request when it ends, and ends what still listens to its token.
#[derive(Debug)]
struct Registration {
    id: u32,
    cancels: Cancels,
    _token: DropGuard,
}

impl Drop for Registration {
    fn drop(&mut self) {
        lock(&self.cancels).remove(&self.id);
    }
}

impl Context {
    /// Waits for the turn of a download; `None` once the request is cancelled.
    pub(super) async fn transfer_turn(&self) -> Option<OwnedSemaphorePermit> {
        self.or_cancelled(Arc::clone(&self.transfers).acquire_owned()).await
    }

    /// Waits until a small file of `size` bytes may be in memory; `None` once the request is
    /// cancelled.
    pub(super) async fn memory_for(&self, size: u64) -> Option<Room> {
        self.or_cancelled(room(&self.memory, size)).await
    }

    /// Whether the session ends: then that says all there is to say about this request. A refusal
    /// would tell a peer that only stood still for a while not to try again.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    async fn or_cancelled<T>(
        &self,
        permit: impl Future<Output = Result<T, AcquireError>>,
    ) -> Option<T> {
        tokio::select! {
            permit = permit => permit.ok(),
            () = self.cancelled.cancelled() => None,
        }
    }

    /// Runs blocking work of the home on a thread that may block.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Home) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let home = Arc::clone(self.login.home());
        match tokio::task::spawn_blocking(move || work(&home)).await {
            Ok(result) => Ok(result?),
            Err(error) => Err(Refusal::internal(error)),
        }
    }

    /// Opens the route of a file that comes; `None` if the request was given up before.
    pub(super) fn receive(&self, layout: Layout) -> Option<(Route, ReceivingEnd)> {
        self.if_wanted(self.routes.receive(self.id, layout))
    }

    /// Opens the route of a file of `size` bytes that goes; `None` if the request was given up
    /// before.
    pub(super) fn send(&self, size: u64) -> Option<(Route, SendingEnd)> {
        self.if_wanted(self.routes.send(self.id, size))
    }

    /// Whoever gives a request up cancels its token and then closes its route, so a route that was
    /// opened too late to be closed finds the token cancelled.
    fn if_wanted<T>(&self, route: T) -> Option<T> {
        (!self.cancelled.is_cancelled()).then_some(route)
    }
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
            routes: Routes::within(memory),
            // The peer of a download knows of its end before this side does.
            requests: permits(limits::MAX_REQUESTS + limits::MAX_TRANSFERS),
            transfers: permits(limits::MAX_TRANSFERS),
            arriving: (permits(SMALL_FILES_KIB), memory.share()),
            leaving: (permits(SMALL_FILES_KIB), memory.share()),
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
        let cancelled = CancellationToken::new();
        lock(&self.cancels).insert(id, cancelled.clone());
        let registration = Registration {
            id,
            cancels: Arc::clone(&self.cancels),
            _token: cancelled.clone().drop_guard(),
        };
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

/// Room in memory for a small file: of its session, and of the server.
#[derive(Debug)]
pub(super) struct Room {
    _session: OwnedSemaphorePermit,
    _server: Loan,
}

async fn room(of: &(Arc<Semaphore>, Share), size: u64) -> Result<Room, AcquireError> {
    let (session, server) = of;
    let _session = Arc::clone(session).acquire_many_owned(kib(size)).await?;
    let _server = server.loan(usize::try_from(size).unwrap_or(usize::MAX)).await;
    Ok(Room { _session, _server })
}

fn kib(size: u64) -> u32 {
    u32::try_from(size / 1024 + 1).unwrap_or(SMALL_FILES_KIB).min(SMALL_FILES_KIB)
}

fn lock(cancels: &Cancels) -> std::sync::MutexGuard<'_, HashMap<u32, CancellationToken>> {
    cancels.lock().unwrap_or_else(PoisonError::into_inner)
}
