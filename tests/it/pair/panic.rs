//! A panic in the middle of a session: it ends that session and nothing else.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use sealane_protocol::wire::WireError;
use sealane_protocol::{Kind, ServerMessage, Side};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
use tracing_subscriber::layer::{Layer, SubscriberExt as _};

use crate::support::peer::{Peer, chunk, end, hello, login, put, soon, stat, usage};
use crate::support::site::PASSWORD;
use crate::support::{Pair, noise};

const MIB: usize = 1 << 20;

/// A stream whose next read panics once the fuse is lit.
struct Fragile {
    stream: DuplexStream,
    is_lit: Arc<AtomicBool>,
}

impl AsyncRead for Fragile {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        assert!(!self.is_lit.load(Ordering::SeqCst), "as if the session had a bug");
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Fragile {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_ends_its_own_session_alone() {
    let pair = Pair::new();
    let bytes = noise(2 * MIB, 1);
    let (near, far) = duplex(4 * MIB);
    let is_lit = Arc::new(AtomicBool::new(false));
    let served = pair.serve(Fragile { stream: far, is_lit: is_lit.clone() });
    let mut doomed = Peer::new(near, Side::Server, None);
    doomed.send(&[hello(1), login(2, PASSWORD)].concat()).await;
    assert!(matches!(doomed.answer_to(2).await, ServerMessage::LoggedIn(_)));
    let id = doomed.ask(put("file", bytes.len())).await;
    assert!(matches!(doomed.answer_to(id).await, ServerMessage::Accepted(_)));
    doomed.send(&chunk(id, &bytes, 0)).await;
    doomed.acknowledged(id, 0).await;

    let mut other = pair.logged_in().await;
    is_lit.store(true, Ordering::SeqCst);
    doomed.send(&chunk(id, &bytes, 1)).await;
    assert!(soon(served).await.unwrap_err().is_panic());
    while doomed.next().await.is_some() {}
    // What it had reserved is free again, what was acknowledged is kept, and the same file goes up.
    let give_up = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let ServerMessage::UsageIs(now) = other.exchange(usage()).await else { panic!() };
        if (now.used, now.reserved) == (MIB as u64, 0) {
            break;
        }
        assert!(std::time::Instant::now() < give_up, "{now:?}");
    }
    let id = other.ask(put("file", bytes.len())).await;
    let accepted = other.answer_to(id).await;
    assert!(matches!(&accepted, ServerMessage::Accepted(it) if it.claims), "{accepted:?}");
    // Whoever skips a chunk must have heard the claim for it.
    assert_eq!(other.frame_of(id).await.0.kind, Kind::Claims);
    other.send(&[chunk(id, &bytes, 1), end(id, &bytes)].concat()).await;
    assert!(matches!(other.answer_to(id).await, ServerMessage::Committed(_)));
    assert!(std::fs::read(pair.home().join("file")).unwrap() == bytes);
}

/// A log that fails at the first refusal, which is written in the task of the request.
struct Breaking;

impl<S: tracing::Subscriber> Layer<S> for Breaking {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        let is_refusal = event.metadata().fields().field("status").is_some();
        assert!(!is_refusal, "as if a request had a bug");
    }
}

#[tokio::test]
async fn a_request_that_panics_ends_its_session_and_is_not_waited_for() {
    // See `hostile::names`: with one alone another thread might decide what is wanted.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let _here = tracing::subscriber::set_default(tracing_subscriber::registry().with(Breaking));
    let pair = Pair::new();
    let (mut doomed, mut other) = (pair.logged_in().await, pair.logged_in().await);
    doomed.ask(stat("missing")).await;
    assert!(matches!(doomed.closed().await, Err(WireError::Closed)));
    assert!(matches!(other.exchange(usage()).await, ServerMessage::UsageIs(_)));
}
