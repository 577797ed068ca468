//! Row 18 by attack: what is on the disk never passes the quota, be it under a name or not.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use sealane_base::files::{FileMeta, FileSource};
use sealane_base::types::RemotePath;
use sealane_client::Client;
use sealane_protocol::transfer::Meter;
use sealane_protocol::{ServerMessage, Status};

use super::{MIB, stranger};
use crate::support::peer::{self, Peer, hello, status};
use crate::support::site::{PASSWORD, until};
use crate::support::trees::content;
use crate::support::{Service, noise};

const LIMIT: u64 = 9 << 20;

/// Bytes of all files below `root`, those that have no name any more and are still open included.
fn on_disk(root: &Path) -> u64 {
    let named = content(root).values().flatten().map(|bytes| bytes.len() as u64).sum::<u64>();
    let mut seen = HashSet::new();
    let mut nameless = 0;
    for entry in std::fs::read_dir("/proc/self/fd").unwrap().flatten() {
        let target = std::fs::read_link(entry.path()).unwrap_or_default();
        let target = target.to_string_lossy().into_owned();
        let Ok(facts) = entry.path().metadata() else { continue };
        let is_ours =
            target.starts_with(&*root.to_string_lossy()) && target.ends_with(" (deleted)");
        if is_ours && seen.insert((facts.dev(), facts.ino())) {
            nameless += facts.len();
        }
    }
    named + nameless
}

async fn insider(service: &Service, user: &str) -> Peer {
    let mut peer = stranger(service.address, &service.pins).await;
    peer.send(&[hello(1), peer::login_as(2, user, PASSWORD)].concat()).await;
    assert!(matches!(peer.answer_to(2).await, ServerMessage::LoggedIn(_)));
    peer
}

async fn upload(client: &Client, path: &str, file: &Path) -> Option<Status> {
    let source = Arc::new(FileSource::open(file).unwrap());
    let path = RemotePath::parse(path).unwrap();
    let sent = client.upload(&path, source, FileMeta::default(), Arc::new(Meter::default())).await;
    sent.err().map(|error| error.status().unwrap_or_else(|| panic!("{error}")))
}

/// Ways to take the name away from a file that is being read.
const WAYS: [&str; 3] = ["remove", "rename", "replace"];

#[tokio::test(flavor = "multi_thread")]
async fn row_18_what_has_lost_its_name_counts_as_long_as_it_is_read() {
    let service = Service::start().await;
    let file = service.directory.path().join("file");
    for way in WAYS {
        service.account(way, LIMIT);
        let client = service.login(way).await;
        let mut reader = insider(&service, way).await;
        let home = service.directory.path().join("data");
        let mut refused = None;
        for round in 0..14 {
            std::fs::write(&file, noise(2 * MIB, round)).unwrap();
            refused = upload(&client, "f", &file).await;
            assert!(on_disk(&home) <= LIMIT, "{way}: {} in round {round}", on_disk(&home));
            if refused.is_some() {
                break;
            }
            // Claims are announced and never sent: it waits as long as one likes.
            let id = reader.ask(peer::get("f", true)).await;
            assert!(matches!(reader.answer_to(id).await, ServerMessage::Offer(_)));
            match way {
                "remove" => client.remove(&RemotePath::parse("f").unwrap(), false).await.unwrap(),
                "rename" => {
                    assert_eq!(status(&reader.exchange(peer::put_small("g", b"x")).await), None);
                    assert_eq!(status(&reader.exchange(peer::rename("g", "f")).await), None);
                }
                _ => {}
            }
        }
        assert_eq!(refused, Some(Status::Quota), "{way}");
        drop(reader);
        until("the reader is gone", || on_disk(&home) <= 4 * MIB as u64);
        for _ in 0..100 {
            refused = upload(&client, "f", &file).await;
            if refused.is_none() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert_eq!(refused, None, "{way}");
        client.remove(&RemotePath::parse("f").unwrap(), false).await.unwrap();
        drop(client);
        std::fs::remove_dir_all(service.home(way)).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_18_an_upload_that_waits_keeps_what_it_replaces_counted() {
    let service = Service::start().await;
    service.account("bob", LIMIT);
    let client = service.login("bob").await;
    let home = service.directory.path().join("data");
    let file = service.directory.path().join("file");
    let mut waiting = insider(&service, "bob").await;
    let mut refused = None;
    for round in 0..14 {
        std::fs::write(&file, noise(2 * MIB, round)).unwrap();
        let (name, other) = (format!("f{round}"), format!("g{round}"));
        refused = upload(&client, &name, &file).await;
        assert!(on_disk(&home) <= LIMIT, "{} in round {round}", on_disk(&home));
        if refused.is_some() {
            break;
        }
        let id = waiting.ask(peer::put(&name, MIB + 1)).await;
        if !matches!(waiting.answer_to(id).await, ServerMessage::Accepted(_)) {
            break;
        }
        let [name, other] = [name, other].map(|name| RemotePath::parse(&name).unwrap());
        client.rename(&name, &other, false).await.unwrap();
        client.remove(&other, false).await.unwrap();
        assert!(on_disk(&home) <= LIMIT, "{} in round {round}", on_disk(&home));
    }
    let usage = client.usage().await.unwrap();
    assert!(usage.used + usage.reserved <= usage.limit, "{usage:?}");
    assert!(refused.is_none_or(|status| status == Status::Quota));
}
