//! What a certificate says: its key, its pin and its dates. Whether to believe it is for `danger`.

use std::error::Error as StdError;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{CertificateError, Error, OtherError, RootCertStore};

use super::BadCertificate;
use sealane_base::types::Pin;

/// Most bytes of a certificate: one with a small key has about 400.
const MAX_CERTIFICATE: usize = 4096;

/// The pin of the key in a DER certificate of at most 4096 bytes.
///
/// # Errors
/// [`BadCertificate`] if it is larger or does not parse.
pub fn pin_of_certificate(der: &[u8]) -> Result<Pin, BadCertificate> {
    Ok(Pin::of_public_key(&public_key_of(der)?))
}

/// The DER SubjectPublicKeyInfo in a DER certificate.
pub(super) fn public_key_of(der: &[u8]) -> Result<Vec<u8>, BadCertificate> {
    if der.len() > MAX_CERTIFICATE {
        return Err(BadCertificate::TooLarge { length: der.len(), limit: MAX_CERTIFICATE });
    }
    let der = CertificateDer::from(der);
    let parsed =
        ParsedCertificate::try_from(&der).map_err(|_invalid| BadCertificate::Unreadable)?;
    Ok(parsed.subject_public_key_info().to_vec())
}

/// Nothing, if `now` lies between the days in a certificate. They are read by webpki, for which the
/// certificate vouches for itself; what else it may dislike in it, such as names, is not looked at.
pub(super) fn check_dates(
    certificate: &CertificateDer<'_>,
    now: UnixTime,
    provider: &Arc<CryptoProvider>,
) -> Result<(), Error> {
    use CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
    let unreadable = || refusal(BadCertificate::Unreadable);
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone().into_owned()).map_err(|_| unreadable())?;
    let reader = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|_| unreadable())?;
    match reader.verify_client_cert(certificate, &[], now) {
        Err(Error::InvalidCertificate(Expired | ExpiredContext { .. })) => Err(Expired.into()),
        Err(Error::InvalidCertificate(NotValidYet | NotValidYetContext { .. })) => {
            Err(NotValidYet.into())
        }
        Err(Error::InvalidCertificate(CertificateError::BadEncoding)) => Err(unreadable()),
        _ => Ok(()),
    }
}

/// Carries the typed reason through rustls and `io::Error` to `TlsError`.
pub(super) fn refusal(reason: impl StdError + Send + Sync + 'static) -> Error {
    CertificateError::Other(OtherError(Arc::new(reason))).into()
}
