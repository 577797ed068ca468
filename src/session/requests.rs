//! The requests of one session that are under way: how many there may be, and how they end early.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::refusal::Refusal;
use super::server::SharedHome;
use crate::protocol::{ClientMessage, Kind, Status, limits};
use crate::storage::StorageError;
use crate::transfer::{ReceivingEnd, Route, Routes, SendingEnd};
use crate::types::Layout;
use crate::wire::FrameSender;

/// Small files of one session in memory at once: 8 MiB.
const SMALL_FILES: usize = 8;

/// The requests under way.
#[derive(Debug)]
pub(super) struct Requests {
    home: SharedHome,
    out: FrameSender,
    pub(super) routes: Routes,
    requests: Arc<Semaphore>,
    transfers: Arc<Semaphore>,
    small_files: Arc<Semaphore>,
    cancels: Cancels,
}

type Cancels = Arc<Mutex<HashMap<u32, CancellationToken>>>;

/// What one request needs: its id, its account's home, the way back.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) id: u32,
    pub(super) home: SharedHome,
    pub(super) out: FrameSender,
    pub(super) cancelled: CancellationToken,
    routes: Routes,
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
    /// Runs blocking work of the home on a thread that may block.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&SharedHome) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let home = Arc::clone(&self.home);
        match tokio::task::spawn_blocking(move || work(&home)).await {
            Ok(result) => Ok(result?),
            Err(error) => Err(Refusal::internal(error)),
        }
    }

    /// Opens the route of a file that comes; `None` if the request was given up before.
    pub(super) fn receive(&self, layout: Layout) -> Option<(Route, ReceivingEnd)> {
        self.unless_cancelled(self.routes.receive(self.id, layout))
    }

    /// Opens the route of a file that goes; `None` if the request was given up before.
    pub(super) fn send(&self) -> Option<(Route, SendingEnd)> {
        self.unless_cancelled(self.routes.send(self.id))
    }

    /// Whoever gives a request up cancels its token and then closes its route, so a route that was
    /// opened too late to be closed finds the token cancelled.
    fn unless_cancelled<T>(&self, route: T) -> Option<T> {
        (!self.cancelled.is_cancelled()).then_some(route)
    }
}

impl Requests {
    pub(super) fn new(home: SharedHome, out: FrameSender) -> Self {
        let permits = |count: u32| Arc::new(Semaphore::new(count as usize));
        Self {
            home,
            out,
            routes: Routes::default(),
            requests: permits(limits::MAX_REQUESTS),
            transfers: permits(limits::MAX_TRANSFERS),
            small_files: Arc::new(Semaphore::new(SMALL_FILES)),
            cancels: Cancels::default(),
        }
    }

    /// Waits until there is room for one more small file in memory. It waits for the disk and, if
    /// the peer does not read its answers, for the peer.
    pub(super) async fn small_file(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.small_files).acquire_owned().await.ok()
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
        if matches!(message.kind(), Kind::Put | Kind::Get) {
            needed.push(&self.transfers);
        }
        needed
            .into_iter()
            .map(|kind| Arc::clone(kind).try_acquire_owned())
            .collect::<Result<_, _>>()
            .map_err(|_| Refusal::new(Status::Busy))
    }

    /// Registers request `id` and gives it what it needs.
    pub(super) fn context(&self, id: u32) -> Context {
        let cancelled = CancellationToken::new();
        lock(&self.cancels).insert(id, cancelled.clone());
        let registration = Registration {
            id,
            cancels: Arc::clone(&self.cancels),
            _token: cancelled.clone().drop_guard(),
        };
        Context {
            id,
            home: Arc::clone(&self.home),
            out: self.out.clone(),
            routes: self.routes.clone(),
            cancelled,
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
        lock(&self.cancels).values().for_each(CancellationToken::cancel);
        self.routes.close_all();
    }
}

fn lock(cancels: &Cancels) -> std::sync::MutexGuard<'_, HashMap<u32, CancellationToken>> {
    cancels.lock().unwrap_or_else(PoisonError::into_inner)
}
