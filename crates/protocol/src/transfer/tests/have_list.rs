//! What is held is announced in order, from two threads; where data has shifted, from another
//! place.

use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;
use crate::frame::HEADER;
use crate::transfer::have_list::HaveList;
use sealane_base::types::digest::chunk_digest;

/// What was said and what the writing thread was told, once all is.
#[derive(Debug, Default)]
struct Told {
    digests: Vec<Digest>,
    pages: usize,
    is_complete: bool,
}

impl Told {
    fn hear(&mut self, frame: &[u8]) {
        let header = Header::decode(frame.first_chunk().unwrap(), Side::Server).unwrap();
        let page = ClaimsPage::decode(&header, &frame[HEADER..]).unwrap();
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

/// Lets `before` do something first; gives what was told.
fn all_told(sink: &dyn Sink, layout: Layout, before: impl FnOnce(&HaveList<'_>)) -> Told {
    let (list, heard) = channel();
    let have_list = HaveList::new(sink, layout, ID, list);
    before(&have_list);
    let told = Mutex::new(Told::default());
    let say = |frame: Vec<u8>| {
        told.lock().unwrap().hear(&frame);
        Ok(())
    };
    std::thread::scope(|scope| have_list.start(scope, say).unwrap());
    let told = told.into_inner().unwrap();
    assert!(told.is_complete);
    assert_eq!(heard.iter().collect::<Vec<_>>(), told.digests);
    told
}

#[test]
fn every_chunk_is_listed_once_in_order_and_the_last_page_says_so() {
    for size in [2 * MIB, 16 * MIB, 32 * MIB, 37 * MIB + 5] {
        let bytes = file(size, 3);
        let layout = Layout::for_size(size as u64).unwrap();
        let told = all_told(&MemorySink::holding(&bytes), layout, |_| {});
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

#[test]
fn nothing_is_listed_from_a_chunk_on_that_cannot_be_read() {
    let bytes = file(20 * MIB, 3);
    let layout = Layout::for_size(bytes.len() as u64).unwrap();
    for readable in [0, 1, 5, 16, 19] {
        // In the middle of the first chunk that is not.
        let sink = Torn(MemorySink::holding(&bytes), (readable * MIB + MIB / 2) as u64);
        let told = all_told(&sink, layout, |_| {});
        assert!(told.digests == digests(layout, &bytes)[..readable], "{readable}");
        assert_eq!(told.pages, readable.div_ceil(16).max(1), "{readable}");
    }
}

#[test]
fn what_a_recipe_tells_of_a_shift_is_listed_of_the_chunks_behind_it() {
    let old = file(6 * MIB, 3);
    let new = [&b"something new"[..], &old[..]].concat();
    let layout = Layout::for_size(new.len() as u64).unwrap();
    let sink = MemorySink { present: old.clone(), ..MemorySink::holding(&old) };
    let told = all_told(&sink, layout, |have_list| have_list.learn(0, Some(-13)));
    let (expected, unmoved) = (digests(layout, &new), digests(layout, &old));
    assert_eq!(told.digests[0], unmoved[0], "nothing lies before the file");
    assert!(told.digests[1..] == expected[1..], "with the chunk that was not held before");
    assert!(sink.content()[MIB..] == new[MIB..], "what is listed is there");
    // A chunk that came as bytes although it was listed from there.
    let sink = MemorySink { present: old.clone(), ..MemorySink::holding(&old) };
    let told = all_told(&sink, layout, |have_list| {
        have_list.learn(0, Some(-13));
        have_list.learn(1, None);
    });
    assert!(told.digests == unmoved);
}

#[test]
fn pieces_are_not_told_as_long_as_shifted_chunks_are_listed() {
    let bytes = file(8 * MIB, 3);
    let layout = Layout::for_size(bytes.len() as u64).unwrap();
    let sink = MemorySink::holding(&bytes);
    let (list, _heard) = channel();
    let have_list = HaveList::new(&sink, layout, ID, list);
    have_list.wait_for_need(0); // nothing is known of a shift: no waiting
    have_list.learn(0, Some(0));
    have_list.wait_for_need(7 << 20); // what was listed before is made of pieces
    let is_complete = AtomicBool::new(false);
    let say = |frame: Vec<u8>| {
        let header = Header::decode(frame.first_chunk().unwrap(), Side::Server).unwrap();
        let page = ClaimsPage::decode(&header, &frame[HEADER..]).unwrap();
        is_complete.store(page.last, Ordering::SeqCst);
        Ok(())
    };
    let (waits, begun) = channel();
    std::thread::scope(|scope| {
        let (have_list, is_complete) = (&have_list, &is_complete);
        scope.spawn(move || {
            waits.send(()).unwrap();
            have_list.wait_for_need(8 << 20);
            assert!(is_complete.load(Ordering::SeqCst));
        });
        begun.recv().unwrap();
        have_list.start(scope, say).unwrap();
    });
}

#[test]
fn a_paused_list_goes_on_when_a_chunk_comes_or_pieces_enough_are_told() {
    let bytes = file(3 * MIB, 3);
    let layout = Layout::for_size(bytes.len() as u64).unwrap();
    let ways: [fn(&HaveList<'_>); 3] = [
        |have_list| have_list.learn(0, None),
        |have_list| have_list.wait_for_need(64 << 20),
        |have_list| have_list.go_on(),
    ];
    for go_on in ways {
        let (list, heard) = channel();
        let sink = MemorySink::holding(&bytes);
        let have_list = HaveList::new(&sink, layout, ID, list);
        have_list.pause();
        let say = |_: Vec<u8>| Ok(());
        std::thread::scope(|scope| {
            have_list.start(scope, say).unwrap();
            go_on(&have_list);
        });
        assert_eq!(heard.iter().count(), 3);
    }
}

/// Chunk 0 cannot be read, which is found out while chunk 1 is still being written.
struct Slow {
    begun: Mutex<Receiver<()>>,
    begin: Sender<()>,
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
            self.begin.send(()).unwrap();
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
#[test]
fn the_last_page_waits_for_whoever_is_still_at_a_chunk_behind() {
    let ((begin, begun), (release, released)) = (channel(), channel());
    let sink = Slow { begun: Mutex::new(begun), begin, release: Mutex::new(released) };
    let layout = Layout::for_size(2 << 20).unwrap();
    let (list, heard) = channel();
    let have_list = HaveList::new(&sink, layout, ID, list);
    let told = Mutex::new(Told::default());
    let say = |frame: Vec<u8>| {
        told.lock().unwrap().hear(&frame);
        Ok(())
    };
    let (end, ended) = channel();
    let early = std::thread::scope(|scope| {
        for _ in 0..2 {
            let (have_list, end) = (&have_list, end.clone());
            scope.spawn(move || {
                have_list.work(say);
                end.send(()).unwrap();
            });
        }
        ended.recv().unwrap();
        let early = told.lock().unwrap().pages;
        release.send(()).unwrap();
        early
    });
    assert_eq!(early, 0, "the sender may send chunk 1 then");
    let told = told.into_inner().unwrap();
    assert!(told.is_complete && told.digests.is_empty() && heard.iter().count() == 0);
}
