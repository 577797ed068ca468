//! The pinning verifier: the one place that replaces rustls' idea of a trusted server.
//!
//! It asks two questions. Is the key in the certificate pinned? And did the peer sign this very
//! handshake with it? Without the second, anybody who has once seen the certificate could show it.
//! Names, issuers and dates are not looked at: the key is the identity, and a wrong clock must
//! neither cut people off nor make them trust somebody else.

use std::error::Error as StdError;
use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, OtherError,
    PeerIncompatible, PeerMisbehaved, SignatureScheme, WantsVerifier,
};

use super::{BadCertificate, PinMismatch, SIGNATURE_SCHEMES, pin_of_certificate};
use crate::types::PinSet;

/// Gives the configuration a verifier that accepts the keys in `pins` and nothing else.
#[expect(clippy::disallowed_methods, reason = "the one place that replaces verification")]
pub(super) fn accept_only(
    pins: PinSet,
    builder: ConfigBuilder<ClientConfig, WantsVerifier>,
    provider: &CryptoProvider,
) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    let algorithms = provider.signature_verification_algorithms;
    builder.dangerous().with_custom_certificate_verifier(Arc::new(Pinned { pins, algorithms }))
}

#[derive(Debug)]
struct Pinned {
    pins: PinSet,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if !intermediates.is_empty() {
            return Err(refusal(BadCertificate::Chain(1 + intermediates.len())));
        }
        let received = pin_of_certificate(end_entity).map_err(refusal)?;
        if self.pins.contains(&received) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(refusal(PinMismatch { received, expected: self.pins.clone() }))
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // The provider verifies more schemes than we offer.
        if !SIGNATURE_SCHEMES.contains(&signature.scheme) {
            return Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
        }
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SIGNATURE_SCHEMES.to_vec()
    }
}

// Carries the typed reason through rustls and `io::Error` to `TlsError`.
fn refusal(reason: impl StdError + Send + Sync + 'static) -> Error {
    CertificateError::Other(OtherError(Arc::new(reason))).into()
}
