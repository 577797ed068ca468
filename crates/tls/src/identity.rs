//! A certificate and its key, a server's or a client's, read from PEM bytes and known to belong
//! together.
//!
//! Who reads the files, and with which modes, is the caller's business.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::CertifiedKey;
use time::OffsetDateTime;

use super::certificate::{check_dates, pin_of_certificate, public_key_of};
use super::proof::scheme_of;
use super::{BadCertificate, CLIENT_SCHEMES, IdentityError, SIGNATURE_SCHEMES, TlsError, provider};
use sealane_base::types::{Pin, Secret};

/// One certificate with its private key. `Debug` shows the pin only.
#[derive(Clone)]
pub struct Identity {
    pub(super) certified: Arc<CertifiedKey>,
    pin: Pin,
    pem: (String, Secret),
}

impl Identity {
    /// Reads exactly one certificate and exactly one unencrypted private key (PKCS#8 or SEC1).
    /// Either input may hold other kinds of sections too; they are passed over.
    ///
    /// # Errors
    /// Any [`IdentityError`] but `Generate`, each with its own reason.
    pub fn from_pem(certificate_pem: &[u8], key_pem: &[u8]) -> Result<Self, IdentityError> {
        let certificate: CertificateDer<'static> = only_one("certificate", certificate_pem)?;
        let key: PrivateKeyDer<'static> = match only_one("private key", key_pem) {
            Err(IdentityError::Missing(_) | IdentityError::Malformed(_))
                if is_encrypted(key_pem) =>
            {
                return Err(IdentityError::Encrypted);
            }
            key => key?,
        };
        let pin = pin_of_certificate(&certificate)?;
        let key = provider()
            .key_provider
            .load_private_key(key)
            .map_err(|_refused| IdentityError::UnusableKey)?;
        if key.choose_scheme(&SIGNATURE_SCHEMES).is_none() {
            return Err(IdentityError::UnusableKey);
        }
        let certified = CertifiedKey::new(vec![certificate], key);
        certified.keys_match().map_err(|_differ| IdentityError::KeyMismatch)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let pem = (text(certificate_pem), Secret::new(text(key_pem)));
        Ok(Self { certified: Arc::new(certified), pin, pem })
    }

    /// Nothing, if a server of ours accepts this from a client at `now`, as far as kind and dates
    /// go.
    ///
    /// # Errors
    /// [`BadCertificate::Kind`], [`BadCertificate::OutOfDate`], [`BadCertificate::Unreadable`].
    pub fn check_as_client(&self, now: OffsetDateTime) -> Result<(), BadCertificate> {
        if !scheme_of(&self.public_key()).is_some_and(|scheme| CLIENT_SCHEMES.contains(&scheme)) {
            return Err(BadCertificate::Kind);
        }
        let certificate =
            self.certified.end_entity_cert().map_err(|_| BadCertificate::Unreadable)?;
        let seconds = u64::try_from(now.unix_timestamp()).unwrap_or(0);
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        check_dates(certificate, now, &provider()).map_err(|error| match TlsError::from(error) {
            TlsError::BadCertificate(problem) => problem,
            _ => BadCertificate::Unreadable,
        })
    }

    /// Certificate and private key, PEM, as they were read.
    #[must_use]
    pub fn to_pem(&self) -> (String, Secret) {
        self.pem.clone()
    }

    /// The pin by which clients know this identity.
    #[must_use]
    pub fn pin(&self) -> Pin {
        self.pin
    }

    /// The DER SubjectPublicKeyInfo.
    #[must_use]
    pub fn public_key(&self) -> Vec<u8> {
        let key = self.certified.key.public_key();
        key.map(|key| key.to_vec()).unwrap_or_default()
    }

    /// Signs `message`. `None` if the provider fails, as it does only without randomness.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let signer = self.certified.key.choose_scheme(&SIGNATURE_SCHEMES)?;
        signer.sign(message).ok()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Identity({})", self.pin)
    }
}

/// The pin of the key in the one certificate of a PEM file.
///
/// # Errors
/// [`IdentityError`] if there is none, several, or one that cannot be read.
pub fn pin_of_pem(pem: &[u8]) -> Result<Pin, IdentityError> {
    let certificate: CertificateDer<'static> = only_one("certificate", pem)?;
    Ok(pin_of_certificate(&certificate)?)
}

/// The DER SubjectPublicKeyInfo in the one certificate of a PEM file.
///
/// # Errors
/// As [`pin_of_pem`].
pub fn public_key_of_pem(pem: &[u8]) -> Result<Vec<u8>, IdentityError> {
    let certificate: CertificateDer<'static> = only_one("certificate", pem)?;
    Ok(public_key_of(&certificate)?)
}

/// True if a key in `pem` needs a passphrase, as PKCS#8 or OpenSSL's older form has it.
pub(super) fn is_encrypted(pem: &[u8]) -> bool {
    const MARKS: [&[u8]; 2] = [b"-----BEGIN ENCRYPTED PRIVATE KEY-----", b"Proc-Type: 4,ENCRYPTED"];
    MARKS.iter().any(|mark| pem.windows(mark.len()).any(|window| window == *mark))
}

fn only_one<T: PemObject>(what: &'static str, pem: &[u8]) -> Result<T, IdentityError> {
    // The parser's own errors quote the input, which may be a key: they go no further.
    let malformed = |_quoting: pem::Error| IdentityError::Malformed(what);
    let mut found = T::pem_slice_iter(pem);
    let first = found.next().ok_or(IdentityError::Missing(what))?.map_err(malformed)?;
    match found.next() {
        None => Ok(first),
        Some(Ok(_second)) => Err(IdentityError::Several(what)),
        Some(Err(error)) => Err(malformed(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::generate::{GeneratedKey, key_pair};
    use super::*;

    fn made() -> GeneratedKey {
        key_pair(OffsetDateTime::UNIX_EPOCH).unwrap()
    }

    fn read(certificate: &str, key: &str) -> Result<Identity, IdentityError> {
        Identity::from_pem(certificate.as_bytes(), key.as_bytes())
    }

    #[test]
    fn what_was_made_is_read_back_with_the_same_pin() {
        let made = made();
        let identity = read(&made.certificate_pem, made.key_pem.expose()).unwrap();
        assert_eq!(identity.pin(), made.pin);
        assert_eq!(format!("{identity:?}"), format!("Identity({})", made.pin));
    }

    #[test]
    fn each_mistake_has_its_own_error() {
        let (one, other) = (made(), made());
        let (certificate, key) = (one.certificate_pem.as_str(), one.key_pem.expose());
        let broken = certificate.replace("MII", "M!!");
        assert!(matches!(read("garbage", key), Err(IdentityError::Missing("certificate"))));
        assert!(matches!(
            read(certificate, certificate),
            Err(IdentityError::Missing("private key"))
        ));
        assert!(matches!(read("", key), Err(IdentityError::Missing("certificate"))));
        assert!(matches!(read(&broken, key), Err(IdentityError::Malformed("certificate"))));
        assert!(matches!(
            read(certificate, other.key_pem.expose()),
            Err(IdentityError::KeyMismatch)
        ));
        assert!(matches!(
            read(&format!("{certificate}{}", other.certificate_pem), key),
            Err(IdentityError::Several("certificate"))
        ));
        assert!(matches!(
            read(certificate, &format!("{key}{}", other.key_pem.expose())),
            Err(IdentityError::Several("private key"))
        ));
        let no_x509 = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(
            read(no_x509, key),
            Err(IdentityError::BadCertificate(BadCertificate::Unreadable))
        ));
        for encrypted in [
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
            "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n-----END EC PRIVATE KEY-----\n",
        ] {
            assert!(matches!(read(certificate, encrypted), Err(IdentityError::Encrypted)));
            let alone = super::super::generate::identity_for(
                encrypted.as_bytes(),
                OffsetDateTime::UNIX_EPOCH,
            );
            assert!(matches!(alone, Err(IdentityError::Encrypted)));
        }
        let no_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert!(matches!(read(certificate, no_key), Err(IdentityError::UnusableKey)));
    }

    #[test]
    fn only_keys_that_clients_accept_are_usable() {
        use rcgen::{CertificateParams, KeyPair};
        for (algorithm, usable) in [
            (&rcgen::PKCS_ECDSA_P256_SHA256, true),
            (&rcgen::PKCS_ECDSA_P384_SHA384, true),
            (&rcgen::PKCS_ECDSA_P521_SHA512, false),
            (&rcgen::PKCS_RSA_SHA256, false),
        ] {
            let key = KeyPair::generate_for(algorithm).unwrap();
            let certificate = CertificateParams::default().self_signed(&key).unwrap().pem();
            let result = read(&certificate, &key.serialize_pem());
            assert_eq!(result.is_ok(), usable, "{algorithm:?} {result:?}");
            assert!(usable || matches!(result, Err(IdentityError::UnusableKey)));
        }
    }

    #[test]
    fn the_pin_is_the_one_that_openssl_computes() {
        // openssl req -x509 -newkey ed25519 -nodes -subj /CN=x -days 1 openssl x509 -pubkey |
        // openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64
        let der = CertificateDer::from_pem_slice(OPENSSL_CERTIFICATE.as_bytes()).unwrap();
        assert_eq!(pin_of_certificate(&der).unwrap().to_string(), OPENSSL_PIN);
    }

    const OPENSSL_PIN: &str = "sha256//JbUb5fYViAHmRak9WKJVWt5X2h7Hh3XaHjnGnoe/IlM=";
    const OPENSSL_CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\n\
        MIIBLDCB36ADAgECAhRwEvYmiApbuGmQukKOKgkBix8kBzAFBgMrZXAwDDEKMAgG\n\
        A1UEAwwBeDAeFw0yNjExMjIxNjIzMDNaFw0yNjExMjMxNjIzMDNaMAwxCjAIBgNV\n\
        BAMMAXgwKjAFBgMrZXADIQAnLgrbhOcszwdoHKkwKyo3oUcSY6uw3TekGE2lzVYV\n\
        LaNTMFEwHQYDVR0OBBYEFECZfbT6xQtaye60s2P6e0or8KCyMB8GA1UdIwQYMBaA\n\
        FECZfbT6xQtaye60s2P6e0or8KCyMA8GA1UdEwEB/wQFMAMBAf8wBQYDK2VwA0EA\n\
        safqKT0i/VkVoEtZE/eb8NqoF3aVCrNBLSkPpjsVZSKRDEXaRXvHC5fAL3omH90S\n\
        u2AjNtHt5Jm4a9P0RAFlDA==\n\
        -----END CERTIFICATE-----";
}
