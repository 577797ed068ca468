//! Verbs, limits and sharing over real TLS and sockets, inside one process.

use std::sync::Arc;

use sealane_base::files::{FileMeta, FileSource, LocalSink, Sink, Source};
use sealane_base::types::{Digest, RemotePath, Username};
use sealane_client::Client;
use sealane_client::session::SessionError;
use sealane_protocol::Status;
use sealane_protocol::transfer::{Meter, Outcome};

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

#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_moves_only_what_differs_and_so_does_the_next_download() {
    let service = Service::start().await;
    service.account("ann", 1 << 30);
    let client = service.login("ann").await;
    let mut bytes = noise(20 * MIB, 1);
    let local = service.directory.path().join("copy");
    upload(&client, "big", &bytes).await.unwrap();
    download(&client, "big", &local).await.unwrap();

    bytes[9 * MIB + 17] ^= 1;
    let sent = upload(&client, "big", &bytes).await.unwrap();
    assert_eq!((sent.moved, sent.reused), (MIB as u64, 19 * MIB as u64));
    let got = download(&client, "big", &local).await.unwrap();
    assert_eq!((got.moved, got.reused), (MIB as u64, 19 * MIB as u64));
    assert!(std::fs::read(&local).unwrap() == bytes);
    let again = upload(&client, "big", &bytes).await.unwrap();
    assert_eq!(again.moved, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_two_uploads_against_a_quota_of_ten() {
    let service = Service::start().await;
    let size = 2 * MIB;
    service.account("ann", 10 * size as u64);
    let mut uploads = tokio::task::JoinSet::new();
    for number in 0..32 {
        // Sessions of their own: the ledger is the account's, not the session's.
        let client = service.login("ann").await;
        let bytes = noise(size, number);
        uploads.spawn(async move { upload(&client, &format!("f{number}"), &bytes).await });
    }
    let (home, data) = (service.home("ann"), service.directory.path().join("data"));
    let watching = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let (watch, limit) = (watching.clone(), 10 * size as u64);
    let watcher = std::thread::spawn(move || {
        let mut most = 0;
        while watch.load(std::sync::atomic::Ordering::Relaxed) {
            most = most.max(bytes_below(&data.join("homes")) + bytes_of_parts(&data));
        }
        most
    });
    let (mut stored, mut refused) = (0, 0);
    while let Some(done) = uploads.join_next().await {
        match done.unwrap() {
            Ok(_) => stored += 1,
            Err(error) => {
                assert_eq!(error.status(), Some(Status::Quota), "{error}");
                let SessionError::Refused(refusal) = error else { panic!() };
                assert_eq!(refusal.limit, Some(limit));
                assert!(refusal.short.is_some_and(|short| short > 0));
                refused += 1;
            }
        }
    }
    watching.store(false, std::sync::atomic::Ordering::Relaxed);
    assert_eq!((stored, refused), (10, 22));
    assert!(watcher.join().unwrap() <= limit);
    assert_eq!(bytes_below(&home), limit);
    let usage = service.login("ann").await.usage().await.unwrap();
    assert_eq!((usage.used, usage.reserved), (limit, 0));
}

fn bytes_below(directory: &std::path::Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(facts) if facts.is_dir() => bytes_below(&entry.path()),
            Ok(facts) => facts.len(),
            Err(_) => 0,
        })
        .sum()
}

fn bytes_of_parts(data: &std::path::Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(data.join("partials/ann")) else { return 0 };
    let is_part = |path: &std::path::Path| path.extension().is_some_and(|end| end == "part");
    entries
        .flatten()
        .filter(|entry| is_part(&entry.path()))
        .map(|entry| entry.metadata().map_or(0, |facts| facts.len()))
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_clients_on_one_account_and_fifty_on_fifty_work_at_the_same_time() {
    let service = Arc::new(Service::start().await);
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..50u64 {
        let name = format!("user{number}");
        service.account(&name, 64 << 20);
        // Every account twice at the same time.
        for half in 0..2u64 {
            let (service, name) = (service.clone(), name.clone());
            tasks.spawn(async move {
                let client = service.login(&name).await;
                let bytes = noise(MIB + 4321, number * 2 + half);
                let file = format!("file{half}");
                upload(&client, &file, &bytes).await.unwrap();
                let local = service.directory.path().join(format!("{name}-{half}"));
                let got = download(&client, &file, &local).await.unwrap();
                assert_eq!(got.root, Digest::of_bytes(&bytes));
                assert!(std::fs::read(&local).unwrap() == bytes);
                let listed = client.list(&RemotePath::default(), None).await.unwrap();
                assert!(listed.entries.iter().any(|entry| entry.name == file));
            });
        }
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    for number in 0..50 {
        assert_eq!(
            crate::support::names(&service.home(&format!("user{number}"))),
            ["file0", "file1"]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_verbs_do_what_they_say_and_refuse_with_their_own_status() {
    let service = Service::start().await;
    service.account("ann", 1 << 30);
    let client = service.login("ann").await;
    let refused = |result: Result<(), SessionError>| result.unwrap_err().status().unwrap();

    client.make_directory(&path("a/b/c"), true).await.unwrap();
    assert_eq!(refused(client.make_directory(&path("a"), false).await), Status::Exists);
    assert_eq!(refused(client.make_directory(&path("x/y"), false).await), Status::NotFound);
    upload(&client, "a/b/file", b"hello").await.unwrap();
    let entry = client.stat(&path("a/b/file")).await.unwrap();
    assert_eq!((entry.name.as_str(), entry.kind, entry.size), ("file", 0, 5));
    assert_eq!(client.digest(&path("a/b/file")).await.unwrap().root, Digest::of_bytes(b"hello"));

    client.rename(&path("a/b/file"), &path("a/moved"), false).await.unwrap();
    upload(&client, "a/other", b"there").await.unwrap();
    let rename = client.rename(&path("a/moved"), &path("a/other"), false).await;
    assert_eq!(refused(rename), Status::Exists);
    client.rename(&path("a/moved"), &path("a/other"), true).await.unwrap();
    assert_eq!(std::fs::read(service.home("ann").join("a/other")).unwrap(), b"hello");

    assert_eq!(refused(client.remove(&path("a"), false).await), Status::NotEmpty);
    assert_eq!(refused(client.remove(&path(""), true).await), Status::Root);
    let listed = client.list(&path("a"), None).await.unwrap();
    assert_eq!(
        listed.entries.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(),
        ["b", "other"]
    );
    client.remove(&path("a"), true).await.unwrap();
    assert_eq!(client.usage().await.unwrap().used, 0);
    let missing = upload(&client, "gone/file", b"x").await.unwrap_err();
    assert_eq!(missing.status(), Some(Status::NotFound));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_wrong_login_hears_the_same_and_a_legacy_one_becomes_argon2id() {
    let service = Service::start().await;
    service.account("ann", 1 << 20);
    let record = include_str!("../../accounts/samples/ahpu.db")
        .replace(r"D:\\FTP\\home\\ahpu", "homes/ahpu");
    let place = service.directory.path().join("accounts/ahpu.db");
    std::fs::write(&place, record).unwrap();
    for (user, password) in [("ann", "wrong"), ("nobody", "wrong"), ("ahpu", "wrong"), ("ahpu", "")]
    {
        let error = service.try_login(user, password).await.unwrap_err();
        assert_eq!(error.to_string(), "login refused", "{user}");
    }
    assert!(std::fs::read_to_string(&place).unwrap().contains("96e79218965eb72c92a549dd5a330112"));
    let ahpu = Username::parse("ahpu").unwrap();
    service.authenticator.unblock(&ahpu, Some(service.address.ip()));
    service.try_login("ahpu", "111111").await.unwrap();
    let after = std::fs::read_to_string(&place).unwrap();
    assert!(after.contains("$argon2id$") && !after.contains("96e792"), "{after}");
    service.try_login("ahpu", "111111").await.unwrap();
}
