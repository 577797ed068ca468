//! What is held is announced in order, from two jobs; where data has shifted, from another
//! place.

use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::transfer::have_list::HaveList;
use crate::transfer::tell::Teller;
use sealane_base::types::digest::chunk_digest;

/// What was said and what the writing thread was told, once all is.
#[derive(Debug, Default)]
struct Told {
    digests: Vec<Digest>,
    pages: usize,
    is_complete: bool,
}

impl Told {
    fn hear(&mut self, header: &Header, body: &[u8]) {
        let page = ClaimsPage::decode(header, body).unwrap();
        assert!(!self.is_complete, "something follows the last page");
        assert_eq!(page.first as usize, self.digests.len());
        self.digests.extend(page.digests);
        self.pages += 1;
        self.is_complete = page.last;
    }
}

fn digests(layout: Layout, bytes: &[u8]) -> Vec<Digest> {
    let chunks = bytes.chunks(MIB).zip(0..);
    chunks.map(|(chunk, index)| chunk_digest(&layout, index, chunk)).collect()
}

/// What is told, and once all is what was heard.
fn teller() -> (Teller, JoinHandle<Told>) {
    let (out, outbox) = outbox();
    let (near, far) = duplex(64 * 1024);
    tokio::spawn(write_frames(near, outbox, STALL));
    let hear = async move {
        let (mut reader, mut told) = (FrameReader::new(far, Side::Server, STALL), Told::default());
        while let Some(header) = reader.header().await.unwrap() {
            let body = reader.body(&header).await.unwrap();
            told.hear(&header, &body);
        }
        told
    };
    (Teller::new(ID, out, CancellationToken::new()), tokio::spawn(hear))
}

/// Lets `before` do something first; gives what was told.
async fn all_told(sink: Arc<dyn Sink>, layout: Layout, before: impl FnOnce(&HaveList)) -> Told {
    let ((list, heard), (teller, told)) = (channel(), teller());
    let have_list = Arc::new(HaveList::new(sink, layout, teller, list));
    before(&have_list);
    for job in have_list.start(&queue()) {
        job.await;
    }
    drop(have_list);
    let told = told.await.unwrap();
    assert!(told.is_complete);
    assert_eq!(heard.iter().collect::<Vec<_>>(), told.digests);
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn every_chunk_is_listed_once_in_order_and_the_last_page_says_so() {
    for size in [2 * MIB, 16 * MIB, 32 * MIB, 37 * MIB + 5] {
        let bytes = file(size, 3);
        let layout = Layout::for_size(size as u64).unwrap();
        let told = all_told(Arc::new(MemorySink::holding(&bytes)), layout, |_| {}).await;
        assert!(told.digests == digests(layout, &bytes));
        assert_eq!(told.pages, told.digests.len().div_ceil(16), "none of them is empty");
    }
}

/// What cannot be read is not held, nor is what is behind it.
struct Torn(MemorySink, u64);

impl Sink for Torn {
    fn held(&self) -> u64 {
        self.0.held()
    }
    fn read_held(&self, offset: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        if offset >= self.1 { Err(StorageError::Changed) } else { self.0.read_held(offset, buffer) }
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), StorageError> {
        self.0.write_at(offset, bytes)
    }
    fn commit(&self) -> Result<(), StorageError> {
        self.0.commit()
    }
    fn discard(&self) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_listed_from_a_chunk_on_that_cannot_be_read() {
    let bytes = file(20 * MIB, 3);
    let layout = Layout::for_size(bytes.len() as u64).unwrap();
    for readable in [0, 1, 5, 16, 19] {
        // In the middle of the first chunk that is not.
        let sink = Torn(MemorySink::holding(&bytes), (readable * MIB + MIB / 2) as u64);
        let told = all_told(Arc::new(sink), layout, |_| {}).await;
        assert!(told.digests == digests(layout, &bytes)[..readable], "{readable}");
        assert_eq!(told.pages, readable.div_ceil(16).max(1), "{readable}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_recipe_tells_of_a_shift_is_listed_of_the_chunks_behind_it() {
    let old = file(6 * MIB, 3);
    let new = [&b"something new"[..], &old[..]].concat();
    let layout = Layout::for_size(new.len() as u64).unwrap();
    let sink = Arc::new(MemorySink { present: old.clone(), ..MemorySink::holding(&old) });
    let learn = |have_list: &HaveList| have_list.learn(0, Some(-13));
    let told = all_told(sink.clone(), layout, learn).await;
    let (expected, unmoved) = (digests(layout, &new), digests(layout, &old));
    assert_eq!(told.digests[0], unmoved[0], "nothing lies before the file");
    assert!(told.digests[1..] == expected[1..], "with the chunk that was not held before");
    assert!(sink.content()[MIB..] == new[MIB..], "what is listed is there");
    // A chunk that came as bytes although it was listed from there.
    let sink = Arc::new(MemorySink { present: old.clone(), ..MemorySink::holding(&old) });
    let learn = |have_list: &HaveList| {
        have_list.learn(0, Some(-13));
        have_list.learn(1, None);
    };
    let told = all_told(sink, layout, learn).await;
    assert!(told.digests == unmoved);
}

#[tokio::test(flavor = "multi_thread")]
async fn pieces_are_not_told_as_long_as_shifted_chunks_are_listed() {
    let bytes = file(8 * MIB, 3);
    let layout = Layout::for_size(bytes.len() as u64).unwrap();
    let ((list, _heard), (teller, told)) = (channel(), teller());
    let sink = Arc::new(MemorySink::holding(&bytes));
    let have_list = Arc::new(HaveList::new(sink, layout, teller, list));
    have_list.wait_for_need(0).await; // nothing is known of a shift: no waiting
    have_list.learn(0, Some(0));
    have_list.wait_for_need(7 << 20).await; // what was listed before is made of pieces
    let waiting = tokio::spawn({
        let have_list = have_list.clone();
        async move { have_list.wait_for_need(8 << 20).await }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    for job in have_list.start(&queue()) {
        job.await;
    }
    waiting.await.unwrap();
    drop(have_list);
    assert!(told.await.unwrap().is_complete);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_list_goes_on_when_a_chunk_comes_or_pieces_enough_are_told() {
    let bytes = file(3 * MIB, 3);
    let layout = Layout::for_size(bytes.len() as u64).unwrap();
    for way in 0..3 {
        let ((list, heard), (teller, _told)) = (channel(), teller());
        let sink = Arc::new(MemorySink::holding(&bytes));
        let have_list = Arc::new(HaveList::new(sink, layout, teller, list));
        have_list.pause();
        let jobs = have_list.start(&queue());
        match way {
            0 => have_list.learn(0, None),
            1 => have_list.wait_for_need(64 << 20).await,
            _ => have_list.go_on(),
        }
        for job in jobs {
            job.await;
        }
        drop(have_list);
        assert_eq!(heard.iter().count(), 3, "{way}");
    }
}

/// Chunk 0 cannot be read, which is found out while chunk 1 is still being written.
struct Slow {
    begun: Mutex<Receiver<()>>,
    begin: Mutex<Sender<()>>,
    release: Mutex<Receiver<()>>,
}

impl Sink for Slow {
    fn held(&self) -> u64 {
        2 << 20
    }
    fn read_held(&self, offset: u64, _: &mut [u8]) -> Result<(), StorageError> {
        if offset == 0 {
            self.begun.lock().unwrap().recv().unwrap();
            return Err(StorageError::Changed);
        }
        if offset == 1 << 20 {
            self.begin.lock().unwrap().send(()).unwrap();
            self.release.lock().unwrap().recv().unwrap();
        }
        Ok(())
    }
    fn write_at(&self, _: u64, _: &[u8]) -> Result<(), StorageError> {
        Ok(())
    }
    fn commit(&self) -> Result<(), StorageError> {
        Ok(())
    }
    fn discard(&self) {}
}

/// The sender would send chunk 1 at once, and what is still written would stand over it.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_page_waits_for_whoever_is_still_at_a_chunk_behind() {
    let ((begin, begun), (release, released)) = (channel(), channel());
    let sink =
        Slow { begun: Mutex::new(begun), begin: Mutex::new(begin), release: Mutex::new(released) };
    let layout = Layout::for_size(2 << 20).unwrap();
    let ((list, heard), (teller, told)) = (channel(), teller());
    let have_list = Arc::new(HaveList::new(Arc::new(sink), layout, teller, list));
    let (end, mut ended) = tokio::sync::mpsc::unbounded_channel();
    for job in have_list.start(&queue()) {
        let end = end.clone();
        tokio::spawn(async move {
            job.await;
            end.send(()).unwrap();
        });
    }
    ended.recv().await.unwrap();
    assert_eq!(heard.try_recv(), Err(TryRecvError::Empty), "the sender may send chunk 1 then");
    release.send(()).unwrap();
    ended.recv().await.unwrap();
    drop(have_list);
    let told = told.await.unwrap();
    assert!(told.is_complete && told.digests.is_empty() && heard.iter().count() == 0);
}
