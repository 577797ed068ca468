//! Key files and certificates that are not what they should be.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use rcgen::{CertificateParams, KeyPair, SignatureAlgorithm, date_time_ymd};

use super::{World, without_password};
use crate::support::{Person, Site, fails, ok};

/// A key and its certificate, with many names if it is to be huge.
fn pem(kind: &'static SignatureAlgorithm, last_year: i32, names: usize) -> (String, String) {
    let key = KeyPair::generate_for(kind).unwrap();
    let names = (0..names).map(|at| format!("{at:020}.invalid")).collect::<Vec<_>>();
    let mut params = CertificateParams::new(names).unwrap();
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(last_year, 1, 1);
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn write(path: &Path, text: &str, mode: u32) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_key_file_that_cannot_be_used_is_refused_before_anybody_is_connected_to() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let pin = "sha256.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let address = format!("sealane://ann@{}/?pin={pin}", listener.local_addr().unwrap());
    let person = Person::new();
    let file = person.directory.path().join("key.pem");
    let refused = |text: &str, mode: u32, why: &str| {
        write(&file, text, mode);
        let run = person.run(["--key", file.to_str().unwrap(), "ls", &address]);
        fails(run, 2, why);
        assert!(listener.accept().is_err(), "somebody connected: {why}");
    };
    let ed25519 = &rcgen::PKCS_ED25519;
    let (certificate, key) = pem(ed25519, 2100, 0);
    let good = format!("{key}{certificate}");
    for mode in [0o644, 0o640, 0o602] {
        refused(&good, mode, "lets others read or write it");
    }
    refused(&format!("{good}{certificate}"), 0o600, "more than one certificate");
    refused(&certificate, 0o600, "no private key found");
    refused("garbage", 0o600, "no certificate found");
    let (other, _) = pem(ed25519, 2100, 0);
    refused(&format!("{key}{other}"), 0o600, "do not belong together");
    let all = |(certificate, key): (String, String)| format!("{key}{certificate}");
    refused(&all(pem(&rcgen::PKCS_RSA_SHA256, 2100, 0)), 0o600, "cannot be used");
    let p384 = all(pem(&rcgen::PKCS_ECDSA_P384_SHA384, 2100, 0));
    refused(&p384, 0o600, "neither Ed25519 nor P-256");
    refused(&all(pem(ed25519, 2100, 200)), 0o600, "the certificate is too large");
    refused(&all(pem(ed25519, 2020, 0)), 0o600, "it has expired");
}

/// One whose clock is wrong, or who does not look, hears it from the server.
#[tokio::test]
async fn a_server_refuses_an_expired_certificate_and_says_so() {
    use crate::support::service::connect_with_key;
    use sealane_client::ConnectError;
    let world = World::new();
    let (certificate, key) = pem(&rcgen::PKCS_ED25519, 2020, 0);
    let identity = sealane_tls::Identity::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap();
    let pin = identity.pin().to_string();
    ok(world.site.admin(["account", "key", "add", "ann", &pin]));
    let refused = connect_with_key(&world.target(), &identity).await.unwrap_err();
    let ConnectError::Tls(alert) = &refused else { panic!("{refused:?}") };
    let why = alert.about_certificate().unwrap();
    assert!(why.contains("by the server's clock"), "{why}");
    crate::support::site::until("the log", || world.server.log().contains("it has expired"));
}

/// Certificates are public: whoever has seen one can show it.
#[tokio::test]
async fn somebody_elses_certificate_opens_nothing() {
    use std::sync::Arc;

    use rustls::client::Resumption;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
    use rustls::sign::{CertifiedKey, SingleCertAndKey};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let world = World::enrolled();
    let stolen = CertificateDer::from_pem_file(world.key_file()).unwrap();
    let (_, own) = pem(&rcgen::PKCS_ED25519, 2100, 0);
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let own = PrivateKeyDer::from_pem_slice(own.as_bytes()).unwrap();
    let own = provider.key_provider.load_private_key(own).unwrap();
    let lying = SingleCertAndKey::from(CertifiedKey::new(vec![stolen], own));
    let honest = sealane_tls::client_config(world.target().pins).unwrap();
    let mut config = rustls::ClientConfig::clone(&honest);
    config.client_auth_cert_resolver = Arc::new(lying);
    config.resumption = Resumption::disabled();
    let stream = tokio::net::TcpStream::connect(world.server.address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from("x.invalid").unwrap();
    let mut stream = connector.connect(name, stream).await.unwrap();
    // Its own handshake is over; what it asks for now is not even read.
    let login = sealane_protocol::message::Login { user: "ann".into(), password: None };
    let login = sealane_protocol::ClientMessage::Login(login).encode(2);
    let hello = crate::support::peer::hello(1);
    let _ = stream.write_all(&[hello, login].concat()).await;
    let mut answer = Vec::new();
    let error = stream.read_to_end(&mut answer).await.unwrap_err();
    assert!(answer.is_empty() && error.to_string().contains("DecryptError"), "{error}");
    // Once, with the password, to enrol.
    assert_eq!(world.server.log().matches("logged in").count(), 1, "{}", world.server.log());
    ok(without_password(world.person.command(["ls", "work:"])).output().unwrap());
}

/// What is made is checked, encrypted and converted with the tool that everybody has.
#[test]
fn openssl_reads_every_key_that_is_made_and_an_encrypted_one_is_named() {
    let version = Command::new("openssl").arg("version").output();
    if !version.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).starts_with("OpenSSL "))
    {
        println!("skipped: no openssl here");
        return;
    }
    let (site, person) = (Site::new(), Person::new());
    let own = person.directory.path().join("sealane/key.pem");
    let p256 = person.directory.path().join("p256.pem");
    ok(person.run(["key", "generate"]));
    ok(person.run(["--key", p256.to_str().unwrap(), "key", "generate", "--p256"]));
    let certs = site.root().join("certs");
    for key in [&certs.join("server.key"), &certs.join("backup.key"), &own, &p256] {
        ok(Command::new("openssl").args(["pkey", "-noout", "-in"]).arg(key).output().unwrap());
    }
    let encrypted = certs.join("encrypted.key");
    let encrypt = ["pkcs8", "-topk8", "-passout", "pass:x", "-in"];
    let mut openssl = Command::new("openssl");
    openssl.args(encrypt).arg(certs.join("backup.key")).arg("-out").arg(&encrypted);
    ok(openssl.output().unwrap());
    let private = || std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&encrypted, private()).unwrap();
    let recover = |key: &Path| {
        site.admin(["cert", "rotate", "recover", "--backup-key", key.to_str().unwrap()])
    };
    fails(recover(&encrypted), 1, "openssl pkey -in FILE -out PLAIN");
    let plain = certs.join("plain.key");
    let mut openssl = Command::new("openssl");
    openssl.args(["pkey", "-passin", "pass:x", "-in"]).arg(&encrypted).arg("-out").arg(&plain);
    ok(openssl.output().unwrap());
    std::fs::set_permissions(&plain, private()).unwrap();
    ok(recover(&plain));
}
