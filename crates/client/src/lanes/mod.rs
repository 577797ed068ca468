//! Further connections to a session, as many as a long link needs.
//!
//! How many is for the [`Controller`]; this opens them, to the server that has proved the same key, and closes
//! them. On a near link there are none: one connection is not held up by round trips there.

mod controller;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use self::controller::{Controller, Step};
use super::{RateLimit, Secured, Target, secure_paced};
use crate::session::{JoinedLane, LaneControl, SessionError};
use sealane_base::types::Digest;
use sealane_protocol::join::Exporter;

/// A round trip below which a connection is never held up by waiting for acknowledgements: two chunks in a
/// millisecond are more than any link carries.
const NEAR: Duration = Duration::from_millis(2);
/// A round trip from which a large file gets some connections at once: two chunks in it fill no fast link.
const FAR: Duration = Duration::from_millis(20);
/// A new connection needs some round trips to find its rate, and this long at least.
const SETTLE: (u32, Duration) = (5, Duration::from_millis(400));
const TICK: Duration = Duration::from_millis(50);
/// Time to open further connections; and to close them in order.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(1));

/// Where further connections go.
#[derive(Clone, Debug)]
pub(super) struct Way {
    /// The server, with the one key that it has proved.
    pub(super) target: Target,
    /// By which TLS names the session's own connection.
    pub(super) session: Exporter,
    /// What opening the first connection took.
    pub(super) round_trip: Duration,
    /// What all connections of the session together keep to.
    pub(super) limit: Option<RateLimit>,
}

/// Opens and closes further connections as the transfers of a session need them, until `stop`.
pub(super) async fn adapt(control: LaneControl, way: Way, stop: CancellationToken) {
    if way.round_trip < NEAR {
        return;
    }
    let settle = (way.round_trip * SETTLE.0).max(SETTLE.1);
    let mut controller = Controller::new(settle, way.round_trip >= FAR);
    let mut lanes: Vec<JoinedLane> = Vec::new();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = ticks.tick() => {}
        }
        lanes.retain(|lane| !lane.is_over());
        let (progress, largest) = control.progress();
        match controller.tick(Instant::now(), progress, largest, 1 + lanes.len()) {
            Step::Stay => {}
            Step::Open(count) => {
                let opened = tokio::select! {
                    () = stop.cancelled() => break,
                    opened = timeout(PATIENCE.0, open(&control, &way, count)) => opened,
                };
                match opened {
                    Ok(opened) if !opened.is_empty() => lanes.extend(opened),
                    _ => controller.refused(Instant::now()),
                }
            }
            Step::Close(count) => {
                for lane in lanes.drain(lanes.len().saturating_sub(count)..) {
                    tokio::spawn(lane.close());
                }
            }
        }
    }
    let mut closing: JoinSet<()> = lanes.into_iter().map(JoinedLane::close).collect();
    let all = async { while closing.join_next().await.is_some() {} };
    // One that is stuck goes with the process.
    let _ = timeout(PATIENCE.1, all).await;
}

/// Opens as many of `count` connections as the server allows and the network can: they are made while the tokens are
/// on their way, which saves a round trip.
async fn open(control: &LaneControl, way: &Way, count: usize) -> Vec<JoinedLane> {
    let mut connecting = JoinSet::new();
    for _ in 0..count {
        let way = way.clone();
        // Whoever has logged in with a key need not show it again: the token says whose connection it is.
        connecting.spawn(async move { secure_paced(&way.target, None, way.limit).await });
    }
    let wanted = u8::try_from(count).unwrap_or(u8::MAX);
    // What the server says against it does not matter: the transfer goes on as it is.
    let mut tokens = control.tokens(wanted).await.unwrap_or_default();
    let mut joining = JoinSet::new();
    while !tokens.is_empty()
        && let Some(connected) = connecting.join_next().await
    {
        if let Ok(Ok(secured)) = connected
            && let Some(token) = tokens.pop()
        {
            let (control, session) = (control.clone(), way.session);
            joining.spawn(async move { join(&control, secured, &token, &session).await.ok() });
        }
    }
    let mut opened = Vec::new();
    while let Some(lane) = joining.join_next().await {
        opened.extend(lane.ok().flatten());
    }
    opened
}

async fn join(
    control: &LaneControl,
    secured: Secured,
    token: &Digest,
    session: &Exporter,
) -> Result<JoinedLane, SessionError> {
    let exporters = (session, &secured.way.session);
    control.join(secured.stream, token, exporters).await
}
