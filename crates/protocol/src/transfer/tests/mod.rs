//! Both halves over an in-memory stream, with files in memory.

mod allocations;
mod changing;
mod have_list;
mod memory;
mod shifted;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, duplex, split};

use super::routes::Routes;
use super::*;
use crate::frame::{self, ChunkPrefix, ClaimsPage};
use crate::wire::{FrameReader, FrameSender, outbox, write_frames};
use crate::{Header, Kind, Side};
use sealane_base::files::{FileMeta, Sink, Source, StorageError};
use sealane_base::types::{Digest, Layout};
use sealane_base::workers::{Queue, Workers};

const MIB: usize = 1 << 20;
const STALL: Duration = Duration::from_secs(30);
const ID: u32 = 7;

struct MemorySource {
    bytes: Vec<u8>,
    /// It says that it was written to.
    changed: AtomicBool,
    /// And it was, to its first bytes, once all were read.
    rewritten: AtomicBool,
    read: AtomicU64,
}

impl Source for MemorySource {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }
    fn meta(&self) -> FileMeta {
        FileMeta::default()
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        let start = offset as usize;
        buffer.copy_from_slice(&self.bytes[start..start + buffer.len()]);
        let before = self.read.fetch_add(buffer.len() as u64, Ordering::Relaxed);
        if self.rewritten.load(Ordering::Relaxed) && before >= self.size() && start == 0 {
            buffer[0] ^= 1;
        }
        Ok(())
    }
    fn check_unchanged(&self) -> Result<(), StorageError> {
        if self.changed.load(Ordering::Relaxed) { Err(StorageError::Changed) } else { Ok(()) }
    }
}

#[derive(Default)]
struct MemorySink {
    bytes: Mutex<Vec<u8>>,
    held: u64,
    present: Vec<u8>,
    /// What is read of the present version is wrong from the second time on.
    spoiled: AtomicBool,
    reads: AtomicU64,
    full_at: Option<u64>,
    committed: AtomicBool,
}

impl MemorySink {
    fn holding(bytes: &[u8]) -> Self {
        Self { held: bytes.len() as u64, bytes: Mutex::new(bytes.to_vec()), ..Self::default() }
    }
    fn content(&self) -> Vec<u8> {
        self.bytes.lock().unwrap().clone()
    }
}

impl Sink for MemorySink {
    fn held(&self) -> u64 {
        self.held
    }
    fn read_held(&self, offset: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        let content = self.bytes.lock().unwrap();
        let held = content.get(offset as usize..offset as usize + buffer.len());
        buffer.copy_from_slice(held.ok_or(StorageError::Changed)?);
        Ok(())
    }
    fn read_shifted(&self, offset: u64, place: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        let from = self.present.get(place as usize..place as usize + buffer.len());
        buffer.copy_from_slice(from.ok_or(StorageError::Changed)?);
        self.write_at(offset, buffer)
    }
    fn present(&self) -> u64 {
        self.present.len() as u64
    }
    fn read_present(&self, offset: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        let start = offset as usize;
        buffer.copy_from_slice(&self.present[start..start + buffer.len()]);
        let again = self.reads.fetch_max(offset + buffer.len() as u64, Ordering::Relaxed) > offset;
        if again && self.spoiled.load(Ordering::Relaxed) {
            buffer[0] ^= 1;
        }
        Ok(())
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), StorageError> {
        let end = offset as usize + bytes.len();
        if self.full_at.is_some_and(|full| end as u64 > full) {
            return Err(StorageError::DiskFull { short: None });
        }
        let mut content = self.bytes.lock().unwrap();
        if content.len() < end {
            content.resize(end, 0);
        }
        content[offset as usize..end].copy_from_slice(bytes);
        Ok(())
    }
    fn commit(&self) -> Result<(), StorageError> {
        self.committed.store(true, Ordering::Relaxed);
        Ok(())
    }
    fn discard(&self) {}
}

fn file(size: usize, seed: usize) -> Vec<u8> {
    (0..size).map(|at| (((at + seed) / 5) ^ (at >> 9)) as u8).collect()
}

/// One end of a connection: a writer task, a reader task that delivers to routes.
struct End {
    out: FrameSender,
    routes: Routes,
}

fn end(stream: impl AsyncRead + AsyncWrite + Send + 'static, peer: Side) -> End {
    let (read, write) = split(stream);
    let (out, outbox) = outbox();
    tokio::spawn(write_frames(write, outbox, STALL));
    let routes = Routes::default();
    let deliver = routes.clone();
    tokio::spawn(async move {
        let mut reader = FrameReader::new(read, peer, STALL);
        while let Ok(Some(header)) = reader.header().await {
            if deliver.deliver(&header, &mut reader).await.is_err() {
                break;
            }
        }
        deliver.close_all();
    });
    End { out, routes }
}

fn queue() -> Queue {
    Workers::new(4).queue("tests")
}

type Results = (Result<Outcome, TransferError>, Result<Outcome, TransferError>);

async fn transfer(source: Arc<MemorySource>, sink: Arc<MemorySink>, claims: bool) -> Results {
    let (near, far) = duplex(64 * 1024);
    let (sender, receiver) = (end(near, Side::Server), end(far, Side::Client));
    let layout = Layout::for_size(source.size()).unwrap();
    let pieces = sink.present() > 0;
    let (receive_route, receiving) = receiver.routes.receive(ID, layout);
    let (send_route, sending) = sender.routes.send(ID, layout.size());
    let (meter, far_meter) = (Arc::new(Meter::default()), Arc::new(Meter::default()));
    let (near_meter, near_out) = (meter.clone(), sender.out.clone());
    let send = tokio::spawn(async move {
        let held = Held { have_list: claims, pieces, is_ready: true };
        let sent = send(&queue(), source, layout, held, sending, near_out, near_meter).await;
        drop(send_route);
        sent
    });
    let far_out = receiver.out.clone();
    let close = sender.routes.clone();
    let received = tokio::spawn(async move {
        let received = receive(&queue(), sink, claims, receiving, far_out, far_meter).await;
        if received.is_err() {
            close.close(ID); // as a refusal from the receiver would
        }
        drop(receive_route);
        received
    });
    let sent = send.await.unwrap();
    if sent.is_err() {
        receiver.routes.close(ID); // as a cancellation by the sender would
    }
    let received = received.await.unwrap();
    if let (Ok(sent), Ok(_)) = (&sent, &received) {
        assert_eq!(meter.verified_bytes(), sent.size);
    }
    (sent, received)
}

fn source(bytes: &[u8]) -> Arc<MemorySource> {
    Arc::new(MemorySource {
        bytes: bytes.to_vec(),
        changed: AtomicBool::new(false),
        rewritten: AtomicBool::new(false),
        read: AtomicU64::new(0),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn fresh_files_of_every_shape_arrive() {
    for size in [0, 1, MIB - 1, MIB, MIB + 1, 5 * MIB, 5 * MIB + 77] {
        let bytes = file(size, 1);
        let sink = Arc::new(MemorySink::default());
        let (sent, received) = transfer(source(&bytes), sink.clone(), false).await;
        let (sent, received) = (sent.unwrap(), received.unwrap());
        assert_eq!((sent.root, sent.moved), (Digest::of_bytes(&bytes), size as u64));
        assert_eq!(sent, received);
        assert!(sink.committed.load(Ordering::Relaxed) && sink.content() == bytes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_differs_is_sent() {
    let bytes = file(40 * MIB + 9, 2);
    for (name, held, moved) in [
        ("everything", bytes.clone(), 0),
        ("one flipped bit", with_flipped_bit(&bytes, 17 * MIB + 5), MIB),
        ("flipped in the short tail", with_flipped_bit(&bytes, 40 * MIB + 1), 9),
        ("a prefix cut inside a chunk", bytes[..3 * MIB + 100].to_vec(), 37 * MIB + 9),
        ("longer than the new file", [bytes.clone(), vec![1; 3 * MIB]].concat(), 0),
        ("something else", file(40 * MIB + 9, 99), 40 * MIB + 9),
        ("less than a chunk", bytes[..100].to_vec(), 40 * MIB + 9),
    ] {
        let mut sink = MemorySink::holding(&held);
        sink.held = sink.held.min(bytes.len() as u64);
        let sink = Arc::new(sink);
        let (sent, received) = transfer(source(&bytes), sink.clone(), true).await;
        let received = received.unwrap();
        assert_eq!((received.moved, sent.unwrap()), (moved as u64, received), "{name}");
        assert_eq!(received.reused, bytes.len() as u64 - moved as u64, "{name}");
        assert!(sink.content()[..bytes.len()] == bytes, "{name}");
    }
}

fn with_flipped_bit(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut copy = bytes.to_vec();
    copy[at] ^= 0x10;
    copy
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_ends_both_sides_and_keeps_what_is_there() {
    let bytes = file(9 * MIB, 4);
    let sink = Arc::new(MemorySink { full_at: Some(4 * MIB as u64), ..MemorySink::default() });
    let (sent, received) = transfer(source(&bytes), sink.clone(), false).await;
    assert!(matches!(sent, Err(TransferError::Interrupted)));
    assert!(matches!(received, Err(TransferError::Storage(StorageError::DiskFull { .. }))));
    assert_eq!(sink.content(), bytes[..4 * MIB]);
    assert!(!sink.committed.load(Ordering::Relaxed));
}

fn chunk_frame(index: u32, digest: Digest, bytes: &[u8]) -> Vec<u8> {
    let header = Header::new(Kind::Chunk, ID, 36 + bytes.len() as u32);
    let prefix = ChunkPrefix { index, digest };
    [&header.encode()[..], &prefix.encode(), bytes].concat()
}

/// Receives a file of `size` bytes from a sender that writes `frames` and then waits.
async fn receive_from_liar(size: usize, held: &[u8], frames: &[Vec<u8>]) -> TransferError {
    receive_into(MemorySink::holding(held), size, frames).await
}

async fn receive_into(sink: MemorySink, size: usize, frames: &[Vec<u8>]) -> TransferError {
    let (near, far) = duplex(16 * MIB);
    let receiver = end(near, Side::Client);
    let (mut read, mut write) = split(far);
    tokio::spawn(async move { tokio::io::copy(&mut read, &mut tokio::io::sink()).await });
    let layout = Layout::for_size(size as u64).unwrap();
    let (_route, receiving) = receiver.routes.receive(ID, layout);
    let sink = Arc::new(sink);
    let as_sink: Arc<dyn Sink> = sink.clone();
    for frame in frames {
        write.write_all(frame).await.unwrap();
    }
    let (out, claims) = (receiver.out.clone(), sink.held > 0);
    let received = receive(&queue(), as_sink, claims, receiving, out, Arc::default()).await;
    assert!(!sink.committed.load(Ordering::Relaxed));
    received.unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn lying_senders_are_found_out() {
    let bytes = file(2 * MIB, 5);
    let layout = Layout::for_size(bytes.len() as u64).unwrap();
    let digest = |index: u32| {
        let at = index as usize * MIB;
        sealane_base::types::digest::chunk_digest(&layout, index, &bytes[at..at + MIB])
    };
    let good = |index: u32| {
        let at = index as usize * MIB;
        chunk_frame(index, digest(index), &bytes[at..at + MIB])
    };
    let ending = |root: Digest| frame::fixed(Kind::End, ID, &root.0);
    let root = Digest::of_bytes(&bytes);

    let wrong = chunk_frame(0, digest(1), &bytes[..MIB]);
    let error = receive_from_liar(bytes.len(), b"", &[wrong]).await;
    assert!(matches!(error, TransferError::Chunk { index: 0 }), "{error}");

    let error = receive_from_liar(bytes.len(), b"", &[good(0), good(1), ending(digest(0))]).await;
    assert!(matches!(error, TransferError::Root { .. }), "{error}");

    for frames in [
        vec![good(0), ending(root)],
        vec![good(1), good(0), ending(root)],
        vec![good(0), good(0)],
        vec![ending(root)],
    ] {
        let error = receive_from_liar(bytes.len(), b"", &frames).await;
        assert!(matches!(error, TransferError::Protocol(_)), "{error}");
    }

    // A chunk of the wrong length, or past the end, ends the connection.
    for frame in [chunk_frame(0, digest(0), &bytes[..9]), chunk_frame(2, digest(0), &bytes[..MIB])]
    {
        let error = receive_from_liar(bytes.len(), b"", &[frame]).await;
        assert!(matches!(error, TransferError::Interrupted), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_but_different_cannot_be_passed_off_as_the_file() {
    // The sender skips everything although the receiver holds something else.
    let held = file(2 * MIB, 6);
    let root = Digest::of_bytes(&file(2 * MIB, 7));
    let error = receive_from_liar(held.len(), &held, &[frame::fixed(Kind::End, ID, &root.0)]).await;
    let refused = matches!(error, TransferError::Root { .. } | TransferError::Protocol(_));
    assert!(refused, "{error}");
}

async fn send_to(claims: bool, frames: Vec<Vec<u8>>) -> (Result<Outcome, TransferError>, u32) {
    let (near, far) = duplex(16 * MIB);
    let sender = end(near, Side::Server);
    let (_route, sending) = sender.routes.send(ID, 1);
    let (read, mut write) = split(far);
    for frame in frames {
        write.write_all(&frame).await.unwrap();
    }
    let source = source(&file(6 * MIB, 8));
    let (layout, out) = (Layout::for_size(source.size()).unwrap(), sender.out.clone());
    let mut sent = tokio::spawn(async move {
        let held = Held { have_list: claims, pieces: claims, is_ready: true };
        send(&queue(), source, layout, held, sending, out, Arc::default()).await
    });
    // Count the chunks that come although nothing is acknowledged; silence means it waits.
    let mut reader = FrameReader::new(read, Side::Client, STALL);
    let mut chunks = 0;
    loop {
        let header = tokio::select! {
            sent = &mut sent => return (sent.unwrap(), chunks),
            header = tokio::time::timeout(Duration::from_secs(2), reader.header()) => header,
        };
        let Ok(Ok(Some(header))) = header else { break };
        chunks += u32::from(header.kind == Kind::Chunk);
        reader.discard(header.length).await.unwrap();
    }
    drop((write, reader));
    sender.routes.close_all();
    (sent.await.unwrap(), chunks)
}

#[tokio::test(flavor = "multi_thread")]
async fn at_most_two_chunks_are_ahead_of_their_acknowledgement() {
    let (sent, chunks) = send_to(false, vec![]).await;
    assert!(matches!(sent, Err(TransferError::Interrupted)));
    assert_eq!(chunks as usize, crate::limits::WINDOW);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_before_its_claim() {
    let (_, chunks) = send_to(true, vec![]).await;
    assert_eq!(chunks, 0);
    let page = ClaimsPage { first: 0, digests: vec![Digest([0; 32])], last: false };
    let (_, chunks) = send_to(true, vec![page.encode(ID)]).await;
    assert_eq!(chunks, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn lying_receivers_are_found_out() {
    let ack = |index: u32| frame::fixed(Kind::Ack, ID, &index.to_be_bytes());
    let claims = |first, count: usize, last| {
        ClaimsPage { first, digests: vec![Digest([0; 32]); count], last }.encode(ID)
    };
    for (announced, frames) in [
        (false, vec![ack(1)]),
        (false, vec![ack(5)]),
        (false, vec![claims(0, 1, true)]),
        (true, vec![claims(1, 1, true)]),
        (true, vec![claims(0, 7, true)]),
        (true, vec![claims(0, 1, true), claims(1, 1, true)]),
    ] {
        let (sent, _) = send_to(announced, frames).await;
        assert!(matches!(sent, Err(TransferError::Protocol(_))), "{sent:?}");
    }
}
