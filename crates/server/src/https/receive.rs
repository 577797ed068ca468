//! The body of a request, as it goes to the disk: one piece is written while the next one comes.

use std::io;
use std::sync::Arc;

use http_body_util::BodyExt as _;
use hyper::StatusCode;
use hyper::body::Incoming;

use super::problem::Problem;
use super::session::Session;
use super::setup::PIECE;
use sealane_base::files::{StorageError, is_about_room};
use sealane_base::workers::{Job, Queue};
use sealane_core::storage::Upload;
use sealane_protocol::wire::{Stall, StallTimer, WireError};

/// A body, which must come at the rate that is asked of all peers.
#[derive(Debug)]
pub(super) struct Arriving {
    body: Incoming,
    timer: StallTimer,
}

impl Arriving {
    pub(super) fn new(session: &Session, body: Incoming) -> Self {
        let limits = &session.door.limits;
        let stall = Stall { within: limits.stall, slowest: limits.slowest };
        Self { body, timer: StallTimer::new(stall) }
    }

    /// What was not read of it.
    pub(super) fn unread(self) -> Incoming {
        self.body
    }

    /// The next bytes; `None` at the end of a body that is whole.
    pub(super) async fn next(&mut self) -> Result<Option<bytes::Bytes>, Problem> {
        let mut frame = None;
        let step = async {
            frame = self.body.frame().await.transpose().map_err(io::Error::other)?;
            let data = frame.as_ref().and_then(|frame| frame.data_ref());
            Ok(data.map_or(0, bytes::Bytes::len))
        };
        match self.timer.wait(step).await {
            Ok(_) => {}
            Err(WireError::Stalled(_)) => {
                let detail = "the body came too slowly";
                return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "too-slow", detail));
            }
            Err(_) => return Err(Problem::bad_request("the body was cut off or cannot be read")),
        }
        // Trailers say nothing here.
        Ok(frame.map(|frame| frame.into_data().unwrap_or_default()))
    }

    /// All of a body of at most `most` bytes.
    pub(super) async fn collect(&mut self, most: usize) -> Result<Vec<u8>, Problem> {
        let mut whole = Vec::new();
        while let Some(bytes) = self.next().await? {
            if whole.len() + bytes.len() > most {
                let detail = format!("the body is longer than {most} bytes");
                return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail));
            }
            whole.extend_from_slice(&bytes);
        }
        Ok(whole)
    }
}

/// A file on its way to the disk. Dropped before its commit, it shows nowhere; what came stays as
/// a partial, as that of any interrupted upload does.
pub(super) struct Receiving {
    upload: Option<Arc<dyn Upload>>,
    queue: Queue,
    written: u64,
    writing: Option<Job<Result<Vec<u8>, StorageError>>>,
}

impl Receiving {
    pub(super) fn new(upload: Arc<dyn Upload>, queue: Queue) -> Self {
        Self { upload: Some(upload), queue, written: 0, writing: None }
    }

    pub(super) fn upload(&self) -> Result<Arc<dyn Upload>, Problem> {
        self.upload.clone().ok_or_else(|| StorageError::InUse.into())
    }

    /// Takes all of `body`, and gives how many bytes it had.
    pub(super) async fn take(&mut self, body: &mut Arriving) -> Result<u64, Problem> {
        let superseded = self.upload()?.superseded();
        let taken = tokio::select! {
            taken = self.take_all(body) => taken,
            () = superseded.cancelled() => return Err(StorageError::Superseded.into()),
        };
        taken?;
        Ok(self.written)
    }

    async fn take_all(&mut self, body: &mut Arriving) -> Result<(), Problem> {
        let mut piece = Vec::with_capacity(PIECE);
        while let Some(mut bytes) = body.next().await? {
            while !bytes.is_empty() {
                let count = bytes.len().min(PIECE - piece.len());
                piece.extend_from_slice(&bytes.split_to(count));
                if piece.len() == PIECE {
                    piece = self.write(piece).await?;
                }
            }
        }
        if !piece.is_empty() {
            self.write(piece).await?;
        }
        self.written_so_far().await.map(drop)
    }

    /// Begins to write a piece, once the one before is written; gives a buffer for the next one.
    async fn write(&mut self, piece: Vec<u8>) -> Result<Vec<u8>, Problem> {
        let free = self.written_so_far().await?;
        let (upload, offset) = (self.upload()?, self.written);
        self.written += piece.len() as u64;
        let write = async move {
            let mut piece = piece;
            upload.write_at(offset, &piece)?;
            piece.clear();
            Ok(piece)
        };
        self.writing = Some(self.queue.spawn(write));
        Ok(free.unwrap_or_else(|| Vec::with_capacity(PIECE)))
    }

    async fn written_so_far(&mut self) -> Result<Option<Vec<u8>>, Problem> {
        let Some(writing) = self.writing.take() else { return Ok(None) };
        match writing.await {
            Ok(buffer) => Ok(Some(buffer)),
            Err(error) => {
                // What has no room is not kept for another attempt.
                if is_about_room(&error) {
                    self.discard().await;
                }
                Err(error.into())
            }
        }
    }

    async fn discard(&mut self) {
        if let Some(upload) = self.upload.take() {
            self.queue.run(move || upload.discard()).await;
        }
    }

    /// Gives the file its name, durable.
    pub(super) async fn commit(
        mut self,
        is_expected: impl FnOnce() -> Result<(), Problem> + Send + 'static,
    ) -> Result<Arc<dyn Upload>, Problem> {
        let upload = self.upload()?;
        let replaced = upload.replaced();
        let commit = move || {
            is_expected()?;
            upload.commit()?;
            Ok::<_, Problem>(upload)
        };
        let upload = self.queue.run_long(commit).await?;
        self.upload = None;
        // Nobody need wait until what the old version took is free.
        let queue = self.queue.clone();
        tokio::spawn(async move { queue.run_long(move || drop(replaced)).await });
        Ok(upload)
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        let (upload, writing, queue) =
            (self.upload.take(), self.writing.take(), self.queue.clone());
        if let Some(upload) = upload {
            // What it leaves is counted on the disk, which blocks.
            tokio::spawn(async move {
                drop(writing);
                queue.run_long(move || drop(upload)).await;
            });
        }
    }
}
