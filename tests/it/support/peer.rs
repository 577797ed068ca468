//! An end of a connection that speaks frame by frame and keeps to no rule of its own.

use std::sync::mpsc;
use std::time::Duration;

use sealane_base::types::digest::chunk_digest;
use sealane_base::types::{Digest, Layout, Secret};
use sealane_protocol::frame::{self, ChunkPrefix, ClaimsPage};
use sealane_protocol::message::{
    Empty, Get, Hello, List, LoggedIn, Login, PathFlag, PathOnly, Put, PutSmall, Rename, SetMeta,
    Welcome,
};
use sealane_protocol::wire::{FrameReader, WireError};
use sealane_protocol::{ClientMessage, Header, Kind, ServerMessage, Side, Status, VERSION};
use sealane_server::sealane::Ended;
use tokio::io::{AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, split};

use super::pair::{Served, USER};

/// The peer itself never gives up: the other end is what is tested.
const NEVER: Duration = Duration::from_secs(1 << 30);
/// Real time after which something hangs.
const HANGS: Duration = Duration::from_secs(30);

/// One end, driven by hand.
pub struct Peer {
    reader: FrameReader<ReadHalf<DuplexStream>>,
    writer: WriteHalf<DuplexStream>,
    served: Option<Served>,
    last_id: u32,
}

impl Peer {
    /// An end of `stream`; `other` is at the other one.
    pub fn new(stream: DuplexStream, other: Side, served: Option<Served>) -> Self {
        let (read, writer) = split(stream);
        Self { reader: FrameReader::new(read, other, NEVER), writer, served, last_id: 2 }
    }

    /// Writes bytes as they are. What the other end no longer takes is lost, as in a network.
    pub async fn send(&mut self, bytes: &[u8]) {
        let _ = soon(self.writer.write_all(bytes)).await;
    }

    /// Sends a request with the next id, which it returns.
    pub async fn ask(&mut self, message: ClientMessage) -> u32 {
        self.last_id += 1;
        self.send(&message.encode(self.last_id)).await;
        self.last_id
    }

    /// Sends a request and takes its answer.
    pub async fn exchange(&mut self, message: ClientMessage) -> ServerMessage {
        let id = self.ask(message).await;
        self.answer_to(id).await
    }

    /// The next frame; `None` once the other end has closed.
    pub async fn next(&mut self) -> Option<(Header, Vec<u8>)> {
        soon(async {
            let header = self.reader.header().await.unwrap()?;
            let body = self.reader.body(&header).await.unwrap();
            Some((header, body))
        })
        .await
    }

    /// The next frame of `id`; others are passed over.
    pub async fn frame_of(&mut self, id: u32) -> (Header, Vec<u8>) {
        loop {
            let (header, body) = self.next().await.expect("closed before the answer");
            if header.id == id {
                return (header, body);
            }
        }
    }

    /// The next message of `id`; transfer frames and others are passed over.
    pub async fn answer_to(&mut self, id: u32) -> ServerMessage {
        loop {
            let (header, body) = self.frame_of(id).await;
            if header.kind.sender().is_some() {
                return ServerMessage::decode(header.kind, &body).unwrap();
            }
        }
    }

    /// Waits for the acknowledgement of one chunk.
    pub async fn acknowledged(&mut self, id: u32, index: u32) {
        let (header, body) = self.frame_of(id).await;
        assert_eq!((header.kind, body), (Kind::Ack, index.to_be_bytes().to_vec()));
    }

    /// Asserts that the server answers a `PING`, so that it has dealt with all before it.
    pub async fn assert_alive(&mut self) {
        self.send(&frame::fixed(Kind::Ping, 0, b"are you?")).await;
        loop {
            let (header, body) = self.next().await.expect("closed");
            if header.kind == Kind::Pong {
                return assert_eq!((header.id, body), (0, b"are you?".to_vec()));
            }
        }
    }

    /// Asserts that the server says nothing more but what belongs to transfers, and closes.
    pub async fn closed(mut self) -> Result<Ended, WireError> {
        while let Some((header, _)) = self.next().await {
            assert!(header.kind.sender().is_none(), "still says {:?}", header.kind);
        }
        self.shut_down().await;
        self.ended().await
    }

    /// As [`Peer::closed`], whatever is said before.
    pub async fn closed_at_last(mut self) -> Result<Ended, WireError> {
        while self.next().await.is_some() {}
        self.shut_down().await;
        self.ended().await
    }

    /// How the server's session ended; waits for that and reads nothing.
    pub async fn ended(&mut self) -> Result<Ended, WireError> {
        let served = self.served.take().expect("no session of a server");
        soon(served).await.expect("the session panicked")
    }

    /// Whether the server's session has ended.
    pub fn is_over(&self) -> bool {
        self.served.as_ref().is_none_or(|served| served.is_finished())
    }

    /// Says goodbye and goes on listening.
    pub async fn shut_down(&mut self) {
        let _ = self.writer.shutdown().await;
    }

    /// Greets a client as a server does.
    pub async fn let_in(&mut self) {
        let (header, _) = self.next().await.unwrap();
        assert_eq!(header.kind, Kind::Hello);
        self.send(&ServerMessage::Welcome(welcome()).encode(header.id)).await;
        let (header, _) = self.next().await.unwrap();
        assert_eq!(header.kind, Kind::Login);
        let user = LoggedIn { user: USER.to_owned() };
        self.send(&ServerMessage::LoggedIn(user).encode(header.id)).await;
    }

    /// As a server: takes the next request and gives its id.
    pub async fn request(&mut self, kind: Kind) -> u32 {
        loop {
            let (header, _) = self.next().await.expect("the client went away");
            if header.kind == kind {
                return header.id;
            }
        }
    }

    /// As a server: answers.
    pub async fn say(&mut self, id: u32, message: ServerMessage) {
        self.send(&message.encode(id)).await;
    }
}

/// Waits for `work`, but not for ever. The limit is real time: the clock of a test stands still
/// while a blocking thread works, so it cannot tell.
pub async fn soon<T>(work: impl Future<Output = T>) -> T {
    let (done, until_done) = mpsc::channel::<()>();
    let (late, is_late) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        if until_done.recv_timeout(HANGS) == Err(mpsc::RecvTimeoutError::Timeout) {
            let _ = late.send(());
        }
    });
    let result = tokio::select! {
        result = work => result,
        Ok(()) = is_late => panic!("it hangs"),
    };
    drop(done);
    result
}

/// Keeps a test's clock from moving by itself until it is dropped: passwords are checked on threads
/// that the clock does not know of.
pub struct Still {
    _until_dropped: mpsc::Sender<()>,
}

pub fn still() -> Still {
    let (until_dropped, dropped) = mpsc::channel::<()>();
    tokio::task::spawn_blocking(move || dropped.recv());
    Still { _until_dropped: until_dropped }
}

/// Lets time pass while a transfer is under way, whose threads keep the clock from moving by
/// itself.
pub async fn pass(seconds: u64) {
    for _ in 0..seconds {
        tokio::time::advance(Duration::from_secs(1)).await;
        tokio::task::yield_now().await;
    }
}

pub fn status(message: &ServerMessage) -> Option<Status> {
    match message {
        ServerMessage::Refused(refused) => Some(refused.status()),
        _ => None,
    }
}

/// What a server says that allows as much as ours does.
pub fn welcome() -> Welcome {
    Welcome { version: VERSION, agent: None, max_requests: 64, max_transfers: 8, features: None }
}

pub fn hello(id: u32) -> Vec<u8> {
    ClientMessage::Hello(Hello { version: VERSION, agent: None, features: None }).encode(id)
}

pub fn login(id: u32, password: &str) -> Vec<u8> {
    login_as(id, USER, password)
}

pub fn login_as(id: u32, user: &str, password: &str) -> Vec<u8> {
    let login = Login { user: user.to_owned(), password: Some(Secret::new(password.to_owned())) };
    ClientMessage::Login(login).encode(id)
}

pub fn stat(path: &str) -> ClientMessage {
    ClientMessage::Stat(PathOnly { path: path.to_owned() })
}

pub fn digest_of(path: &str) -> ClientMessage {
    ClientMessage::DigestOf(PathOnly { path: path.to_owned() })
}

pub fn list(path: &str) -> ClientMessage {
    ClientMessage::List(List { path: path.to_owned(), after: None, whole: None })
}

pub fn get(path: &str, claims: bool) -> ClientMessage {
    ClientMessage::Get(Get { path: path.to_owned(), claims, pieces: None, small: None })
}

pub fn make_directory(path: &str) -> ClientMessage {
    ClientMessage::MakeDirectory(PathFlag { path: path.to_owned(), flag: false })
}

pub fn remove(path: &str) -> ClientMessage {
    ClientMessage::Remove(PathFlag { path: path.to_owned(), flag: true })
}

pub fn rename(from: &str, to: &str) -> ClientMessage {
    ClientMessage::Rename(Rename { from: from.to_owned(), to: to.to_owned(), replace: true })
}

pub fn set_meta(path: &str) -> ClientMessage {
    let path = path.to_owned();
    ClientMessage::SetMeta(SetMeta { path, modified: Some(1), mode: Some(0o640) })
}

pub fn usage() -> ClientMessage {
    ClientMessage::Usage(Empty {})
}

pub fn put(path: &str, size: usize) -> ClientMessage {
    let (path, size) = (path.to_owned(), size as u64);
    let chunk_log2 = Layout::for_size(size).unwrap().chunk_log2();
    ClientMessage::Put(Put { path, size, chunk_log2, modified: None, mode: None })
}

pub fn put_small(path: &str, bytes: &[u8]) -> ClientMessage {
    let (path, digest) = (path.to_owned(), Digest::of_bytes(bytes));
    ClientMessage::PutSmall(PutSmall { path, digest, modified: None, mode: None }, bytes.to_vec())
}

pub fn cancel(id: u32) -> Vec<u8> {
    frame::fixed(Kind::Cancel, id, &[])
}

pub fn ack(id: u32, index: u32) -> Vec<u8> {
    frame::fixed(Kind::Ack, id, &index.to_be_bytes())
}

pub fn claims(id: u32, first: u32, digests: Vec<Digest>, last: bool) -> Vec<u8> {
    ClaimsPage { first, digests, last }.encode(id)
}

/// Digest of chunk `index` of the file `bytes`.
pub fn digest(bytes: &[u8], index: u32) -> Digest {
    chunk_digest(&Layout::for_size(bytes.len() as u64).unwrap(), index, piece(bytes, index))
}

/// The `CHUNK` frame of chunk `index` of the file `bytes`.
pub fn chunk(id: u32, bytes: &[u8], index: u32) -> Vec<u8> {
    any_chunk(id, index, digest(bytes, index), piece(bytes, index))
}

/// A `CHUNK` frame with whatever is given.
pub fn any_chunk(id: u32, index: u32, digest: Digest, piece: &[u8]) -> Vec<u8> {
    let header = Header::new(Kind::Chunk, id, 36 + piece.len() as u32);
    [&header.encode()[..], &ChunkPrefix { index, digest }.encode(), piece].concat()
}

/// The `END` frame of the file `bytes`.
pub fn end(id: u32, bytes: &[u8]) -> Vec<u8> {
    frame::fixed(Kind::End, id, &Digest::of_bytes(bytes).0)
}

fn piece(bytes: &[u8], index: u32) -> &[u8] {
    bytes.chunks(1 << 20).nth(index as usize).unwrap_or_default()
}
