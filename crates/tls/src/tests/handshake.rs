//! Who is let through and who is not, impostors included.

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ServerSessionMemoryCache;
use rustls::sign::{CertifiedKey, Signer, SigningKey, SingleCertAndKey};
use rustls::{AlertDescription, HandshakeKind, NamedGroup, ProtocolVersion, SignatureAlgorithm};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::server::config_for;
use super::*;

/// A server that shows `shown` and signs with the key of `signer`.
fn server_with(shown: Vec<&Identity>, signer: &Identity) -> ServerConfig {
    let chain = shown.iter().map(|identity| identity.certified.cert[0].clone()).collect();
    let mixed = CertifiedKey::new(chain, signer.certified.key.clone());
    config_for(Arc::new(SingleCertAndKey::from(mixed))).unwrap()
}

#[tokio::test]
async fn the_right_pin_connects_over_tls13_and_the_hybrid_key_exchange() {
    let identity = identity();
    let (near, far) = meet(client(identity.pin()), server(&identity)).await;
    for stream in [&near.unwrap(), &far.unwrap()] {
        let connection = stream.get_ref().1;
        assert_eq!(connection.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        let group = connection.negotiated_key_exchange_group().unwrap().name();
        assert_eq!(group, NamedGroup::X25519MLKEM768);
        assert_eq!(connection.alpn_protocol(), Some(ALPN));
    }
}

#[tokio::test]
async fn another_key_is_refused_with_both_pins_and_the_server_gets_nothing() {
    let (expected, other) = (identity(), identity());
    let (near, far) = meet(client(expected.pin()), server(&other)).await;
    let Err(TlsError::PinMismatch(mismatch)) = near else { panic!("{near:?}") };
    assert_eq!(mismatch.received, other.pin());
    assert_eq!(mismatch.expected, pins(&[expected.pin()]));
    // No handshake, hence no keys under which an application byte could have come.
    assert!(matches!(far, Err(TlsError::Alert(_))), "{far:?}");
}

#[tokio::test]
async fn the_real_certificate_without_its_key_is_a_bad_proof() {
    let (real, impostor) = (identity(), identity());
    let (near, far) = meet(client(real.pin()), server_with(vec![&real], &impostor)).await;
    assert!(matches!(near, Err(TlsError::BadProof)), "{near:?}");
    assert!(far.is_err());
}

#[tokio::test]
async fn signing_with_another_kind_of_key_is_a_bad_proof() {
    let real = identity();
    for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384] {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap().pem();
        let impostor =
            Identity::from_pem(certificate.as_bytes(), key.serialize_pem().as_bytes()).unwrap();
        let (near, _) = meet(client(real.pin()), server_with(vec![&real], &impostor)).await;
        assert!(matches!(near, Err(TlsError::BadProof)), "{near:?}");
        // The same key under its own certificate is fine.
        let (near, _) = meet(client(impostor.pin()), server(&impostor)).await;
        near.unwrap();
    }
}

#[tokio::test]
async fn any_pin_of_the_set_will_do() {
    let (active, backup) = (identity(), identity());
    let config = client_config(pins(&[active.pin(), backup.pin()])).unwrap();
    for identity in [active, backup] {
        meet(config.clone(), server(&identity)).await.0.unwrap();
    }
}

#[tokio::test]
async fn a_client_may_ask_for_the_key_it_knows() {
    let (old, new, unknown) = (identity(), identity(), identity());
    let server = server_config(new.clone(), vec![old.clone()]).unwrap();
    for (wanted, shown) in [(&old, Some(&old)), (&new, Some(&new)), (&unknown, None)] {
        let (near, far) = duplex(64 << 10);
        let pin = wanted.pin();
        let connecting = connect_wanting(client(pin), &pin, near);
        let (near, _) = tokio::join!(connecting, accept(server.clone(), far));
        assert_eq!(near.ok().and_then(|near| peer_pin(&near)), shown.map(Identity::pin));
    }
}

#[tokio::test]
async fn dates_do_not_matter_for_a_pinned_key() {
    for year in [1950, 2300] {
        let now = OffsetDateTime::UNIX_EPOCH.replace_year(year).unwrap();
        let identity = identity_made_at(now);
        meet(client(identity.pin()), server(&identity)).await.0.unwrap();
    }
}

#[tokio::test]
async fn a_server_of_another_protocol_is_refused() {
    let identity = identity();
    let mut silent = server_with(vec![&identity], &identity);
    silent.alpn_protocols.clear();
    let (near, _) = meet(client(identity.pin()), silent).await;
    assert!(matches!(near, Err(TlsError::NotSealane)), "{near:?}");

    let mut web = server_with(vec![&identity], &identity);
    web.alpn_protocols = vec![b"h2".to_vec(), b"sealane/2".to_vec()];
    let (near, far) = meet(client(identity.pin()), web).await;
    assert!(matches!(near, Err(TlsError::NotSealane)), "{near:?}");
    assert!(matches!(far, Err(TlsError::NotSealane)), "{far:?}");
}

#[tokio::test]
async fn a_client_of_another_protocol_is_refused() {
    let identity = identity();
    for protocols in [vec![], vec![b"h2".to_vec()]] {
        let mut config = ClientConfig::clone(&client(identity.pin()));
        config.alpn_protocols = protocols;
        let (_, far) = meet(Arc::new(config), server(&identity)).await;
        assert!(matches!(far, Err(TlsError::NotSealane)), "{far:?}");
    }
}

#[tokio::test]
async fn a_chain_is_refused_even_if_it_starts_well() {
    let (real, other) = (identity(), identity());
    let (near, _) = meet(client(real.pin()), server_with(vec![&real, &other], &real)).await;
    assert!(matches!(near, Err(TlsError::BadCertificate(BadCertificate::Chain(2)))), "{near:?}");
}

#[tokio::test]
async fn an_oversize_certificate_is_refused() {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let names: Vec<String> = (0..200).map(|at| format!("{at:020}.invalid")).collect();
    let large = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    assert!(large.der().len() > 4096);
    let pem = key.serialize_pem();
    assert!(matches!(
        Identity::from_pem(large.pem().as_bytes(), pem.as_bytes()),
        Err(IdentityError::BadCertificate(BadCertificate::TooLarge { limit: 4096, .. }))
    ));

    let small = rcgen::CertificateParams::default().self_signed(&key).unwrap();
    let identity = Identity::from_pem(small.pem().as_bytes(), pem.as_bytes()).unwrap();
    let certified = CertifiedKey::new(vec![large.der().clone()], identity.certified.key.clone());
    let server = config_for(Arc::new(SingleCertAndKey::from(certified))).unwrap();
    let (near, _) = meet(client(identity.pin()), server).await;
    assert!(
        matches!(near, Err(TlsError::BadCertificate(BadCertificate::TooLarge { .. }))),
        "{near:?}"
    );
}

#[tokio::test]
async fn nothing_is_resumed() {
    let identity = identity();
    let (client, server) = (client(identity.pin()), server(&identity));
    assert_eq!(server.send_tls13_tickets, 0);
    assert_eq!(server.max_early_data_size, 0);
    assert!(!server.session_storage.can_cache());
    assert!(!server.ticketer.enabled());
    assert!(!server.send_half_rtt_data);
    assert!(!client.enable_early_data);
    for _ in 0..2 {
        let (near, far) = meet(client.clone(), server.clone()).await;
        let (mut near, mut far) = (near.unwrap(), far.unwrap());
        // Tickets would arrive with the first data.
        far.write_all(b"x").await.unwrap();
        far.flush().await.unwrap();
        near.read_exact(&mut [0]).await.unwrap();
        assert_eq!(near.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
        let tokio_rustls::TlsStream::Client(near) = near else { panic!() };
        assert_eq!(near.get_ref().1.tls13_tickets_received(), 0);
    }
}

#[tokio::test]
async fn a_client_that_would_resume_cannot() {
    let identity = identity();
    let server = server(&identity);
    let mut config = ClientConfig::clone(&client(identity.pin()));
    config.resumption = rustls::client::Resumption::in_memory_sessions(8);
    let config = Arc::new(config);
    for _ in 0..2 {
        let (near, far) = meet(config.clone(), server.clone()).await;
        let (mut near, mut far) = (near.unwrap(), far.unwrap());
        far.write_all(b"x").await.unwrap();
        far.flush().await.unwrap();
        near.read_exact(&mut [0]).await.unwrap();
        assert_eq!(far.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
    }
}

#[tokio::test]
async fn a_server_that_would_resume_cannot() {
    let identity = identity();
    let mut generous = server_with(vec![&identity], &identity);
    generous.send_tls13_tickets = 2;
    generous.session_storage = ServerSessionMemoryCache::new(8);
    let (client, server) = (client(identity.pin()), Arc::new(generous));
    for _ in 0..2 {
        let (near, far) = meet(client.clone(), server.clone()).await;
        let (mut near, mut far) = (near.unwrap(), far.unwrap());
        far.write_all(b"x").await.unwrap();
        far.flush().await.unwrap();
        near.read_exact(&mut [0]).await.unwrap();
        assert_eq!(near.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
        let tokio_rustls::TlsStream::Client(near) = near else { panic!() };
        assert_eq!(near.get_ref().1.tls13_tickets_received(), 2, "nothing to resume was offered");
    }
}

/// Signs with RSA, whatever the client has offered to verify.
#[derive(Debug)]
struct Stubborn(Arc<dyn SigningKey>);

impl SigningKey for Stubborn {
    fn choose_scheme(&self, _offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        self.0.choose_scheme(&[SignatureScheme::RSA_PSS_SHA256])
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.0.algorithm()
    }
}

#[tokio::test]
async fn a_kind_of_signature_that_was_not_offered_is_refused() {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let pem = rcgen::CertificateParams::default().self_signed(&key).unwrap().pem();
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let pin = pin_of_certificate(&certificate).unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
    let key = provider().key_provider.load_private_key(key).unwrap();
    let server = |key| {
        let certified = CertifiedKey::new(vec![certificate.clone()], key);
        config_for(Arc::new(SingleCertAndKey::from(certified))).unwrap()
    };
    let (near, _) = meet(client(pin), server(key.clone())).await;
    assert!(matches!(near, Err(TlsError::Alert(AlertDescription::HandshakeFailure))), "{near:?}");
    let (near, _) = meet(client(pin), server(Arc::new(Stubborn(key)))).await;
    assert!(matches!(near, Err(TlsError::BadProof)), "{near:?}");
}
