//! How often a client waits for the server before the first byte of a file: counted, not timed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sealane_base::types::{PinSet, RemotePath, Secret};
use sealane_client::Client;
use sealane_client::session::{Session, SessionSettings};
use sealane_client::tree::{Arrived, FileJob, LocalFile, TreeError, download_files, upload_files};
use sealane_protocol::message::Get;
use sealane_protocol::transfer::Meter;
use sealane_protocol::{ClientMessage, Status};
use sealane_tls as tls;
use sealane_tls::Identity;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::yield_now;

use crate::support::Pair;
use crate::support::pair::{Served, USER, whole};
use crate::support::peer::{soon, status};
use crate::support::site::PASSWORD;

/// Room for everything a test sends.
const ROOM: usize = 1 << 20;
/// Turns that every other task gets before an end counts as silent.
const TURNS: usize = 200;

/// Passes bytes on. What the client says until it falls silent is one flight, which leaves whole,
/// so that no part of it is answered on its own.
async fn relay(mut near: DuplexStream, mut far: DuplexStream, flights: Arc<AtomicUsize>) {
    let (mut flight, mut answer) = (Vec::new(), vec![0; ROOM]);
    loop {
        let silent = async {
            for _ in 0..TURNS {
                yield_now().await;
            }
        };
        tokio::select! {
            biased;
            count = near.read_buf(&mut flight) => {
                if count.unwrap() == 0 {
                    return;
                }
            }
            count = far.read(&mut answer) => {
                let count = count.unwrap();
                near.write_all(&answer[..count]).await.unwrap();
            }
            () = silent, if !flight.is_empty() => {
                flights.fetch_add(1, Ordering::Relaxed);
                far.write_all(&flight).await.unwrap();
                flight.clear();
            }
        }
    }
}

/// The real client over real TLS, whose login is on its way, and its flights so far. The server's
/// end is to be waited for beside what the client asks at once.
async fn client(pair: &Pair) -> (Client, Arc<AtomicUsize>, impl Future<Output = (Served,)>) {
    let key = tls::generate::key_pair(time::OffsetDateTime::now_utc()).unwrap();
    let identity =
        Identity::from_pem(key.certificate_pem.as_bytes(), key.key_pem.expose().as_bytes());
    let server = tls::server_config(identity.unwrap(), Vec::new()).unwrap();
    let flights = Arc::<AtomicUsize>::default();
    let ((client_end, near), (far, server_end)) = (duplex(ROOM), duplex(ROOM));
    tokio::spawn(relay(near, far, flights.clone()));
    let accepting = tokio::spawn(tls::accept(server, server_end));
    let config = tls::client_config(PinSet::new(vec![key.pin]).unwrap()).unwrap();
    let stream = tls::connect(config, client_end).await.unwrap();
    let password = Secret::new(PASSWORD.to_owned());
    let settings = SessionSettings::default();
    let session = Session::begin(stream, settings, USER, Some(&password), None).await;
    let client = Client::new(session, None);
    let serving = async { (pair.serve(accepting.await.unwrap().unwrap()),) };
    (client, flights, serving)
}

/// With the one of TCP's own handshake, the first byte of a file is there after three round trips.
#[tokio::test]
async fn a_file_comes_with_the_second_flight_after_the_connection() {
    let pair = Pair::new();
    pair.file("f", b"the first byte");
    soon(async {
        let (client, flights, serving) = client(&pair).await;
        let path = RemotePath::parse("f").unwrap();
        let (file, _served) = tokio::join!(client.download_whole(&path, 14), serving);
        assert_eq!(file.unwrap().unwrap().bytes, b"the first byte");
        assert_eq!(flights.load(Ordering::Relaxed), 2);
    })
    .await;
}

#[tokio::test]
async fn a_file_that_is_larger_than_expected_is_left_for_another_way() {
    let pair = Pair::new();
    pair.file("grown", &vec![7; (64 << 10) + 1]);
    let mut peer = pair.logged_in().await;
    let get = Get { path: "grown".into(), claims: false, pieces: None, small: Some(true) };
    let refused = peer.exchange(ClientMessage::Get(get)).await;
    assert_eq!(status(&refused), Some(Status::TooLarge));
    soon(async {
        let (client, _, serving) = client(&pair).await;
        let _served = serving.await;
        let path = RemotePath::parse("grown").unwrap();
        assert!(client.download_whole(&path, 1).await.unwrap().is_none());
        let whole = client.download_whole(&path, 64 << 11).await.unwrap().unwrap();
        assert_eq!(whole.bytes.len(), (64 << 10) + 1);
    })
    .await;
}

/// Small files do not wait for one another.
#[tokio::test]
async fn sixty_small_files_go_with_the_login() {
    let pair = Pair::new();
    soon(async {
        let (client, flights, serving) = client(&pair).await;
        let client = Arc::new(client);
        let mut running = tokio::task::JoinSet::new();
        for number in 0..60 {
            let client = client.clone();
            running.spawn(async move {
                let (name, meter) = (format!("f{number}"), Meter::default());
                let name = RemotePath::parse(&name).unwrap();
                client.upload_whole(&name, whole(b"x".into()), &meter).await
            });
        }
        let _served = serving.await;
        while let Some(sent) = running.join_next().await {
            sent.unwrap().unwrap();
        }
        assert_eq!(flights.load(Ordering::Relaxed), 2);
    })
    .await;
}

/// Four at a time would take fifteen.
#[tokio::test]
async fn a_list_of_small_files_takes_few_flights() {
    const FLIGHTS: usize = 8;
    let (pair, here) = (Pair::new(), tempfile::tempdir().unwrap());
    let jobs = |to: &str| -> Vec<FileJob> {
        let job = |number: usize| FileJob {
            local: LocalFile::Path(here.path().join(format!("{to}{number}"))),
            remote: RemotePath::parse(&format!("f{number}")).unwrap(),
            inside: None,
        };
        (0..60).map(job).collect()
    };
    for number in 0..60 {
        std::fs::write(here.path().join(format!("a{number}")), format!("{number}")).unwrap();
    }
    for up in [true, false] {
        let (jobs, meter, mut arrived) =
            (jobs(if up { "a" } else { "b" }), Arc::<Meter>::default(), 0);
        soon(async {
            let (client, flights, serving) = client(&pair).await;
            let on = |at: usize, ended: Result<Arrived, TreeError>| {
                assert_eq!(ended.unwrap().remote.as_str(), format!("f{at}"));
                arrived += 1;
            };
            let bringing = async {
                match up {
                    true => upload_files(&client, jobs, false, &meter, on).await,
                    false => download_files(&client, jobs, false, &meter, on).await,
                }
            };
            let (done, _served) = tokio::join!(bringing, serving);
            done.unwrap();
            let flights = flights.load(Ordering::Relaxed);
            assert!(flights <= FLIGHTS, "{flights} flights, up: {up}");
        })
        .await;
        assert_eq!((arrived, meter.verified_bytes()), (60, meter.total_bytes()));
    }
    for number in 0..60 {
        let got = std::fs::read_to_string(here.path().join(format!("b{number}"))).unwrap();
        assert_eq!(got, number.to_string());
    }
}
