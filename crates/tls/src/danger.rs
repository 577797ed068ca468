//! The two verifiers: the one place that replaces rustls' idea of a trusted peer.
//!
//! A server is asked two questions. Is the key in the certificate pinned? And did the peer sign
//! this very handshake with it? Without the second, anybody who has once seen the certificate could
//! show it. Names, issuers and dates are not looked at: the key is the identity, and a wrong clock
//! must neither cut people off nor make them trust somebody else.
//!
//! A client is asked the second one only, and need not answer: any small key will do here, because
//! whose it is and what it may do is found out afterwards, by the account that it names. The dates
//! in its certificate count, by the server's clock, which also decides whether the account's entry
//! has expired: its owner wrote them.

use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WantsServerCert;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    ClientConfig, ConfigBuilder, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible,
    PeerMisbehaved, ServerConfig, SignatureScheme, WantsVerifier,
};

use super::certificate::{check_dates, pin_of_certificate, public_key_of, refusal};
use super::proof::scheme_of;
use super::{BadCertificate, CLIENT_SCHEMES, PinMismatch, SIGNATURE_SCHEMES};
use sealane_base::types::PinSet;

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
        no_chain(intermediates)?;
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
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        offered(&SIGNATURE_SCHEMES, signature)?;
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SIGNATURE_SCHEMES.to_vec()
    }
}

/// Lets clients show a key of their own, and prove it; those that show none are served as well.
#[expect(clippy::disallowed_methods, reason = "the one place that replaces verification")]
pub(super) fn ask_for_key(
    builder: ConfigBuilder<ServerConfig, WantsVerifier>,
    provider: Arc<CryptoProvider>,
) -> ConfigBuilder<ServerConfig, WantsServerCert> {
    builder.with_client_cert_verifier(Arc::new(Proved { provider }))
}

#[derive(Debug)]
struct Proved {
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for Proved {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        no_chain(intermediates)?;
        let public_key = public_key_of(end_entity).map_err(refusal)?;
        if !scheme_of(&public_key).is_some_and(|scheme| CLIENT_SCHEMES.contains(&scheme)) {
            return Err(refusal(BadCertificate::Kind));
        }
        check_dates(end_entity, now, &self.provider)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        offered(&CLIENT_SCHEMES, signature)?;
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        CLIENT_SCHEMES.to_vec()
    }
}

/// A key stands alone: nobody vouches for it.
fn no_chain(intermediates: &[CertificateDer<'_>]) -> Result<(), Error> {
    match intermediates.len() {
        0 => Ok(()),
        more => Err(refusal(BadCertificate::Chain(1 + more))),
    }
}

fn no_tls12() -> Result<HandshakeSignatureValid, Error> {
    Err(PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig.into())
}

/// The provider verifies more schemes than we offer.
fn offered(schemes: &[SignatureScheme], signature: &DigitallySignedStruct) -> Result<(), Error> {
    match schemes.contains(&signature.scheme) {
        true => Ok(()),
        false => Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into()),
    }
}
