//! In steady state no chunk costs an allocation, at either end: a file of many chunks takes no more
//! of them than one of few.

use allocation_counter::measure;
use tokio::net::UnixStream;

use super::*;
use crate::transfer::receive::Receiving;
use crate::transfer::send::Sending;

/// A file that is nowhere: its bytes are counted up.
struct Counted(u64);

impl Source for Counted {
    fn size(&self) -> u64 {
        self.0
    }
    fn meta(&self) -> FileMeta {
        FileMeta::default()
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        for (word, at) in buffer.as_chunks_mut::<8>().0.iter_mut().zip(offset..) {
            *word = at.to_le_bytes();
        }
        Ok(())
    }
    fn check_unchanged(&self) -> Result<(), StorageError> {
        Ok(())
    }
}

/// Takes everything and keeps nothing.
struct Nowhere;

impl Sink for Nowhere {
    fn held(&self) -> u64 {
        0
    }
    fn read_held(&self, _: u64, _: &mut [u8]) -> Result<(), StorageError> {
        Err(StorageError::NotFound)
    }
    fn write_at(&self, _: u64, _: &[u8]) -> Result<(), StorageError> {
        Ok(())
    }
    fn commit(&self) -> Result<(), StorageError> {
        Ok(())
    }
    fn discard(&self) {}
}

/// Allocations of both ends, with the tasks of their connection, while so many chunks move.
fn allocations(chunks: u64) -> u64 {
    let source = Arc::new(Counted(chunks << 20));
    let layout = Layout::for_size(source.size()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let all = async {
        let (near, far) = UnixStream::pair().unwrap();
        let (sender, receiver) = (end(near, Side::Server), end(far, Side::Client));
        let (_far_route, receiving) = receiver.routes.receive(ID, layout);
        let (_near_route, sending) = sender.routes.send(ID, layout.size());
        let (near_out, far_out) = (sender.out.clone(), receiver.out.clone());
        let held = Held::default();
        let sending = Sending::new(source, layout, held, sending, near_out, Arc::default());
        let (queue, sink) = (queue(), Arc::new(Nowhere));
        let receive = Receiving::new(&queue, sink, false, &receiving, &far_out, Arc::default());
        let (sent, received) = tokio::join!(sending.run(), receive.run(receiving, far_out));
        assert_eq!(sent.unwrap(), received.unwrap());
    };
    // On this thread, where they are counted.
    measure(|| runtime.block_on(all)).count_total
}

#[test]
fn chunks_cost_no_allocations() {
    // What the queues of tokio take now and then, a block for 32 frames each: a quarter of one for
    // each chunk.
    const SLACK: u64 = 16;
    let (few, many) = (allocations(16), allocations(80));
    assert!(many <= few + SLACK, "{few} for 16 chunks, {many} for 80");
}
