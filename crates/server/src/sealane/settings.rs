//! What the door sealane/1 and each of its connections are set up with.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::tokens::TokenTable;
use crate::signer::Signer;
use sealane_base::types::Pin;
use sealane_core::service::Service;
use sealane_protocol::join::Exporter;
use sealane_protocol::message::Keys;
use sealane_protocol::wire::{Memory, SLOWEST};

/// Time limits of a session. Zero is not "unlimited": it is no time at all.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Time without a request after which a session is closed. With one under way: time without any
    /// frame.
    pub idle: Duration,
    /// Time without a byte taken or given in the middle of a frame.
    pub stall: Duration,
    /// Bytes a second in the middle of a frame; whoever is slower for as long as `stall` is given
    /// up. At least 1.
    pub slowest: u32,
    /// Time without any progress after which a transfer is ended, however often its peer says
    /// that it is there.
    pub transfer_stall: Duration,
}

impl Default for Limits {
    /// 5 minutes idle, 60 seconds of stall or below 1 KiB/s, 5 minutes for a transfer.
    fn default() -> Self {
        let (idle, stall) = (Duration::from_secs(300), Duration::from_secs(60));
        Self { idle, stall, slowest: SLOWEST, transfer_stall: Duration::from_secs(300) }
    }
}

/// The door that speaks sealane/1: what all its sessions share.
#[derive(Clone, Debug)]
pub struct Sealane {
    /// Accounts and homes.
    pub service: Service,
    /// Time limits.
    pub limits: Limits,
    /// Opens further connections.
    pub tokens: TokenTable,
    /// For what arrives, in all sessions together.
    pub memory: Memory,
    /// For large files that are sent, in all sessions together.
    pub sending: Memory,
    /// For answers that wait until their peer reads them: listings and small files.
    pub answers: Memory,
}

/// What a server knows of one connection before anything is said on it.
#[derive(Debug)]
pub struct Terms {
    /// Everything up to the login must happen before.
    pub deadline: Instant,
    /// Once cancelled, new requests are refused and the session ends when those under way have.
    pub drain: CancellationToken,
    /// The server's keys, to be announced to a client that has logged in.
    pub keys: Option<Keys>,
    /// What signs receipts.
    pub signer: Option<Signer>,
    /// The key that the client has proved in the handshake, if it showed one.
    pub client_key: Option<Pin>,
    /// By which TLS names the connection ([`join::EXPORTER`](sealane_protocol::join::EXPORTER));
    /// without it there are no further connections.
    pub exporter: Option<Exporter>,
}

/// How a session ended, when nothing was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The peer closed the connection.
    ByPeer,
    /// The peer was silent for too long.
    Idle,
    /// The login was refused, or the token.
    NotLoggedIn,
    /// The server is shutting down and everything under way has ended.
    Drained,
    /// It had joined a session, which has ended.
    WithSession,
}
