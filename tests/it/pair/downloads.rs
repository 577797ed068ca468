//! Downloads from a server that lies: what does not add up is never under its name, and what was
//! good is not fetched twice.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sealane_base::files::{LocalSink, Sink};
use sealane_base::types::Digest;
use sealane_client::Client;
use sealane_client::session::SessionError;
use sealane_protocol::message::{File, Offer};
use sealane_protocol::transfer::{Meter, Outcome, TransferError};
use sealane_protocol::wire::WireError;
use sealane_protocol::{Kind, ServerMessage};
use tempfile::TempDir;

use super::liar::{assert_usable, path, told};
use crate::support::pair::lying_server;
use crate::support::peer::{any_chunk, chunk, digest, end, soon};
use crate::support::{names, noise};

const MIB: usize = 1 << 20;

pub async fn download(client: &Client, to: &Path) -> Result<Outcome, SessionError> {
    let (to, holds) = (to.to_owned(), LocalSink::would_hold(to));
    let open = move |size, meta| {
        LocalSink::create(&to, size, meta, false).map(|sink| Arc::new(sink) as Arc<dyn Sink>)
    };
    client.download(&path("file"), holds, open, Arc::new(Meter::default())).await
}

fn offer(id: u32, bytes: &[u8]) -> Vec<u8> {
    let size = bytes.len() as u64;
    ServerMessage::Offer(Offer { size, chunk_log2: 20, modified: None, mode: None }).encode(id)
}

pub fn destination() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let to = directory.path().join("file");
    (directory, to)
}

#[tokio::test(start_paused = true)]
async fn a_small_file_with_another_digest_is_not_written() {
    let (client, mut server) = lying_server().await;
    for old in [None, Some(b"old")] {
        let (directory, to) = destination();
        if let Some(old) = old {
            std::fs::write(&to, old).unwrap();
        }
        let answer = told(download(&client, &to), &mut server, Kind::Get, |id| {
            let file = File { digest: Digest::of_bytes(b"x"), modified: None, mode: None };
            ServerMessage::File(file, b"y".to_vec()).encode(id)
        });
        let answer = answer.await;
        let refused = matches!(answer, Err(SessionError::Transfer(TransferError::Chunk { .. })));
        assert!(refused, "{answer:?}");
        assert_eq!(std::fs::read(&to).ok().as_deref(), old.map(|old| &old[..]));
        assert_eq!(names(directory.path()).len(), usize::from(old.is_some()));
    }
    assert_usable(&client, &mut server).await;
}

#[tokio::test(start_paused = true)]
async fn a_download_that_does_not_add_up_is_never_under_its_name() {
    type Lie = fn(u32, &[u8]) -> Vec<u8>;
    let bytes = noise(3 * MIB, 6);
    let lies: [(&str, Lie); 8] = [
        ("a chunk before the offer", |id, bytes| {
            let rest = [chunk(id, bytes, 1), chunk(id, bytes, 2), end(id, bytes)].concat();
            [chunk(id, bytes, 0), offer(id, bytes), rest].concat()
        }),
        ("an end and no chunk", |id, bytes| [offer(id, bytes), end(id, bytes)].concat()),
        ("an end too early", |id, bytes| {
            [offer(id, bytes), chunk(id, bytes, 0), end(id, bytes)].concat()
        }),
        ("another digest", |id, bytes| {
            let wrong = any_chunk(id, 0, digest(bytes, 1), &bytes[..MIB]);
            [offer(id, bytes), wrong].concat()
        }),
        ("another root", |id, bytes| {
            let chunks = [chunk(id, bytes, 0), chunk(id, bytes, 1), chunk(id, bytes, 2)].concat();
            [offer(id, bytes), chunks, end(id, b"other")].concat()
        }),
        ("a chunk past the end", |id, bytes| {
            [offer(id, bytes), any_chunk(id, 3, digest(bytes, 0), &bytes[..MIB])].concat()
        }),
        ("two offers", |id, bytes| {
            [offer(id, bytes), chunk(id, bytes, 0), offer(id, bytes), end(id, bytes)].concat()
        }),
        ("another chunk size", |id, bytes| {
            let offer =
                Offer { size: bytes.len() as u64, chunk_log2: 22, modified: None, mode: None };
            ServerMessage::Offer(offer).encode(id)
        }),
    ];
    for (what, lie) in lies {
        let (client, mut server) = lying_server().await;
        let (directory, to) = destination();
        let asked = download(&client, &to);
        let answer = told(asked, &mut server, Kind::Get, |id| lie(id, &bytes)).await;
        assert!(answer.is_err(), "{what}: {answer:?}");
        assert!(!names(directory.path()).contains(&"file".to_owned()), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_offer_of_more_than_the_disk_has_is_not_begun() {
    let (client, mut server) = lying_server().await;
    let (directory, to) = destination();
    let answer = told(download(&client, &to), &mut server, Kind::Get, |id| {
        let offer = Offer { size: 4 << 40, chunk_log2: 22, modified: None, mode: None };
        ServerMessage::Offer(offer).encode(id)
    });
    assert!(matches!(answer.await, Err(SessionError::Transfer(TransferError::Storage(_)))));
    assert!(names(directory.path()).is_empty());
    assert_usable(&client, &mut server).await;
}

#[tokio::test(start_paused = true)]
async fn a_download_cut_in_the_middle_goes_on_where_it_stopped() {
    let bytes = noise(4 * MIB, 7);
    // In the prefix of a chunk, before its bytes, in its bytes, between two.
    for cut in [12, 46, MIB, 46 + MIB] {
        let (directory, to) = destination();
        let (client, mut server) = lying_server().await;
        let cutting = async {
            let id = server.request(Kind::Get).await;
            server.send(&[offer(id, &bytes), chunk(id, &bytes, 0)].concat()).await;
            assert_eq!(server.frame_of(id).await.0.kind, Kind::Ack);
            server.send(&chunk(id, &bytes, 1)[..cut]).await;
            drop(server);
        };
        let (answer, ()) = soon(async { tokio::join!(download(&client, &to), cutting) }).await;
        let error = answer.unwrap_err();
        let resumable = matches!(&error, SessionError::Connection(why)
            if matches!(**why, WireError::Truncated | WireError::Closed | WireError::Io(_)));
        assert!(resumable, "{cut}: {error}");
        assert_eq!(names(directory.path()).len(), 1, "the partial and nothing else");
        assert!(LocalSink::would_hold(&to) && !to.exists());
        // An honest server is told next time what is there.
        let (client, mut server) = lying_server().await;
        let honest = async {
            let id = server.request(Kind::Get).await;
            server.send(&offer(id, &bytes)).await;
            let (header, body) = server.frame_of(id).await;
            assert_eq!(header.kind, Kind::Claims);
            let held = (body.len() - 4) / 32;
            assert_eq!(held, if cut > MIB { 2 } else { 1 });
            for index in 0..held {
                assert_eq!(body[4 + 32 * index..][..32], digest(&bytes, index as u32).0);
            }
            for index in held..4 {
                server.send(&chunk(id, &bytes, index as u32)).await;
            }
            server.send(&end(id, &bytes)).await;
        };
        let (answer, ()) = soon(async { tokio::join!(download(&client, &to), honest) }).await;
        assert!(answer.unwrap().reused >= MIB as u64);
        assert!(std::fs::read(&to).unwrap() == bytes);
        assert_eq!(names(directory.path()), ["file"]);
    }
}
