//! For any limits that a configuration may name and anything that a peer may say of itself: the
//! server obeys its own and nobody else's.

use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use sealane::config;
use sealane_protocol::{Header, Kind, ServerMessage, Status, VERSION, limits};
use tokio::time::{Instant, sleep};

use crate::support::Pair;
use crate::support::pair::USER;
use crate::support::peer::{Peer, status, still};
use crate::support::site::PASSWORD;

const YEAR: i64 = 365 * 24 * 3600;
/// What rounding and the end of a connection may add.
const SLACK: Duration = Duration::from_secs(2);

/// The keys that bound something, and the most that each may be.
const KEYS: [(&str, i64); 9] = [
    ("login_seconds", YEAR),
    ("idle_seconds", YEAR),
    ("stall_seconds", YEAR),
    ("connections", 1_000_000),
    ("strangers", 1_000_000),
    ("strangers_per_source", 1_000_000),
    ("sessions_per_account", 1_000_000),
    ("recheck_seconds", YEAR),
    ("drain_seconds", YEAR),
];

/// What the key may not be, and what it may.
fn value(most: i64) -> impl Strategy<Value = i64> {
    prop_oneof![
        1 => prop::sample::select(vec![0, -1, most + 1, i64::MIN, i64::MAX]),
        9 => 1..=8i64,
        9 => 1..=600i64,
        9 => 1..=most,
    ]
}

fn any_value() -> impl Strategy<Value = Vec<Option<i64>>> {
    KEYS.map(|(_, most)| prop::option::of(value(most))).into_iter().collect::<Vec<_>>()
}

/// Anything a greeting may carry besides what it must: numbers under keys that mean something one
/// day.
fn boasts() -> impl Strategy<Value = Vec<(u8, u64)>> {
    let number = prop_oneof![Just(0), Just(u64::MAX), any::<u64>()];
    prop::collection::vec((3u8..30, number), 0..6)
}

fn frame(
    kind: Kind,
    id: u32,
    texts: &[(u8, &str)],
    features: Option<&[u64]>,
    boasts: &[(u8, u64)],
) -> Vec<u8> {
    let mut boasts = boasts.to_vec();
    boasts.sort_unstable();
    boasts.dedup_by_key(|(key, _)| *key);
    let mut body = minicbor::Encoder::new(Vec::new());
    body.map((texts.len() + 2 * usize::from(features.is_some()) + boasts.len()) as u64).unwrap();
    if let Some(features) = features {
        body.u8(0).unwrap().u64(VERSION).unwrap();
        body.u8(2).unwrap().array(features.len() as u64).unwrap();
        for feature in features {
            body.u64(*feature).unwrap();
        }
    }
    for (key, text) in texts {
        body.u8(*key).unwrap().str(text).unwrap();
    }
    for (key, number) in boasts {
        body.u8(key).unwrap().u64(number).unwrap();
    }
    let body = body.into_writer();
    [&Header::new(kind, id, body.len() as u32).encode()[..], &body].concat()
}

/// Says hello, and is told the limits that everybody is told.
async fn greet(peer: &mut Peer, features: &[u64], boasts: &[(u8, u64)]) {
    peer.send(&frame(Kind::Hello, 1, &[], Some(features), boasts)).await;
    let ServerMessage::Welcome(welcome) = peer.answer_to(1).await else { panic!() };
    assert!(welcome.max_requests <= limits::MAX_REQUESTS && welcome.max_requests > 0);
    assert!(welcome.max_transfers <= limits::MAX_TRANSFERS && welcome.max_transfers > 0);
}

/// Whether it was let in.
async fn log_in(peer: &mut Peer, features: &[u64], boasts: &[(u8, u64)]) -> bool {
    let _still = still();
    greet(peer, features, boasts).await;
    peer.send(&frame(Kind::Login, 2, &[(0, USER), (1, PASSWORD)], None, boasts)).await;
    match peer.answer_to(2).await {
        ServerMessage::LoggedIn(_) => true,
        refused => {
            assert_eq!(status(&refused), Some(Status::Busy));
            false
        }
    }
}

async fn ends_within(peer: Peer, limit: Duration) {
    let since = Instant::now();
    let _ = peer.closed_at_last().await;
    assert!(since.elapsed() <= limit + SLACK, "{:?} instead of {limit:?}", since.elapsed());
}

/// One connection for each limit, which does all it can to get more.
async fn obeyed(settings: config::Settings, features: Vec<u64>, boasts: Vec<(u8, u64)>) {
    let (limits, login, most) = (settings.limits, settings.login_deadline, settings.sessions);
    let pair = Pair::bounded(limits, most);
    let peer = || pair.peer_within(login);

    let mut slow = peer();
    greet(&mut slow, &features, &boasts).await;
    ends_within(slow, login).await;

    let mut sessions = Vec::new();
    for _ in 0..most.min(5) {
        let mut session = peer();
        assert!(log_in(&mut session, &features, &boasts).await);
        sessions.push(session);
    }
    if most <= 5 {
        assert!(!log_in(&mut peer(), &features, &boasts).await, "one more than {most}");
    }
    // Pings are no requests.
    let mut idle = sessions.pop().unwrap();
    sleep(limits.idle / 2).await;
    idle.send(&sealane_protocol::frame::fixed(Kind::Ping, 0, b"are you?")).await;
    ends_within(idle, limits.idle - limits.idle / 2).await;
    drop(sessions);

    let mut stalled = peer();
    while !log_in(&mut stalled, &features, &boasts).await {
        stalled = peer();
    }
    stalled.send(&[Kind::Stat as u8, 0, 0]).await;
    ends_within(stalled, limits.stall.min(limits.idle)).await;
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2 * super::cases(),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn row_08_no_configuration_and_no_peer_lifts_a_limit(
        values in any_value(), features in prop::collection::vec(any::<u64>(), 0..4),
        boasts in boasts()
    ) {
        let named = KEYS.iter().zip(&values).filter_map(|((key, most), it)| Some((key, most, (*it)?)));
        let named: Vec<_> = named.collect();
        let lines = named.iter().map(|(key, _, number)| format!("{key} = {number}\n"));
        let text = format!("[limits]\n{}", lines.collect::<String>());
        let read = config::parse(Path::new("config.toml"), text.as_bytes());
        let is_allowed = named.iter().all(|(_, most, number)| (1..=**most).contains(number));
        let Ok(settings) = read else { return Ok(()) };
        prop_assert!(is_allowed, "{text}");
        // Exactly what was written, and never without end.
        for (key, _, number) in named {
            let obeyed = match *key {
                "login_seconds" => settings.login_deadline.as_secs(),
                "idle_seconds" => settings.limits.idle.as_secs(),
                "stall_seconds" => settings.limits.stall.as_secs(),
                "connections" => settings.connections as u64,
                "strangers" => settings.strangers.all as u64,
                "strangers_per_source" => settings.strangers.per_source as u64,
                "sessions_per_account" => settings.sessions as u64,
                "recheck_seconds" => settings.recheck.as_secs(),
                _ => settings.drain.as_secs(),
            };
            prop_assert_eq!(obeyed, number as u64, "{}", key);
        }
        prop_assert!(settings.strangers.all < settings.connections);
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.unwrap().block_on(obeyed(settings, features, boasts));
    }
}
