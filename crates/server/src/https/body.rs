//! Bodies of answers: bytes that are there, or pieces that come one at a time.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Frame, Incoming, SizeHint};
use thiserror::Error;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::activity::Busy;

/// The rest of a body will not come: the connection, or the stream, ends in the middle of it.
#[derive(Clone, Copy, Debug, Error)]
#[error("the body was cut off")]
pub(super) struct CutOff;

type Piece = Result<Bytes, CutOff>;

/// The body of an answer; its request is under way until it is dropped.
#[derive(Debug)]
pub(super) struct Body {
    content: Content,
    _held: Option<Held>,
}

/// What goes with an answer while it is sent: the place of its request among those under way, and
/// what was not read of its body.
#[derive(Debug)]
struct Held {
    _busy: Busy,
    unread: Option<Unread>,
}

/// The rest of the body of a request over HTTP/2. Dropped at once, it would reset the stream, and
/// clients that are still sending would not look at the answer.
#[derive(Debug)]
pub(super) struct Unread {
    pub(super) body: Incoming,
    /// Cancelled when the connection ends.
    pub(super) stop: CancellationToken,
}

/// How long a client may take to see that it was answered, before it is told to stop sending.
const LINGER: Duration = Duration::from_secs(1);

impl Drop for Held {
    fn drop(&mut self) {
        let Some(Unread { body, stop }) = self.unread.take() else { return };
        if !hyper::body::Body::is_end_stream(&body) {
            tokio::spawn(async move {
                stop.run_until_cancelled(sleep(LINGER)).await;
                drop(body);
            });
        }
    }
}

#[derive(Debug)]
enum Content {
    Whole(Option<Bytes>),
    /// Pieces, and how many bytes are still to come, if that is known. If it is not, an empty piece
    /// is the end.
    Pieces(Receiver<Piece>, Option<u64>),
}

impl Body {
    pub(super) fn empty() -> Self {
        Self { content: Content::Whole(None), _held: None }
    }

    pub(super) fn whole(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { content: Content::Whole(Some(bytes).filter(|it| !it.is_empty())), _held: None }
    }

    /// A body of `size` bytes and what its pieces are given to: one waits until the peer has taken
    /// the one before. Without a size, an empty piece ends it.
    pub(super) fn pieces(size: Option<u64>) -> (Sender<Piece>, Self) {
        let (sender, receiver) = channel(1);
        (sender, Self { content: Content::Pieces(receiver, size), _held: None })
    }

    pub(super) fn holding(self, busy: Busy, unread: Option<Unread>) -> Self {
        Self { _held: Some(Held { _busy: busy, unread }), ..self }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        match &mut self.content {
            Content::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Content::Pieces(pieces, left) => match std::task::ready!(pieces.poll_recv(context)) {
                Some(Ok(piece)) if piece.is_empty() => {
                    *left = Some(0);
                    Poll::Ready(None)
                }
                Some(Ok(piece)) => {
                    if let Some(left) = left {
                        *left = left.saturating_sub(piece.len() as u64);
                    }
                    Poll::Ready(Some(Ok(Frame::data(piece))))
                }
                Some(Err(cut)) => Poll::Ready(Some(Err(cut))),
                // Whoever had pieces to give is gone.
                None if *left == Some(0) => Poll::Ready(None),
                None => Poll::Ready(Some(Err(CutOff))),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Whole(bytes) => bytes.is_none(),
            Content::Pieces(_, left) => *left == Some(0),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Content::Pieces(_, Some(left)) => SizeHint::with_exact(*left),
            Content::Pieces(_, None) => SizeHint::default(),
        }
    }
}

/// What hyper asks of a service that answers everything.
pub(super) type Answered = Result<hyper::Response<Body>, Infallible>;
