//! Clients that show a key, and what a server makes of it.

use rustls::client::ResolvesClientCert;
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::super::generate::client_key;
use super::*;

fn own(p256: bool) -> Identity {
    let made = client_key(p256, OffsetDateTime::now_utc()).unwrap();
    Identity::from_pem(made.certificate_pem.as_bytes(), made.key_pem.expose().as_bytes()).unwrap()
}

/// A key of any kind, valid for the years that are given.
fn of(kind: &'static rcgen::SignatureAlgorithm, years: (i32, i32), names: usize) -> CertifiedKey {
    let key = rcgen::KeyPair::generate_for(kind).unwrap();
    let names = (0..names).map(|at| format!("{at:020}.invalid")).collect::<Vec<_>>();
    let mut params = rcgen::CertificateParams::new(names).unwrap();
    params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
    params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
    // What `openssl req -x509` makes.
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap().der().clone();
    let der = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    CertifiedKey::new(vec![certificate], provider().key_provider.load_private_key(der).unwrap())
}

/// The key that the server finds proved, for a client that shows `shown` and signs with the key of
/// `signer`.
async fn proved(shown: &[&CertifiedKey], signer: &CertifiedKey) -> Result<Option<Pin>, TlsError> {
    let chain = shown.iter().flat_map(|one| one.cert.clone()).collect();
    let lying = SingleCertAndKey::from(CertifiedKey::new(chain, signer.key.clone()));
    let server_identity = identity();
    let mut config = ClientConfig::clone(&client(server_identity.pin()));
    let resolver: Arc<dyn ResolvesClientCert> = Arc::new(lying);
    config.client_auth_cert_resolver = resolver;
    let (near, far) = meet(Arc::new(config), server(&server_identity)).await;
    drop(near);
    far.map(|far| peer_pin(&far))
}

const NOW: (i32, i32) = (2020, 2100);

#[tokio::test(start_paused = true)]
async fn either_kind_of_key_is_proved_and_none_will_do() {
    let server_identity = identity();
    for p256 in [false, true] {
        let own = own(p256);
        own.check_as_client(OffsetDateTime::now_utc()).unwrap();
        let config = client_config_with(pins(&[server_identity.pin()]), Some(&own)).unwrap();
        let (near, far) = meet(config, server(&server_identity)).await;
        assert_eq!(peer_pin(&near.unwrap()), Some(server_identity.pin()));
        assert_eq!(peer_pin(&far.unwrap()), Some(own.pin()));
    }
    let (_near, far) = meet(client(server_identity.pin()), server(&server_identity)).await;
    assert_eq!(peer_pin(&far.unwrap()), None);
}

#[tokio::test(start_paused = true)]
async fn somebody_elses_certificate_is_a_bad_proof() {
    for kind in [&rcgen::PKCS_ED25519, &rcgen::PKCS_ECDSA_P256_SHA256] {
        let (real, liar) = (of(kind, NOW, 0), of(kind, NOW, 0));
        assert!(proved(&[&real], &real).await.unwrap().is_some());
        let far = proved(&[&real], &liar).await;
        assert!(matches!(far, Err(TlsError::BadProof)), "{far:?}");
    }
    // With a kind of key that servers may have and clients may not.
    let (real, liar) =
        (of(&rcgen::PKCS_ED25519, NOW, 0), of(&rcgen::PKCS_ECDSA_P384_SHA384, NOW, 0));
    assert!(!matches!(proved(&[&real], &liar).await, Ok(Some(_))));
}

#[tokio::test(start_paused = true)]
async fn each_bad_certificate_is_refused_for_what_it_is() {
    use BadCertificate::{Chain, Kind, OutOfDate, TooLarge};
    let good = of(&rcgen::PKCS_ED25519, NOW, 0);
    let refused = async |shown: &[&CertifiedKey]| match proved(shown, &good).await {
        Err(TlsError::BadCertificate(why)) => why,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(&[&good, &good]).await, Chain(2));
    for kind in [&rcgen::PKCS_RSA_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384] {
        assert_eq!(refused(&[&of(kind, NOW, 0)]).await, Kind);
    }
    let huge = refused(&[&of(&rcgen::PKCS_ED25519, NOW, 200)]).await;
    assert!(matches!(huge, TooLarge { .. }), "{huge:?}");
    for years in [(2000, 2020), (2200, 2300)] {
        assert_eq!(refused(&[&of(&rcgen::PKCS_ED25519, years, 0)]).await, OutOfDate);
    }
}

#[tokio::test]
async fn a_server_without_the_pinned_key_never_sees_the_clients() {
    let (expected, impostor, own) = (identity(), identity(), own(false));
    let config = client_config_with(pins(&[expected.pin()]), Some(&own)).unwrap();
    let (near, far) = meet(config, server(&impostor)).await;
    assert!(matches!(near, Err(TlsError::PinMismatch(_))), "{near:?}");
    assert!(matches!(far, Err(TlsError::Alert(_))), "{far:?}");
}

#[test]
fn what_a_server_would_refuse_is_refused_before_it_is_shown() {
    let read = |kind, years| {
        let key = rcgen::KeyPair::generate_for(kind).unwrap();
        let mut params = rcgen::CertificateParams::default();
        (params.not_before, params.not_after) = years;
        let pem = params.self_signed(&key).unwrap().pem();
        Identity::from_pem(pem.as_bytes(), key.serialize_pem().as_bytes()).unwrap()
    };
    let at = |year| rcgen::date_time_ymd(year, 1, 1);
    let own = read(&rcgen::PKCS_ED25519, (at(2000), at(2020)));
    own.check_as_client(at(2010)).unwrap();
    for year in [1999, 2021] {
        assert_eq!(own.check_as_client(at(year)), Err(BadCertificate::OutOfDate));
    }
    let other = read(&rcgen::PKCS_ECDSA_P384_SHA384, (at(2000), at(2020)));
    assert_eq!(other.check_as_client(at(2010)), Err(BadCertificate::Kind));
}
