//! Those that are no Sealane at all, or stand in between: rows 7, 10, 11, 21, 22 and 25.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sealane_server::sealane::Limits;
use sealane_tls::Identity;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{MIB, aside, assert_closed, pins_of, service, stranger};
use crate::sessions::upload;
use crate::support::middle::Middle;
use crate::support::pair::USER;
use crate::support::peer::{hello, login, soon};
use crate::support::site::{PASSWORD, client, sealane, until};
use crate::support::{Service, Site, fails, names, noise, ok};

/// What the server at the other end says until it closes.
fn heard(mut stream: TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    match stream.read_to_end(&mut all) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("still open"),
        _ => all,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_07_a_drip_in_any_phase_ends_at_the_deadline() {
    let deadline = Duration::from_secs(3);
    let service = Service::with(Limits::default(), 128, deadline).await;
    service.account(USER, 1 << 20);
    let since = Instant::now();
    let mut slow = tokio::task::JoinSet::new();
    for number in 0..30 {
        let (address, pins) = (service.address, service.pins.clone());
        slow.spawn(async move {
            // A ClientHello that never ends, byte by byte; silence; a hello; a login.
            let mut record = vec![22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];
            record.resize(500, 7);
            match number % 4 {
                0 => drip(tokio::net::TcpStream::connect(address).await.unwrap(), record).await,
                1 => drip(tokio::net::TcpStream::connect(address).await.unwrap(), vec![]).await,
                phase => {
                    let mut peer = stranger(address, &pins).await;
                    let bytes = [hello(1), login(2, PASSWORD)].concat();
                    let start = if phase == 2 { 0 } else { hello(1).len() };
                    peer.send(&bytes[..start]).await;
                    for byte in &bytes[start..bytes.len() - 1] {
                        peer.send(&[*byte]).await;
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                    while peer.next().await.is_some() {}
                }
            }
        });
    }
    for _ in 0..3 {
        let started = Instant::now();
        service.login(USER).await.usage().await.unwrap();
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    }
    soon(async { while slow.join_next().await.is_some() {} }).await;
    let took = since.elapsed();
    assert!(took >= deadline && took < 3 * deadline, "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn row_07_strangers_cannot_fill_the_house() {
    aside(|| {
        let site = Site::new();
        site.account(USER, "1M");
        let text = std::fs::read_to_string(site.config()).unwrap();
        let text = text.replace("strangers = 128", "strangers = 40");
        std::fs::write(
            site.config(),
            text.replace("strangers_per_source = 16", "strangers_per_source = 4"),
        )
        .unwrap();
        let server = site.start();
        let from = |number: u8| {
            let socket =
                socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            socket.bind(&SocketAddr::from(([127, 0, 1, number], 0)).into()).unwrap();
            socket.connect(&server.address.into()).unwrap();
            TcpStream::from(socket)
        };
        // Six from one place: two are turned away, as soon as they could have been told so, and the
        // others are waited for.
        let is_open = |stream: &&TcpStream| {
            stream.set_nonblocking(true).unwrap();
            let read = (&mut &**stream).read(&mut [0; 1]);
            read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
        };
        let near: Vec<_> = (0..6).map(|_| from(200)).collect();
        until("two are closed", || near.iter().filter(is_open).count() == 4);
        // 100 more of that crowd: never more than 40 in all, and somebody from elsewhere gets in at
        // once, long before one of them has been there for so long that it gives way to anybody.
        let far: Vec<_> = (0..100).map(from).collect();
        let url = site.address(&server, USER, "");
        ok(sealane(["ls", &url]));
        let open = || near.iter().chain(&far).filter(is_open).count();
        until("all others are closed", || open() <= 40);
        assert!(open() >= 20, "{}", open());
        drop(far);
        ok(sealane(["ls", &url]));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_08_an_account_has_so_many_sessions() {
    let service = Service::with(Limits::default(), 3, Duration::from_secs(30)).await;
    service.account(USER, 1 << 20);
    service.account("bob", 1 << 20);
    let mut sessions = Vec::new();
    for _ in 0..3 {
        sessions.push(service.login(USER).await);
    }
    let refused = service.try_login(USER, PASSWORD).await.unwrap_err();
    assert!(refused.to_string().contains("busy"), "{refused}");
    service.login("bob").await;
    let last = Arc::into_inner(sessions.pop().unwrap()).unwrap();
    last.close().await;
    let give_up = Instant::now() + Duration::from_secs(30);
    while service.try_login(USER, PASSWORD).await.is_err() {
        assert!(Instant::now() < give_up, "the place of a session that ended is not free");
    }
}

/// Sends a byte every tenth of a second until the other end has had enough.
async fn drip(mut stream: tokio::net::TcpStream, bytes: Vec<u8>) {
    let (mut read, mut write) = stream.split();
    let writing = async {
        for byte in bytes {
            if write.write_all(&[byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        std::future::pending::<()>().await;
    };
    let mut sink = Vec::new();
    tokio::select! { _ = read.read_to_end(&mut sink) => {}, () = writing => {} }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_10_a_proxy_header_is_no_protocol_of_ours() {
    let service = service().await;
    let second =
        [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..], &[10, 0, 0, 1, 10, 0, 0, 2, 0, 9, 0, 9]];
    for header in [b"PROXY TCP4 10.0.0.1 10.0.0.2 9 9901\r\n".to_vec(), second.concat()] {
        // Before TLS: at most an alert, in the clear.
        let mut stream = TcpStream::connect(service.address).unwrap();
        stream.write_all(&header).unwrap();
        let answer = aside(move || heard(stream)).await;
        assert!(answer.is_empty() || answer[0] == 21, "{answer:?}");
        let mut peer = stranger(service.address, &service.pins).await;
        peer.send(&[&header[..], &hello(1)].concat()).await;
        assert_closed(peer, "inside").await;
        // And what would come after it is not heard.
        let mut stream = tokio::net::TcpStream::connect(service.address).await.unwrap();
        stream.write_all(&header).await.unwrap();
        let config = sealane_tls::client_config(service.pins.clone()).unwrap();
        assert!(soon(sealane_tls::connect(config, stream)).await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_11_an_impostor_hears_a_client_hello_and_an_alert() {
    aside(|| {
        let (site, other) = (Site::new(), Site::new());
        site.account(USER, "1M");
        let server = site.start();
        let middle = Middle::before(server.address);
        let real = site.address(&server, USER, "");
        let url = real.replace(&server.address.to_string(), &middle.address.to_string());
        ok(sealane(["ls", &url]));
        let certificate = |site: &Site| site.root().join("certs/server.crt");
        let his_key = other.root().join("certs/server.key");
        // His own certificate; the real one, which is public, with his key.
        for shown in [certificate(&other), certificate(&site)] {
            let heard = middle.attack(&shown, &his_key, || {
                for command in [["ls", &url], ["df", &url]] {
                    fails(sealane(command), 5, "");
                }
            });
            assert_eq!(heard.len(), 2);
            heard.iter().for_each(|heard| heard.is_only_hello_and_alert());
        }
        ok(sealane(["ls", &url]));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_11_a_server_without_tls_hears_a_client_hello() {
    aside(|| {
        let site = Site::new();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let listening = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // As a server of ours would, but in the clear: WELCOME and LOGGED_IN.
            let _ = stream.write_all(&[0x41, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0xa0]);
            heard(stream)
        });
        let url = format!("sealane://{USER}@{address}/?{}", site.pins);
        fails(sealane(["ls", &url]), 5, "does not speak TLS");
        let bytes = listening.join().unwrap();
        assert_eq!(bytes[0], 22, "a handshake and nothing else");
        assert!(!bytes.windows(PASSWORD.len()).any(|part| part == PASSWORD.as_bytes()));
    })
    .await;
}

/// What a meddler does with one record of TLS.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Nothing,
    Drop,
    Repeat,
    Swap,
    Flip,
    CutShort,
}

/// A relay that does `deed` to record `number` of the client, or of the server.
fn meddler(target: SocketAddr, to_server: bool, number: usize, deed: Deed) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (near, _) = listener.accept().unwrap();
        let far = TcpStream::connect(target).unwrap();
        let (near2, far2) = (near.try_clone().unwrap(), far.try_clone().unwrap());
        let at = move |active: bool| active.then_some((number, deed));
        std::thread::spawn(move || pass_records(near, far, at(to_server)));
        pass_records(far2, near2, at(!to_server));
    });
    address
}

fn pass_records(mut from: TcpStream, mut to: TcpStream, deed: Option<(usize, Deed)>) {
    let mut held: Option<Vec<u8>> = None;
    let mut count = 0;
    while let Some(record) = next_record(&mut from) {
        count += 1;
        let out: Vec<Vec<u8>> = match deed.filter(|(number, _)| *number == count) {
            Some((_, Deed::Nothing)) => vec![record],
            Some((_, Deed::Drop)) => vec![],
            Some((_, Deed::Repeat)) => vec![record.clone(), record],
            Some((_, Deed::Swap)) => {
                held = Some(record);
                continue;
            }
            Some((_, Deed::Flip)) => {
                let mut record = record;
                *record.last_mut().unwrap() ^= 1;
                vec![record]
            }
            Some((_, Deed::CutShort)) => break,
            None => [Some(record), held.take()].into_iter().flatten().collect(),
        };
        if out.iter().any(|record| to.write_all(record).is_err()) {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Write);
}

fn next_record(from: &mut TcpStream) -> Option<Vec<u8>> {
    let mut record = vec![0; 5];
    from.read_exact(&mut record).ok()?;
    let length = usize::from(record[3]) << 8 | usize::from(record[4]);
    record.resize(5 + length, 0);
    from.read_exact(&mut record[5..]).ok()?;
    Some(record)
}

#[tokio::test(flavor = "multi_thread")]
async fn row_21_a_record_that_is_missing_repeated_or_moved_is_fatal() {
    let service = service().await;
    std::fs::write(service.home(USER).join("there"), noise(2 * MIB, 1)).unwrap();
    let bytes = noise(2 * MIB, 2);
    // Who meddles with nothing is not noticed: what fails below fails by the deed.
    for deed in [Deed::Nothing, Deed::Drop, Deed::Repeat, Deed::Swap, Deed::Flip, Deed::CutShort] {
        // The first ones are the handshake's; the later ones carry the login and a file.
        for (to_server, number) in [(true, 3), (true, 5), (true, 20), (false, 6), (false, 9)] {
            let mut target = service.target(USER);
            target.port = meddler(service.address, to_server, number, deed).port();
            let password = sealane_base::types::Secret::new(PASSWORD.to_owned());
            let work = async {
                let client = crate::support::service::connect(&target, &password).await.ok()?;
                let client = Arc::new(client);
                upload(&client, "new", &bytes).await.ok()?;
                let path = sealane_base::types::RemotePath::parse("there").unwrap();
                for _ in 0..20 {
                    client.stat(&path).await.ok()?;
                }
                Some(())
            };
            // Whoever waits for a record that will never come is cut off by a deadline; not tried
            // here.
            let is_nothing = matches!(deed, Deed::Nothing);
            let patience = Duration::from_secs(if is_nothing { 60 } else { 2 });
            let work = tokio::time::timeout(patience, work).await;
            assert_eq!(matches!(work, Ok(Some(()))), is_nothing, "{deed:?} {to_server} {number}");
            let arrived = std::fs::read(service.home(USER).join("new"));
            assert!(arrived.is_err() || arrived.is_ok_and(|read| read == bytes));
            let _ = std::fs::remove_file(service.home(USER).join("new"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_22_other_protocols_inside_tls_get_no_answer() {
    let service = service().await;
    for words in [
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /<script>alert(1)</script> HTTP/1.0\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "EHLO <script>\r\nMAIL FROM:<a@b>\r\n",
        "USER anonymous\r\nPASS x\r\n",
        "SSH-2.0-OpenSSH_9.9\r\n",
    ] {
        let mut peer = stranger(service.address, &service.pins).await;
        peer.send(words.as_bytes()).await;
        assert!(peer.next().await.is_none(), "{words:?} got an answer");
    }
    let pins = pins_of(&format!(
        "sealane://{USER}@{}/?pin={}",
        service.address,
        service.pins.iter().next().unwrap().to_address_form()
    ));
    // Without our protocol in ALPN, and with another one, nobody comes that far.
    for protocols in [vec![], vec![b"http/1.1".to_vec()], vec![b"h2".to_vec(), b"ftp".to_vec()]] {
        let mut config = (*sealane_tls::client_config(pins.clone()).unwrap()).clone();
        config.alpn_protocols = protocols.clone();
        let stream = tokio::net::TcpStream::connect(service.address).await.unwrap();
        let name = std::net::IpAddr::from([127, 0, 0, 1]).into();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let Ok(mut stream) = connector.connect(name, stream).await else { continue };
        let _ = stream.write_all(&hello(1)).await;
        let mut said = Vec::new();
        let _ = soon(stream.read_to_end(&mut said)).await;
        assert!(said.is_empty(), "{protocols:?}");
    }
    assert_eq!(names(&service.home(USER)), ["keep"]);
}

#[test]
fn row_25_keys_of_other_kinds_are_refused() {
    for kind in [&rcgen::PKCS_RSA_SHA256, &rcgen::PKCS_ECDSA_P521_SHA512] {
        let Ok(key) = rcgen::KeyPair::generate_for(kind) else { continue };
        let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap();
        let refused =
            Identity::from_pem(certificate.pem().as_bytes(), key.serialize_pem().as_bytes());
        assert!(refused.is_err(), "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_25_a_server_with_a_key_of_another_kind_is_refused() {
    aside(|| {
        let directory = tempfile::tempdir().unwrap();
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512).unwrap();
        let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap();
        let (crt, pem) = (directory.path().join("crt"), directory.path().join("key"));
        std::fs::write(&crt, certificate.pem()).unwrap();
        std::fs::write(&pem, key.serialize_pem()).unwrap();
        let pin = sealane_tls::pin_of_certificate(certificate.der()).unwrap();
        let middle = Middle::before(([127, 0, 0, 1], 1).into());
        let url = format!("sealane://{USER}@{}/?pin={}", middle.address, pin.to_address_form());
        let heard = middle.attack(&crt, &pem, || {
            let output = client(["ls", &url]).output().unwrap();
            assert!(
                matches!(output.status.code(), Some(5 | 6)),
                "the pin is right, the kind is not"
            );
        });
        assert!(heard.iter().all(|heard| heard.end.is_err()));
    })
    .await;
}
