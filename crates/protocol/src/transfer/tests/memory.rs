//! What arrives in several sessions shares memory: who finds it used up waits, and none waits for
//! another's peer.

use tokio::time::timeout;

use super::*;
use crate::limits;
use crate::wire::Memory;

/// Whether chunk `index` is taken in, or waits.
async fn is_taken(routes: &Routes, layout: Layout, index: u32) -> bool {
    let length = layout.length(index).unwrap();
    let prefix = ChunkPrefix { index, digest: Digest([0; 32]) };
    let header = Header::new(Kind::Chunk, ID, limits::CHUNK_PREFIX + length as u32);
    let body = [&prefix.encode()[..], &vec![0; length]].concat();
    let mut reader = FrameReader::new(&body[..], Side::Client, STALL);
    timeout(STALL / 2, routes.deliver(&header, &mut reader)).await.is_ok()
}

fn routes(memory: &Memory) -> Routes {
    Routes::within(memory, &Memory::new(1 << 20), STALL)
}

#[tokio::test(start_paused = true)]
async fn what_arrives_waits_for_memory_that_others_hold_and_goes_on_without_them() {
    let layout = Layout::for_size(8 << 20).unwrap();
    // One chunk for all, and one more for each.
    let memory = Memory::new(1 << 20);
    let (first, second) = (routes(&memory), routes(&memory));
    let (held, _end) = (first.receive(ID, layout), second.receive(ID, layout));
    assert!(is_taken(&first, layout, 0).await && is_taken(&first, layout, 1).await);
    assert!(is_taken(&second, layout, 0).await);
    assert!(!is_taken(&second, layout, 1).await);
    drop(held);
    assert!(is_taken(&second, layout, 1).await);
    // A client receives from one server, into memory of its own.
    let client = Routes::default();
    let _ends = [client.receive(ID, layout)];
    assert!(is_taken(&client, layout, 0).await && is_taken(&client, layout, 1).await);
}
