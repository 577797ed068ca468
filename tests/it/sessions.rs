//! Verbs, limits and sharing over real TLS and sockets, inside one process.

use std::sync::Arc;

use sealane::protocol::Status;
use sealane::session::{Client, SessionError};
use sealane::storage::{FileMeta, FileSource, LocalSink, Sink, Source};
use sealane::transfer::{Meter, Outcome};
use sealane::types::{Digest, RemotePath};

use crate::support::{Service, noise};

const MIB: usize = 1 << 20;

fn path(text: &str) -> RemotePath {
    RemotePath::parse(text).unwrap()
}

/// Uploads bytes by way of a real file.
pub async fn upload(client: &Client, to: &str, bytes: &[u8]) -> Result<Outcome, SessionError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let source: Arc<dyn Source> = Arc::new(FileSource::open(file.path()).unwrap());
    client.upload(&path(to), source, FileMeta::default(), Arc::new(Meter::default())).await
}

/// Downloads to `to`.
async fn download(
    client: &Client,
    from: &str,
    to: &std::path::Path,
) -> Result<Outcome, SessionError> {
    let (to, held) = (to.to_owned(), LocalSink::would_hold(to));
    let open = move |size, meta| {
        LocalSink::create(&to, size, meta, false).map(|sink| Arc::new(sink) as Arc<dyn Sink>)
    };
    client.download(&path(from), held, open, Arc::new(Meter::default())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_every_shape_go_up_and_come_down() {
    let service = Service::start().await;
    service.account("ann", 1 << 30);
    let client = service.login("ann").await;
    let local = service.directory.path().join("copy");
    for size in [0, 1, 5000, MIB, MIB + 1, 7 * MIB + 3] {
        let bytes = noise(size, size as u64);
        let sent = upload(&client, "file", &bytes).await.unwrap();
        assert_eq!((sent.root, sent.size), (Digest::of_bytes(&bytes), size as u64));
        assert!(std::fs::read(service.home("ann").join("file")).unwrap() == bytes);
        let got = download(&client, "file", &local).await.unwrap();
        assert_eq!(got.root, sent.root);
        assert!(std::fs::read(&local).unwrap() == bytes, "{size}");
    }
}
