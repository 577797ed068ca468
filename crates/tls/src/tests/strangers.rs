//! Peers that speak an older TLS, something else altogether, or nothing.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// What our server makes of `sent`, and what it answers.
async fn say_to_server(sent: &[u8]) -> (TlsError, Vec<u8>) {
    let config = server(&identity());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    near.write_all(sent).await.unwrap();
    let (far, _) = listener.accept().await.unwrap();
    let error = accept(config, far).await.unwrap_err();
    let mut answer = Vec::new();
    let _closed = near.read_to_end(&mut answer).await;
    (error, answer)
}

/// What our client makes of a server that answers `sent` whatever it is told.
async fn hear_from_server(sent: &[u8]) -> TlsError {
    let (near, mut far) = duplex(64 << 10);
    let answer = async {
        far.write_all(sent).await.unwrap();
        drop(far);
    };
    tokio::join!(connect(client(identity().pin()), near), answer).0.unwrap_err()
}

/// A `ClientHello` as a client without TLS 1.3 sends it (RFC 5246 §7.4.1.2).
fn tls12_client_hello() -> Vec<u8> {
    let extensions = [
        &[0, 10, 0, 4, 0, 2, 0, 29][..],        // supported_groups: x25519
        &[0, 11, 0, 2, 1, 0],                   // ec_point_formats: uncompressed
        &[0, 13, 0, 8, 0, 6, 8, 7, 4, 3, 4, 1], // signature_algorithms
        &[0, 16, 0, 12, 0, 10, 9],
        ALPN,           // ALPN
        &[0, 23, 0, 0], // extended_master_secret
    ]
    .concat();
    let mut hello = vec![3, 3];
    hello.extend([7; 32]); // random
    hello.push(0); // session id
    hello.extend([0, 4, 0xc0, 0x2f, 0xc0, 0x2b]); // ECDHE with AES-128-GCM
    hello.extend([1, 0]); // no compression
    hello.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    hello.extend(extensions);
    let mut handshake = vec![1, 0];
    handshake.extend(u16::try_from(hello.len()).unwrap().to_be_bytes());
    handshake.extend(hello);
    record(handshake)
}

fn record(handshake: Vec<u8>) -> Vec<u8> {
    let mut record = vec![22, 3, 1];
    record.extend(u16::try_from(handshake.len()).unwrap().to_be_bytes());
    record.extend(handshake);
    record
}

#[tokio::test]
async fn a_client_without_tls13_gets_the_alert_for_it() {
    let (error, answer) = say_to_server(&tls12_client_hello()).await;
    assert!(matches!(error, TlsError::NoTls13), "{error:?}");
    // One record: alert, fatal, protocol_version; then the end.
    assert_eq!((answer[0], &answer[3..]), (21, &[0, 2, 2, 70][..]));
}

#[tokio::test]
async fn a_client_that_does_not_speak_tls_is_told_nothing() {
    for sent in ["GET / HTTP/1.0\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n", "USER ahpu\r\n"] {
        let (error, answer) = say_to_server(sent.as_bytes()).await;
        assert!(matches!(error, TlsError::NotTls), "{error:?}");
        assert!(answer.is_empty() || answer[0] == 21, "{answer:?}");
        assert!(answer.len() <= 7);
    }
}

#[tokio::test]
async fn servers_that_are_something_else_are_told_apart() {
    for sent in ["220 FTP ready\r\n", "SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1 400 Bad Request\r\n"] {
        let error = hear_from_server(sent.as_bytes()).await;
        assert!(matches!(error, TlsError::NotTls), "{error:?}");
    }
    let alert = |description| [21, 3, 3, 0, 2, 2, description];
    let error = hear_from_server(&alert(70)).await;
    assert!(matches!(error, TlsError::NoTls13), "{error:?}");
    let error = hear_from_server(&alert(120)).await;
    assert!(matches!(error, TlsError::NotSealane), "{error:?}");
    let error = hear_from_server(&alert(40)).await;
    assert!(
        matches!(error, TlsError::Alert(rustls::AlertDescription::HandshakeFailure)),
        "{error:?}"
    );

    let mut hello = vec![2, 0, 0, 38, 3, 3]; // a ServerHello that chooses TLS 1.2
    hello.extend([7; 32]);
    hello.extend([0, 0xc0, 0x2f, 0]);
    let error = hear_from_server(&record(hello)).await;
    assert!(matches!(error, TlsError::NoTls13), "{error:?}");

    let error = hear_from_server(b"").await;
    assert!(matches!(error, TlsError::Closed), "{error:?}");
}
