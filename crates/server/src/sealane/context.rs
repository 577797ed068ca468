//! What one request works with: its account's home, its way back, and how it ends early.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{Span, info, warn};

use super::refusal::Refusal;
use crate::signer::Signer;
use sealane_base::files::StorageError;
use sealane_base::types::Layout;
use sealane_base::types::text::REPEATED;
use sealane_core::service::{Home, Login, Service};
use sealane_protocol::ServerMessage;
use sealane_protocol::transfer::{ReceivingEnd, Route, Routes, SendingEnd, TransferError};
use sealane_protocol::wire::{FrameSender, Loan, Share};

/// Small files of one session in memory at once, in KiB, on their way up; and as much again of
/// answers.
pub(super) const SMALL_FILES_KIB: u32 = 8 * 1024;

/// The requests of a session that can be ended early, by id.
pub(super) type Cancels = Arc<Mutex<HashMap<u32, CancellationToken>>>;

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
    pub(super) routes: Routes,
    pub(super) transfers: Arc<Semaphore>,
    /// For answers: of the session in KiB, and of the server.
    pub(super) memory: (Arc<Semaphore>, Share),
    /// What the last answer takes of it, until that is written.
    pub(super) room: Mutex<Option<Room>>,
    pub(super) over: Arc<AtomicBool>,
    pub(super) signer: Option<Signer>,
    pub(super) _registration: Registration,
}

/// Forgets the request when it ends, and ends what still listens to its token.
#[derive(Debug)]
pub(super) struct Registration {
    id: u32,
    cancels: Cancels,
    _token: DropGuard,
}

impl Registration {
    /// Registers request `id`; the token is cancelled when it is to end.
    pub(super) fn new(cancels: &Cancels, id: u32) -> (Self, CancellationToken) {
        let cancelled = CancellationToken::new();
        lock(cancels).insert(id, cancelled.clone());
        let (cancels, _token) = (Arc::clone(cancels), cancelled.clone().drop_guard());
        (Self { id, cancels, _token }, cancelled)
    }
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

    /// Waits until an answer of `size` bytes may be in memory: for the peer to read those before
    /// it, if it must be. `None` once the request is cancelled.
    pub(super) async fn memory_for(&self, size: u64) -> Option<Room> {
        self.or_cancelled(room(&self.memory, size)).await
    }

    /// As [`Context::memory_for`], for the last answer of this request.
    pub(super) async fn reserve_answer(&self, size: u32) -> Result<(), Refusal> {
        let room = self.memory_for(size.into()).await.ok_or(TransferError::Interrupted)?;
        *self.room.lock().unwrap_or_else(PoisonError::into_inner) = Some(room);
        Ok(())
    }

    /// Sends an answer that is not the last, for which [`Context::reserve_answer`] has made room.
    pub(super) async fn send_reserved(&self, answer: &ServerMessage) -> Result<(), Refusal> {
        let room = self.room.lock().unwrap_or_else(PoisonError::into_inner).take();
        let sent = self.out.send_holding(answer.encode(self.id), Box::new(room)).await;
        sent.map_err(|_| TransferError::Interrupted.into())
    }

    /// Writes a refusal to the log and gives what the peer may know of it.
    pub(super) fn refuse(&self, refusal: Refusal) -> ServerMessage {
        let (status, internal) = (refusal.status(), refusal.internal.as_deref());
        self.span.in_scope(|| match internal {
            Some(internal) => warn!(name: REPEATED, ?status, internal, "refused"),
            None => info!(name: REPEATED, ?status, "refused"),
        });
        refusal.into_message()
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

    /// Runs work of the home that may block for some milliseconds.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Home) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let home = Arc::clone(self.login.home());
        Ok(self.login.queue().run(move || work(&home)).await?)
    }

    /// Runs work of the home that may block for long.
    pub(super) async fn run_long<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Home) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let home = Arc::clone(self.login.home());
        Ok(self.login.queue().run_long(move || work(&home)).await?)
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

/// Room in memory for a small file or an answer: of its session, and of the server.
#[derive(Debug)]
pub(super) struct Room {
    _session: OwnedSemaphorePermit,
    _server: Loan,
}

pub(super) async fn room(of: &(Arc<Semaphore>, Share), size: u64) -> Result<Room, AcquireError> {
    let (session, server) = of;
    let _session = Arc::clone(session).acquire_many_owned(kib(size)).await?;
    let _server = server.loan(usize::try_from(size).unwrap_or(usize::MAX)).await;
    Ok(Room { _session, _server })
}

fn kib(size: u64) -> u32 {
    u32::try_from(size / 1024 + 1).unwrap_or(SMALL_FILES_KIB).min(SMALL_FILES_KIB)
}

pub(super) fn lock(cancels: &Cancels) -> MutexGuard<'_, HashMap<u32, CancellationToken>> {
    cancels.lock().unwrap_or_else(PoisonError::into_inner)
}
