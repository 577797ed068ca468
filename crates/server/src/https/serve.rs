//! One connection from its handshake to its end: HTTP/1.1 or HTTP/2, with every wait bounded.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::Service as HyperService;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, debug};

use super::activity::{Activity, at};
use super::body::{Answered, Body};
use super::route;
use super::session::Session;
use super::setup::{Https, PIECE};
use super::stream::Watched;
use crate::door::Accepted;
use sealane_tls::TlsStream;

/// Bytes of the header of a request, and lines in it.
const MAX_HEADER: usize = 32 << 10;
const MAX_HEADER_LINES: usize = 100;

/// Requests of one HTTP/2 connection at the same time, and bytes of their bodies that may come
/// before they are asked for.
const MAX_STREAMS: u32 = 32;
const STREAM_WINDOW: u32 = 512 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;

/// How long a connection that was asked to end may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

/// How long and how much of what a peer says is read behind the last answer: closed with something
/// unread, the connection would be reset, and the answer lost.
const HEAR_OUT: Duration = Duration::from_secs(1);
const HEAR_OUT_BYTES: u64 = 4 << 20;

type Stream = TokioIo<Watched<TlsStream<TcpStream>>>;

/// Answers the requests of one connection.
#[derive(Clone)]
struct Requests(Arc<Session>);

impl HyperService<Request<Incoming>> for Requests {
    type Response = hyper::Response<Body>;
    type Error = std::convert::Infallible;
    type Future = Pin<Box<dyn Future<Output = Answered> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let session = Arc::clone(&self.0);
        Box::pin(async move { Ok(route::answer(session, request).await) })
    }
}

/// Runs the requests of an HTTP/2 connection, none of which outlives it.
#[derive(Clone)]
struct WithConnection(CancellationToken);

impl<F> Executor<F> for WithConnection
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, work: F) {
        let stop = self.0.clone();
        let work = async move { stop.run_until_cancelled_owned(work).await };
        tokio::spawn(work.in_current_span());
    }
}

/// A connection that can be asked to end once what is under way has.
trait Graceful: Future<Output = hyper::Result<()>> {
    fn end(self: Pin<&mut Self>);
}

impl Graceful for http2::Connection<Stream, Requests, WithConnection> {
    fn end(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// HTTP/1.1 without its goodbye, which is [`say_goodbye`].
struct Http1(http1::Connection<Stream, Requests>);

impl Future for Http1 {
    type Output = hyper::Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll_without_shutdown(context)
    }
}

impl Graceful for Http1 {
    fn end(mut self: Pin<&mut Self>) {
        Pin::new(&mut self.0).graceful_shutdown();
    }
}

/// Serves a connection. Dropping the future ends all that its requests do.
pub(super) async fn serve(door: Arc<Https>, accepted: Accepted) {
    let Accepted { stream, connection, service, deadline, drain, .. } = accepted;
    let limits = door.limits;
    let protocol = stream.get_ref().1.alpn_protocol();
    let has_frames = protocol == Some(b"h2".as_slice());
    let (activity, stop) = (Activity::new(), CancellationToken::new());
    let _stop = stop.clone().drop_guard();
    let session = Session::new(door, service, connection, Arc::clone(&activity), stop.clone());
    let stream = TokioIo::new(Watched::new(stream, Arc::clone(&activity), limits.stall));
    let waits = Waits { activity, limits, deadline, has_frames, drain };
    if has_frames {
        let mut builder = http2::Builder::new(WithConnection(stop));
        builder
            .timer(TokioTimer::new())
            .keep_alive_interval(limits.stall)
            .keep_alive_timeout(limits.stall)
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(u32::try_from(MAX_HEADER).unwrap_or(u32::MAX))
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(PIECE);
        let connection = builder.serve_connection(stream, Requests(session));
        waits.drive(std::pin::pin!(connection)).await;
        return;
    }
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle)
        .max_header_size(MAX_HEADER)
        .max_headers(MAX_HEADER_LINES)
        .max_buf_size(2 * MAX_HEADER.max(PIECE / 2));
    let mut connection = Http1(builder.serve_connection(stream, Requests(session)));
    if waits.drive(Pin::new(&mut connection)).await {
        say_goodbye(connection.0.into_parts().io.into_inner().into_inner()).await;
    }
}

/// What a connection may wait for, and how long.
struct Waits {
    activity: Arc<Activity>,
    limits: crate::sealane::Limits,
    deadline: Instant,
    has_frames: bool,
    drain: CancellationToken,
}

impl Waits {
    /// Serves until the connection ends, or must; says whether it ended in peace.
    async fn drive(self, mut connection: Pin<&mut impl Graceful>) -> bool {
        let mut over =
            std::pin::pin!(self.activity.over(self.limits, self.deadline, self.has_frames));
        let (mut is_ending, mut cut_at) = (false, None);
        loop {
            tokio::select! {
                outcome = &mut connection => return match outcome {
                    Ok(()) => true,
                    Err(error) => {
                        debug!(%error, "https: connection ended");
                        // What hyper refuses it answers before: bad headers, say.
                        error.is_parse()
                    }
                },
                why = &mut over, if cut_at.is_none() => {
                    debug!(?why, "https: connection is asked to end");
                    connection.as_mut().end();
                    cut_at = Some(Instant::now() + GOODBYE);
                }
                () = self.drain.cancelled(), if !is_ending => {
                    is_ending = true;
                    connection.as_mut().end();
                }
                () = at(cut_at) => return false,
            }
        }
    }
}

/// Closes the connection so that the last answer arrives.
async fn say_goodbye(mut stream: TlsStream<TcpStream>) {
    let reading = async {
        if stream.shutdown().await.is_ok() {
            let mut rest = stream.take(HEAR_OUT_BYTES);
            let _ = tokio::io::copy(&mut rest, &mut tokio::io::sink()).await;
        }
    };
    let _ = timeout(HEAR_OUT, reading).await;
}
