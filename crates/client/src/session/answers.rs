//! Requests that wait for their answers, and how an answer finds its request.
//!
//! Every wait is bounded: an answer to a request that was dropped is dropped, and a server that
//! sends more answers than a request can have breaks the protocol.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, SetOnce, mpsc};

use super::allowance::Allowance;
use super::error::SessionError;
use sealane_base::types::Layout;
use sealane_protocol::frame::{self, FrameError};
use sealane_protocol::message::{Keys, Offer, Welcome};
use sealane_protocol::transfer::{ReceivingEnd, Route, Routes};
use sealane_protocol::wire::{FrameSender, WireError};
use sealane_protocol::{ClientMessage, Kind, ServerMessage};

/// Answers one request may have waiting: an acceptance and an end, with room to spare.
const ANSWERS: usize = 4;

/// What the reading task and the calls share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) routes: Routes,
    pub(super) allowance: Allowance,
    /// Who waits for which answer.
    waiting: Mutex<Waiting>,
    /// Why nothing is answered any more; the login's error, if that failed.
    ended: OnceLock<SessionError>,
    /// What the server announced; the first word counts.
    pub(super) keys: OnceLock<Keys>,
    /// What it said to `HELLO`.
    pub(super) welcome: OnceLock<Welcome>,
    /// Whether the login succeeded.
    login: SetOnce<bool>,
}

#[derive(Debug, Default)]
struct Waiting {
    by_id: HashMap<u32, Asker>,
    is_over: bool,
}

#[derive(Clone, Debug)]
struct Asker {
    replies: mpsc::Sender<Reply>,
    /// It asked for a file: an offer opens a route at once, before the first chunk comes.
    downloads: bool,
    /// Its answer has many parts, and it does nothing but take them in.
    many: bool,
}

/// An answer.
#[derive(Debug)]
pub(super) enum Reply {
    Message(ServerMessage),
    Offer(Offer, Route, ReceivingEnd),
}

impl Shared {
    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The login has succeeded.
    pub(super) fn succeed(&self) {
        let _ = self.login.set(true);
    }

    /// Waits for the answer to the login.
    pub(super) async fn logged_in(&self) -> Result<(), SessionError> {
        if *self.login.wait().await { Ok(()) } else { Err(self.why().await) }
    }

    /// Whether the login is known to have failed.
    pub(super) fn login_failed(&self) -> bool {
        self.login.get() == Some(&false)
    }

    /// Why there is no answer.
    pub(super) async fn why(&self) -> SessionError {
        self.login.wait().await;
        self.ended.get().map_or_else(|| WireError::Closed.into(), SessionError::again)
    }

    /// Fails all requests, now and later, with `why`. The first reason counts.
    pub(super) fn end(&self, why: SessionError) {
        let _ = self.ended.set(why);
        let _ = self.login.set(false);
        let mut waiting = self.waiting();
        waiting.is_over = true;
        waiting.by_id.clear();
        drop(waiting);
        self.allowance.end();
        self.routes.close_all();
    }

    /// Hands an answer to its asker; an answer nobody waits for any more is dropped.
    pub(super) async fn answer(&self, id: u32, message: ServerMessage) -> Result<(), WireError> {
        if matches!(message, ServerMessage::Refused(_)) {
            self.routes.close(id);
        }
        let Some(asker) = self.waiting().by_id.get(&id).cloned() else { return Ok(()) };
        let reply = match message {
            ServerMessage::Offer(offer) if asker.downloads => {
                let layout = offered_layout(&offer);
                let layout = layout.ok_or(FrameError::Body(Kind::Offer))?;
                let (route, end) = self.routes.receive(id, layout);
                Reply::Offer(offer, route, end)
            }
            other => Reply::Message(other),
        };
        let kind = match &reply {
            Reply::Message(message) => message.kind(),
            Reply::Offer(..) => Kind::Offer,
        };
        if asker.many && kind == Kind::Entries {
            // Waits for memory at most; an asker that is gone takes nothing.
            let _ = asker.replies.send(reply).await;
            return Ok(());
        }
        // A server that answers more than a request can have answers breaks the protocol.
        asker.replies.try_send(reply).or_else(|error| match error {
            mpsc::error::TrySendError::Full(_) => Err(FrameError::State(kind).into()),
            mpsc::error::TrySendError::Closed(_) => Ok(()),
        })
    }
}

/// The layout an offer describes, if it is one that a sender would choose.
fn offered_layout(offer: &Offer) -> Option<Layout> {
    Layout::for_size(offer.size).ok().filter(|layout| layout.chunk_log2() == offer.chunk_log2)
}

/// A request whose answers are still to come. Dropping it forgets the request.
#[derive(Debug)]
pub(super) struct Pending {
    id: u32,
    replies: mpsc::Receiver<Reply>,
    shared: Arc<Shared>,
    out: FrameSender,
    /// Until it is sent: no request with a greater id may overtake this one.
    turn: Option<OwnedMutexGuard<u32>>,
    _permit: OwnedSemaphorePermit,
}

impl Pending {
    /// Registers a request with the next id, once one more is allowed; `downloads` if its answer
    /// may be an offer. `None` if the session has ended.
    pub(super) async fn open(
        shared: Arc<Shared>,
        out: FrameSender,
        next_id: Arc<tokio::sync::Mutex<u32>>,
        downloads: bool,
    ) -> Option<Self> {
        let _permit = shared.allowance.request().await?;
        let mut turn = next_id.lock_owned().await;
        let id = *turn;
        *turn = id.wrapping_add(1);
        let (sender, replies) = mpsc::channel(ANSWERS);
        let mut waiting = shared.waiting();
        if waiting.is_over {
            return None;
        }
        waiting.by_id.insert(id, Asker { replies: sender, downloads, many: false });
        drop(waiting);
        Some(Self { id, replies, shared, out, turn: Some(turn), _permit })
    }

    pub(super) fn id(&self) -> u32 {
        self.id
    }

    /// Says, before it is sent, that its answer is any number of `ENTRIES`. They must be taken in
    /// without a pause: everything else on the connection waits behind them.
    pub(super) fn expect_many(&self) {
        if let Some(asker) = self.shared.waiting().by_id.get_mut(&self.id) {
            asker.many = true;
        }
    }

    pub(super) async fn send(&mut self, message: ClientMessage) -> Result<(), SessionError> {
        let sent = self.out.send(message.encode(self.id)).await;
        self.turn = None;
        match sent {
            Ok(()) => Ok(()),
            Err(_) => Err(self.shared.why().await),
        }
    }

    /// The next answer that is not a refusal.
    pub(super) async fn reply(&mut self) -> Result<Reply, SessionError> {
        match self.replies.recv().await {
            None => Err(self.shared.why().await),
            Some(Reply::Message(ServerMessage::Refused(refused))) => {
                Err(SessionError::Refused(refused))
            }
            Some(reply) => Ok(reply),
        }
    }

    /// The next answer, which is neither a refusal nor an offer.
    pub(super) async fn message(&mut self) -> Result<ServerMessage, SessionError> {
        match self.reply().await? {
            Reply::Message(message) => Ok(message),
            Reply::Offer(..) => Err(SessionError::Answer(Kind::Offer)),
        }
    }

    /// Tells the server that this request is given up.
    pub(super) async fn cancel(&self) {
        let _ = self.out.send(frame::fixed(Kind::Cancel, self.id, &[])).await;
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.shared.waiting().by_id.remove(&self.id);
    }
}
