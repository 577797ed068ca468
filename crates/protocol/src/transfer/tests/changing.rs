//! Sources that are written to while they are read.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_changed_is_never_committed() {
    let source = source(&file(3 * MIB, 3));
    source.changed.store(true, Ordering::Relaxed);
    source.rewritten.store(true, Ordering::Relaxed);
    let sink = Arc::new(MemorySink::default());
    let (sent, received) = transfer(source, sink.clone(), false).await;
    assert!(matches!(sent, Err(TransferError::Storage(StorageError::Changed))));
    assert!(matches!(received, Err(TransferError::Interrupted)));
    assert!(!sink.committed.load(Ordering::Relaxed));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_only_grew_is_sent_as_it_was() {
    let bytes = file(3 * MIB, 3);
    let source = source(&bytes);
    source.changed.store(true, Ordering::Relaxed);
    let sink = Arc::new(MemorySink::default());
    let (sent, received) = transfer(source, sink.clone(), false).await;
    assert!(sent.unwrap().grew && !received.unwrap().grew);
    assert_eq!(sink.content(), bytes);
}
