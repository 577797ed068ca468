//! New keys of servers and clients, each in a self-signed certificate.
//!
//! The certificate is an envelope: peers look at the key in it and at nothing else. It is
//! nevertheless a proper server certificate, so that other tools accept the connection for a look.

use aws_lc_rs::signature::Ed25519KeyPair;
use rcgen::{
    Certificate, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, SanType,
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use time::{Duration, OffsetDateTime};

use super::identity::is_encrypted;
use super::{Identity, IdentityError, pin_of_certificate};
use sealane_base::types::{Pin, Secret};

/// The name in every certificate. It says nothing about the host (RFC 6761 keeps `.invalid` free).
pub const NAME: &str = "sealane.invalid";

/// A clock that is a little behind must not find the certificate "not valid yet".
const BACKDATED: Duration = Duration::days(1);

/// Nobody is made to renew: keys are rotated, certificates are not.
const LIFETIME: Duration = Duration::days(20 * 365);

/// A fresh key and its certificate, ready to be written to two files.
#[derive(Debug)]
pub struct GeneratedKey {
    /// The certificate, PEM.
    pub certificate_pem: String,
    /// The private key, PKCS#8 in PEM.
    pub key_pem: Secret,
    /// The pin by which peers will know the key.
    pub pin: Pin,
}

/// Makes an Ed25519 key and a certificate for it, valid from a day before `now` for twenty years.
///
/// # Errors
/// [`IdentityError::Generate`] if the system gives no randomness.
pub fn key_pair(now: OffsetDateTime) -> Result<GeneratedKey, IdentityError> {
    made(&ed25519()?, ExtendedKeyUsagePurpose::ServerAuth, now)
}

/// Makes a key for a client, Ed25519 or else P-256, and a certificate as [`key_pair`] does.
///
/// # Errors
/// As [`key_pair`].
pub fn client_key(p256: bool, now: OffsetDateTime) -> Result<GeneratedKey, IdentityError> {
    let key = if p256 { KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)? } else { ed25519()? };
    made(&key, ExtendedKeyUsagePurpose::ClientAuth, now)
}

/// A key in version 1 of PKCS#8 (RFC 5208). Version 2, with the public key in it, OpenSSL reads
/// from 3.1 on only: a key could be neither checked nor encrypted with an older one.
fn ed25519() -> Result<KeyPair, IdentityError> {
    let document = Ed25519KeyPair::generate()
        .and_then(|key| key.to_pkcs8v1())
        .map_err(|_| IdentityError::Generate(rcgen::Error::RingUnspecified))?;
    let der = PrivatePkcs8KeyDer::from(document.as_ref());
    Ok(KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ED25519)?)
}

fn made(
    key: &KeyPair,
    usage: ExtendedKeyUsagePurpose,
    now: OffsetDateTime,
) -> Result<GeneratedKey, IdentityError> {
    let certificate = certificate(key, usage, now)?;
    Ok(GeneratedKey {
        pin: pin_of_certificate(certificate.der())?,
        certificate_pem: certificate.pem(),
        key_pem: Secret::new(key.serialize_pem()),
    })
}

/// A key that was kept alone, in a new certificate.
///
/// # Errors
/// [`IdentityError::Encrypted`]; [`IdentityError::UnusableKey`] if `key_pem` is no PKCS#8 key in
/// PEM that can serve.
pub fn identity_for(key_pem: &[u8], now: OffsetDateTime) -> Result<Identity, IdentityError> {
    if is_encrypted(key_pem) {
        return Err(IdentityError::Encrypted);
    }
    let text = str::from_utf8(key_pem).map_err(|_| IdentityError::UnusableKey)?;
    let key = KeyPair::from_pem(text).map_err(|_quoting| IdentityError::UnusableKey)?;
    let certificate = certificate(&key, ExtendedKeyUsagePurpose::ServerAuth, now)?;
    Identity::from_pem(certificate.pem().as_bytes(), key_pem)
}

fn certificate(
    key: &KeyPair,
    usage: ExtendedKeyUsagePurpose,
    now: OffsetDateTime,
) -> Result<Certificate, IdentityError> {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, NAME);
    let mut params = CertificateParams::default();
    params.distinguished_name = name;
    params.subject_alt_names = vec![SanType::DnsName(NAME.try_into()?)];
    params.not_before = now.saturating_sub(BACKDATED);
    params.not_after = now.saturating_add(LIFETIME);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    Ok(params.self_signed(key)?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier as _;
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::{CertificateError, Error, RootCertStore};

    use super::*;

    const NOW: u64 = 1_750_000_000;
    const DAY: u64 = 86_400;

    #[test]
    fn the_certificate_is_a_server_certificate_for_twenty_years() {
        let now = OffsetDateTime::from_unix_timestamp(NOW as i64).unwrap();
        let made = key_pair(now).unwrap();
        let der = CertificateDer::from_pem_slice(made.certificate_pem.as_bytes()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(der.clone()).unwrap();
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), super::super::provider())
                .build()
                .unwrap();
        let name = ServerName::try_from(NAME).unwrap();
        let verdict = |seconds: u64| {
            let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
            verifier.verify_server_cert(&der, &[], &name, &[], at)
        };
        verdict(NOW).unwrap();
        verdict(NOW - DAY + 60).unwrap();
        verdict(NOW + 20 * 365 * DAY - 60).unwrap();
        assert!(matches!(
            verdict(NOW - DAY - 60),
            Err(Error::InvalidCertificate(CertificateError::NotValidYetContext { .. }))
        ));
        assert!(matches!(
            verdict(NOW + 20 * 365 * DAY + 60),
            Err(Error::InvalidCertificate(CertificateError::ExpiredContext { .. }))
        ));
    }

    #[test]
    fn new_keys_are_of_the_version_that_every_openssl_reads() {
        use rustls::pki_types::PrivateKeyDer;
        let now = OffsetDateTime::UNIX_EPOCH;
        let made = [key_pair(now), client_key(false, now), client_key(true, now)];
        for made in made.map(Result::unwrap) {
            let pem = made.key_pem.expose().as_bytes();
            let der = PrivateKeyDer::from_pem_slice(pem).unwrap();
            // SEQUENCE, its length, then INTEGER 0: version 1.
            let bytes = der.secret_der();
            let head = if bytes[1] < 0x80 { 2 } else { 2 + usize::from(bytes[1] & 0x7f) };
            assert_eq!(&bytes[head..head + 3], [2, 1, 0]);
            let certificate = made.certificate_pem.as_bytes();
            assert_eq!(Identity::from_pem(certificate, pem).unwrap().pin(), made.pin);
        }
    }

    #[test]
    fn a_key_that_an_earlier_version_made_is_still_read() {
        let old = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        assert_eq!(old.serialized_der()[4], 1, "version 2");
        identity_for(old.serialize_pem().as_bytes(), OffsetDateTime::UNIX_EPOCH).unwrap();
    }

    #[test]
    fn every_key_is_another_and_debug_hides_it() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let (one, other) = (key_pair(now).unwrap(), key_pair(now).unwrap());
        assert_ne!(one.pin, other.pin);
        assert!(one.key_pem.expose().contains("PRIVATE KEY"));
        assert!(!format!("{one:?}").contains("PRIVATE KEY"));
    }
}
