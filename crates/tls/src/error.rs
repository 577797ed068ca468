//! What can go wrong in a handshake or with a key, by what a person must be told.
//!
//! rustls wraps its errors in `io::Error`; they are unpacked here, once, so that nobody above
//! compares texts.

use std::io;

use rustls::{
    AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible, PeerMisbehaved,
};
use thiserror::Error;

use sealane_base::types::{Pin, PinSet};

/// A handshake, or later reading or writing, failed. Texts speak of "the peer"; the caller knows
/// its address.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The peer ended the connection and gave this reason. A server sees it when a client does
    /// not accept its key.
    #[error("the peer refused to go on: TLS alert {0:?}")]
    Alert(AlertDescription),
    /// The certificate was refused before its key was looked at.
    #[error(transparent)]
    BadCertificate(#[from] BadCertificate),
    /// The certificate carries a pinned key, and the peer does not own that key: an impostor.
    #[error("the peer showed the right certificate but could not prove that it owns the key")]
    BadProof,
    /// The connection ended before the handshake did, or later without TLS's closing alert.
    #[error("the peer closed the connection unexpectedly")]
    Closed,
    /// The byte stream below failed.
    #[error("{0}")]
    Io(io::Error),
    /// TLS, but older than 1.3.
    #[error("the peer does not offer TLS 1.3")]
    NoTls13,
    /// TLS, but another application protocol or none.
    #[error("the peer speaks TLS but not sealane (no \"sealane/1\" in ALPN)")]
    NotSealane,
    /// What arrived is not TLS.
    #[error("the peer does not speak TLS")]
    NotTls,
    /// The certificate carries a key that is not pinned.
    #[error(transparent)]
    PinMismatch(#[from] PinMismatch),
    /// Any other violation of TLS, by the peer or by something between.
    #[error("TLS failed: {0}")]
    Protocol(Error),
}

/// The peer's key is none of those that are accepted. At this point the peer has not even proved
/// that it owns the key it showed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("the peer's key {received} is not one of the pinned keys")]
pub struct PinMismatch {
    /// The key in the certificate that was shown.
    pub received: Pin,
    /// The keys that are accepted.
    pub expected: PinSet,
}

/// A certificate that no pin can save.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum BadCertificate {
    /// A pin names one key; further certificates could only confuse.
    #[error("the peer sent a chain of {0} certificates: exactly one is expected")]
    Chain(usize),
    /// A client's key of a kind that is not accepted.
    #[error("the key in the certificate is neither Ed25519 nor P-256")]
    Kind,
    /// Before its first day or after its last, as its owner wrote them into it.
    #[error("the certificate is not valid at this time: it has expired, or is of a later day")]
    OutOfDate,
    /// Larger than any certificate with a small key.
    #[error("the certificate is too large: {length} bytes, at most {limit}")]
    TooLarge {
        /// Bytes of its DER form.
        length: usize,
        /// Most that is read.
        limit: usize,
    },
    /// It does not parse as X.509.
    #[error("the certificate is not valid X.509")]
    Unreadable,
}

/// A certificate and key that cannot serve, or could not be made. Never shows key material.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// The certificate itself is unusable.
    #[error(transparent)]
    BadCertificate(#[from] BadCertificate),
    /// A new key or certificate could not be made.
    #[error("cannot make a key and certificate: {0}")]
    Generate(#[from] rcgen::Error),
    /// The key is protected by a passphrase.
    #[error(
        "the private key is encrypted, and there is nobody to type its passphrase: \
         'openssl pkey -in FILE -out PLAIN' (umask 077) decrypts it"
    )]
    Encrypted,
    /// The key is not the one in the certificate.
    #[error("the certificate and the private key do not belong together")]
    KeyMismatch,
    /// A PEM section is broken.
    #[error("the {0} is not valid PEM")]
    Malformed(&'static str),
    /// No PEM section of the kind is there.
    #[error("no {0} found: expected one in PEM")]
    Missing(&'static str),
    /// More than one section of the kind is there.
    #[error("more than one {0} found: expected exactly one")]
    Several(&'static str),
    /// RSA and other kinds that clients refuse, or a broken key.
    #[error("the private key cannot be used: expected Ed25519, P-256 or P-384")]
    UnusableKey,
}

impl From<io::Error> for TlsError {
    /// Sorts the error of a handshake, or of a later read or write, of a TLS stream.
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        match error.downcast::<Error>() {
            Ok(error) => error.into(),
            Err(error) => match error.kind() {
                BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof => Self::Closed,
                _ => Self::Io(error),
            },
        }
    }
}

impl From<Error> for TlsError {
    fn from(error: Error) -> Self {
        match error {
            Error::AlertReceived(AlertDescription::NoApplicationProtocol)
            | Error::NoApplicationProtocol
            | Error::PeerMisbehaved(PeerMisbehaved::SelectedUnofferedApplicationProtocol) => {
                Self::NotSealane
            }
            Error::AlertReceived(AlertDescription::ProtocolVersion)
            | Error::PeerIncompatible(
                PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
                | PeerIncompatible::SupportedVersionsExtensionRequired
                | PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled,
            ) => Self::NoTls13,
            // These come from the five bytes before a record, which plain text never gets right.
            Error::InvalidMessage(
                InvalidMessage::InvalidContentType
                | InvalidMessage::InvalidEmptyPayload
                | InvalidMessage::MessageTooLarge
                | InvalidMessage::UnknownProtocolVersion,
            ) => Self::NotTls,
            Error::AlertReceived(alert) => Self::Alert(alert),
            Error::InvalidCertificate(error) => certificate_error(error),
            Error::PeerMisbehaved(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme) => {
                Self::BadProof
            }
            error => Self::Protocol(error),
        }
    }
}

impl TlsError {
    /// True if the peer went away in the middle of the handshake and gave no reason, as probes of a
    /// port do.
    #[must_use]
    pub fn is_silence(&self) -> bool {
        match self {
            Self::Closed => true,
            Self::Io(error) => matches!(
                error.kind(),
                io::ErrorKind::BrokenPipe
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::NotConnected
                    | io::ErrorKind::UnexpectedEof
            ),
            _ => false,
        }
    }

    /// The alert that a server broke a connection off with after the client's handshake was over,
    /// if `error`, of a later read or write, is one.
    #[must_use]
    pub fn late_alert(error: &io::Error) -> Option<Self> {
        match error.get_ref()?.downcast_ref::<Error>()? {
            Error::AlertReceived(alert) => Some(Self::Alert(*alert)),
            _ => None,
        }
    }

    /// What a server found wrong with the client's certificate, if that is what this alert says.
    #[must_use]
    pub fn about_certificate(&self) -> Option<&'static str> {
        match self {
            Self::Alert(AlertDescription::CertificateExpired) => {
                Some("it is not valid at this time by the server's clock")
            }
            Self::Alert(
                AlertDescription::BadCertificate
                | AlertDescription::CertificateUnknown
                | AlertDescription::DecryptError
                | AlertDescription::UnsupportedCertificate,
            ) => Some("it must be one small certificate with an Ed25519 or P-256 key"),
            _ => None,
        }
    }
}

// The verifiers' own refusals travel as typed values in `Other`, but for dates, which have alerts
// of their own. They look at no name and no issuer, so whatever else rustls says of a certificate
// is about the signature.
fn certificate_error(error: CertificateError) -> TlsError {
    let CertificateError::Other(other) = error else {
        return match error {
            CertificateError::Expired | CertificateError::NotValidYet => {
                BadCertificate::OutOfDate.into()
            }
            _ => TlsError::BadProof,
        };
    };
    if let Some(mismatch) = other.0.downcast_ref::<PinMismatch>() {
        return mismatch.clone().into();
    }
    match other.0.downcast_ref::<BadCertificate>() {
        Some(refusal) => (*refusal).into(),
        None => TlsError::Protocol(Error::InvalidCertificate(CertificateError::Other(other))),
    }
}
