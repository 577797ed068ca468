//! The connection pool of a session: as many further connections as a long link needs.
//!
//! How many is for the [`Controller`]; this opens them, to the server that has proved the same key,
//! and closes them. On a near link there are none: one connection is not held up by round trips
//! there.

mod controller;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use self::controller::{Controller, Step};
use crate::dial::{self, Secured, Target};
use crate::pace::RateLimit;
use crate::session::{JoinedConnection, Joiner, SessionError};
use sealane_base::types::Digest;
use sealane_protocol::join::Exporter;

/// A round trip below which a connection is never held up by waiting for acknowledgements: two
/// chunks in a millisecond are more than any link carries.
const NEAR: Duration = Duration::from_millis(2);
/// A round trip from which a large file gets some connections at once: two chunks in it fill no
/// fast link.
const FAR: Duration = Duration::from_millis(20);
/// A new connection needs some round trips to find its rate, and this long at least.
const SETTLE: (u32, Duration) = (5, Duration::from_millis(400));
const TICK: Duration = Duration::from_millis(50);
/// Deadline of opening further connections, and of closing them in order.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Where further connections go, and how far that is.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The server, with the one key that it has proved.
    pub(crate) target: Target,
    /// By which TLS names the session's own connection.
    pub(crate) session: Exporter,
    /// What opening the first connection took.
    pub(crate) round_trip: Duration,
    /// What all connections of the session together keep to.
    pub(crate) limit: Option<RateLimit>,
}

/// Opens and closes further connections as the transfers of a session need them, until `stop`.
pub(crate) async fn run(joiner: Joiner, settings: Settings, stop: CancellationToken) {
    if settings.round_trip < NEAR || !joiner.ready().await {
        return;
    }
    let settle = (settings.round_trip * SETTLE.0).max(SETTLE.1);
    let mut controller = Controller::new(settle, settings.round_trip >= FAR);
    let mut connections: Vec<JoinedConnection> = Vec::new();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = ticks.tick() => {}
        }
        connections.retain(|it| !it.is_over());
        let (progress, largest) = joiner.progress();
        match controller.tick(Instant::now(), progress, largest, 1 + connections.len()) {
            Step::Stay => {}
            Step::Open(count) => {
                let opened = tokio::select! {
                    () = stop.cancelled() => break,
                    opened = timeout(OPEN_TIMEOUT, open(&joiner, &settings, count)) => opened,
                };
                match opened {
                    Ok(opened) if !opened.is_empty() => connections.extend(opened),
                    _ => controller.refused(Instant::now()),
                }
            }
            Step::Close(count) => {
                for it in connections.drain(connections.len().saturating_sub(count)..) {
                    tokio::spawn(it.close());
                }
            }
        }
    }
    let mut closing: JoinSet<()> = connections.into_iter().map(JoinedConnection::close).collect();
    let all = async { while closing.join_next().await.is_some() {} };
    // One that is stuck goes with the process.
    let _ = timeout(CLOSE_TIMEOUT, all).await;
}

/// Opens as many of `count` connections as the server allows and the network can: they are made
/// while the tokens are on their settings, which saves a round trip.
async fn open(joiner: &Joiner, settings: &Settings, count: usize) -> Vec<JoinedConnection> {
    let mut connecting = JoinSet::new();
    for _ in 0..count {
        let settings = settings.clone();
        // Whoever has logged in with a key need not show it again: the token says whose connection
        // it is.
        connecting.spawn(async move { dial::secure(&settings.target, None, settings.limit).await });
    }
    let wanted = u8::try_from(count).unwrap_or(u8::MAX);
    // What the server says against it does not matter: the transfer goes on as it is.
    let mut tokens = joiner.tokens(wanted).await.unwrap_or_default();
    let mut joining = JoinSet::new();
    while !tokens.is_empty()
        && let Some(connected) = connecting.join_next().await
    {
        if let Ok(Ok(secured)) = connected
            && let Some(token) = tokens.pop()
        {
            let (joiner, session) = (joiner.clone(), settings.session);
            joining.spawn(async move { join(&joiner, secured, &token, &session).await.ok() });
        }
    }
    let mut opened = Vec::new();
    while let Some(it) = joining.join_next().await {
        opened.extend(it.ok().flatten());
    }
    opened
}

async fn join(
    joiner: &Joiner,
    secured: Secured,
    token: &Digest,
    session: &Exporter,
) -> Result<JoinedConnection, SessionError> {
    let exporters = (session, &secured.join);
    joiner.join(secured.stream, token, exporters).await
}
